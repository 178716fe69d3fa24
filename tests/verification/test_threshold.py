"""Thresholds survive their files and hold for the weights they were measured with only."""

import json

import pytest

from myxtts.errors import CheckpointError
from myxtts.verification.threshold import (
    SHIPPED_THRESHOLDS,
    Threshold,
    preset_threshold,
    shipped_threshold,
)

PROVENANCE = "somewhere@sha256:" + "a" * 64


def a_threshold(**changes) -> Threshold:
    values = {
        "value": 0.7,
        "eer": 1.5,
        "min_dcf": 0.2,
        "trials": 100,
        "measured_on": "a set",
        "provenance": PROVENANCE,
    }
    return Threshold(**values | changes)


def test_a_threshold_survives_its_file(tmp_path):
    a_threshold().save(tmp_path / "new" / "verification.json")
    assert Threshold.load(tmp_path / "new" / "verification.json") == a_threshold()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["verification.json"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"value": 1.0}', '"words"', "3"])
def test_files_that_are_no_threshold_are_refused(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(CheckpointError, match="bad.json is no measured threshold"):
        Threshold.load(tmp_path / "bad.json")


def test_a_threshold_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write"):
        a_threshold().save(tmp_path / "file" / "verification.json")


def test_a_threshold_fits_the_same_weights_only():
    assert a_threshold().fits("elsewhere@sha256:" + "a" * 64)
    assert not a_threshold().fits("somewhere@sha256:" + "b" * 64)
    assert not a_threshold(provenance="random").fits("random")


def test_a_preset_does_not_use_a_stale_threshold(tmp_path, caplog):
    assert preset_threshold(tmp_path, PROVENANCE) is None
    assert not caplog.text
    a_threshold().save(tmp_path / "verification.json")
    assert preset_threshold(tmp_path, PROVENANCE) == a_threshold()
    assert preset_threshold(tmp_path, PROVENANCE[:-1] + "b") is None
    assert "measured with other weights and is ignored" in caplog.text
    (tmp_path / "verification.json").write_text("{")
    assert preset_threshold(tmp_path, PROVENANCE) is None


def test_shipped_thresholds_are_of_known_weights_and_sets():
    shipped = json.loads(SHIPPED_THRESHOLDS.read_text(encoding="utf-8"))
    assert set(shipped) == {"resemblyzer"}
    for values in shipped["resemblyzer"]:
        threshold = Threshold(**values)
        assert threshold.measured_on.startswith("LibriSpeech, 196 speakers")
        found = shipped_threshold("resemblyzer", threshold.provenance, threshold.trimmed)
        assert found == threshold
    assert shipped_threshold("resemblyzer", PROVENANCE) is None
    assert shipped_threshold("ecapa_tdnn", PROVENANCE) is None
