"""Bad recordings are screened out and listed with the reason, never a crash."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import soundfile

import myxtts.data.store as module
from myxtts.config import DataConfig
from myxtts.data.screening import screen_corpus
from myxtts.data.xtts import hear, open_store
from myxtts.errors import DataError
from tests.conftest import hum
from tests.data.test_store import CONFIG, RATE, no_reading, utterance, write


@pytest.fixture
def bad_files(tmp_path):
    """One good recording among every kind of bad one: path to the start of its reason."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "good.wav")
    write(folder / "short.wav", 0.1)
    write(folder / "long.wav", 5.0)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("These are words, not samples.")
    (folder / "folder.wav").mkdir()
    (folder / "header.wav").write_bytes((folder / "good.wav").read_bytes()[:44])
    nan = np.full(RATE, np.nan, "float32")
    soundfile.write(folder / "nan.wav", nan, RATE, subtype="FLOAT")
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    click = np.zeros(RATE)
    click[RATE // 2] = 0.5
    soundfile.write(folder / "click.wav", click, RATE)
    write(folder / "cut.flac", 3.0)
    (folder / "cut.flac").write_bytes((folder / "cut.flac").read_bytes()[:5000])
    return {
        folder / "good.wav": None,
        folder / "short.wav": "too short: 0.10 s",
        folder / "long.wav": "too long: 5.0",
        folder / "empty.wav": "corrupt",
        folder / "text.wav": "corrupt",
        folder / "folder.wav": "missing",
        folder / "header.wav": "corrupt",
        folder / "nan.wav": "NaN samples",
        folder / "silent.wav": "silent",
        folder / "click.wav": "too short",
        folder / "cut.flac": "corrupt",
        folder / "absent.wav": "missing",
        folder / ("x" * 300 + ".wav"): "missing",
        folder / "nul\0.wav": "missing",
    }


def screen(bad_files, store):
    items = [utterance(path) for path in bad_files]
    return screen_corpus("the corpus", items, store, hear)


def test_bad_recordings_are_left_out_counted_and_listed(bad_files, tmp_path):
    usable, report = screen(bad_files, open_store(CONFIG, tmp_path / "cache"))
    assert [item.path.name for item in usable] == ["good.wav"]
    reasons = dict(report.skipped)
    for path, reason in bad_files.items():
        if reason is not None:
            assert reasons[str(path)].startswith(reason), path
    assert report.kept == 1
    assert report.seconds == pytest.approx(1.0, abs=0.05)
    assert report.counts() == {
        "too short": 2,
        "too long": 1,
        "corrupt": 4,
        "missing": 4,
        "NaN samples": 1,
        "silent": 1,
    }
    assert "left out 13" in str(report)


def test_the_report_is_readable_json(bad_files, tmp_path):
    _, report = screen(bad_files, open_store(CONFIG, tmp_path / "cache"))
    report.write(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["counts"]["corrupt"] == 4
    assert len(content["skipped"]) == 13


def test_a_second_run_reads_no_audio_not_even_of_bad_files(bad_files, tmp_path, monkeypatch):
    first = screen(bad_files, open_store(CONFIG, tmp_path / "cache"))
    no_reading(monkeypatch)
    assert screen(bad_files, open_store(CONFIG, tmp_path / "cache")) == first


def test_an_unreadable_recording_is_skipped_and_asked_for_again(tmp_path, monkeypatch):
    item = write(tmp_path / "a.wav")
    store = open_store(CONFIG, tmp_path)

    def broken(path):
        raise MemoryError("header asks for 300 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_audio", broken)
        with pytest.raises(DataError, match="300 GiB"):
            screen_corpus(tmp_path, [item], store, hear)
    assert screen_corpus(tmp_path, [item], store, hear)[1].kept == 1


def test_a_corpus_without_usable_utterance_says_why(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    items = [utterance(tmp_path / "a.wav"), utterance(tmp_path / "b.wav")]
    store = open_store(CONFIG, tmp_path / "cache")
    with pytest.raises(
        DataError, match=r"no usable utterance: 1 corrupt, 1 missing; first .*a\.wav"
    ):
        screen_corpus(tmp_path, items, store, hear)


def test_speech_longer_than_the_model_can_hold_is_left_out(tmp_path):
    items = [write(tmp_path / "a.wav", 1.0), write(tmp_path / "b.wav", 2.0)]
    store = open_store(CONFIG, tmp_path / "cache")
    usable, report = screen_corpus(tmp_path, items, store, partial(hear, max_frames=128))
    assert usable == items[:1]
    assert report.skipped[0][1].startswith("too long for the model")
    assert report.seconds == pytest.approx(1.0, abs=0.05)


def test_silence_is_trimmed_only_when_asked(tmp_path):
    quiet = np.zeros(RATE // 2, "float32")
    voice = hum(1.0, 120, np.random.default_rng(0))
    soundfile.write(tmp_path / "a.wav", np.concatenate([quiet, voice, quiet]), RATE)
    lengths = []
    for trim in (True, False):
        config = dataclasses.replace(CONFIG, trim_silence=trim)
        wave = open_store(config, tmp_path).load(utterance(tmp_path / "a.wav"))["wave"]
        lengths.append(len(wave) / 24_000)
    assert lengths == pytest.approx([1.0, 2.0], abs=0.1)


@pytest.mark.parametrize("folder", ["libritts_mini/dev", "ljspeech_mini", "kokoro54"])
def test_real_recordings_pass_the_screen(shared_data, folder, tmp_path):
    from myxtts.data.formats import find_utterances

    if not (shared_data / folder).is_dir():
        pytest.skip(f"{folder} is absent")
    found = find_utterances(shared_data / folder)[:4]
    store = open_store(DataConfig(), tmp_path)
    usable, _ = screen_corpus(folder, found, store, hear)
    assert usable == found
