"""The client reads by the front-end that an export's record names."""

import json
import logging

import pytest

from myxtts.errors import ConfigError, WeightsError
from myxtts.serving.client.record import recorded_settings
from myxtts.text.front_end import FRONT_ENDS


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "serving.json"
    path.write_text(json.dumps({"defaults": {"top_k": 7, "front_end": "hibari"}}))
    return path


def test_the_front_end_is_of_the_models_settings(record, monkeypatch, caplog):
    monkeypatch.setitem(FRONT_ENDS, "hibari", (str.lower, ("en",)))
    settings = recorded_settings(record)
    assert (settings.front_end, settings.top_k) == ("hibari", 7)
    assert caplog.records == []


def test_letters_are_sent_with_one_warning_where_its_package_is_missing(
    record, monkeypatch, caplog
):
    def missing(text):
        raise WeightsError("reading letters as phonemes needs hibari-tts==0.2.1.")

    monkeypatch.setitem(FRONT_ENDS, "hibari", (missing, ("en",)))
    settings = recorded_settings(record)
    assert (settings.front_end, settings.top_k) == ("none", 7)
    (told,) = [item for item in caplog.records if item.levelno == logging.WARNING]
    assert "letters are sent" in told.message and "needs hibari-tts" in told.message


def test_a_front_end_that_is_none_is_refused(record):
    record.write_text(json.dumps({"defaults": {"front_end": "espeak"}}))
    with pytest.raises(ConfigError, match="front_end"):
        recorded_settings(record)
