"""The corpus on disk: whole shards, going on after a stop, what a reader of it finds."""

import json
import shutil
from collections import Counter
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from myxtts import files
from myxtts.data.formats import find_utterances
from myxtts.errors import DataError
from tools.voice_corpus import corpus, shards
from tools.voice_corpus.checks import Check
from tools.voice_corpus.front_end import Reading
from tools.voice_corpus.plan import Plan
from tools.voice_corpus.settings import VoiceCorpusConfig
from tools.voice_corpus.speakers import pseudo_speakers
from tools.voice_corpus.speech import SAMPLE_RATE, Speech
from tools.voice_corpus.texts import Texts

TEXTS = {
    "train": [f"Sentence {k} of many." for k in range(30)],
    "val": [f"Another {k} of a few." for k in range(5)],
}


class Teacher:
    """Noise of half a second and equal durations; stops after so many clips."""

    def __init__(self, last: int = 10**9) -> None:
        self.left = last

    def speak(self, phonemes, speaker, pace, rng) -> Speech:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        audio = 0.1 * rng.standard_normal(SAMPLE_RATE // 2).astype("float32")
        return Speech(audio, np.full(len(phonemes) + 2, 0.5 / (len(phonemes) + 2)))


def plan(**settings) -> Plan:
    config = VoiceCorpusConfig(
        **{"hours": 0.004, "speakers": 8, "shard_clips": 4, "check_every": 0, "val_share": 0.2}
        | settings
    )
    return Plan(config, TEXTS, {"hibari": pseudo_speakers(config.speakers, 0)})


def texts() -> Texts:
    return Texts(TEXTS, {"grammar": 35})


@pytest.fixture
def teacher(monkeypatch) -> Teacher:
    """One that every worker has; readings are of letters, and the pool is this process."""
    teacher = Teacher()
    monkeypatch.setattr(shards.Worker, "hibari", teacher)
    monkeypatch.setattr(shards, "read", lambda text: Reading(text, tuple(text.lower().split())))
    monkeypatch.setattr(corpus, "pool", here)
    return teacher


@contextmanager
def here(plan, output, workers):
    """A pool without processes."""
    shards._worker = shards.Worker(plan, output)

    class Executor:
        def submit(self, function, *args) -> Future:
            future = Future()
            future.set_result(function(*args))
            return future

    yield Executor()


def lines(folder) -> list[dict]:
    return [json.loads(row) for row in (folder / "metadata.jsonl").read_text().splitlines()]


def content(folder) -> dict:
    return {
        part: [(row["file_name"], row["speaker"], row["text"]) for row in lines(folder / part)]
        for part in ("train", "val")
    }


def test_a_corpus_is_read_as_jsonl_with_durations(teacher, tmp_path):
    result = corpus.make(plan(audio_format="flac"), texts(), tmp_path, 2)
    assert result["hours"]["train"] >= 0.0032 and result["hours"]["val"] >= 0.0008
    for part in ("train", "val"):
        found = find_utterances(tmp_path / part)
        assert len(found) == result["clips"][part] == len({item.path for item in found})
        for item, row in zip(found, lines(tmp_path / part), strict=True):
            seconds = soundfile.info(str(item.path)).duration
            assert item.timed_phonemes
            assert sum(item.durations) == pytest.approx(seconds, abs=5e-3)
            assert sum(row["word_durations"]) == pytest.approx(seconds, abs=5e-3)
            assert len(row["word_durations"]) == len(row["text"].split())
            assert " ".join(row["word_phonemes"]) == row["phonemes"]


def test_validation_has_other_texts_and_some_other_speakers(teacher, tmp_path):
    corpus.make(plan(hours=0.02), texts(), tmp_path, 2)
    train, val = lines(tmp_path / "train"), lines(tmp_path / "val")
    assert not {row["text"] for row in train} & {row["text"] for row in val}
    new = {row["speaker"] for row in val} - {row["speaker"] for row in train}
    assert new == {"h0007"}


def test_a_run_that_was_stopped_goes_on_to_the_same_corpus(teacher, tmp_path):
    corpus.make(plan(), texts(), tmp_path / "whole", 2)
    for clips in (0, 3, 10, 22):
        teacher.left = clips
        with pytest.raises(KeyboardInterrupt):
            corpus.make(plan(), texts(), tmp_path / "parts", 2)
        folders = (tmp_path / "parts").rglob("hibari-*")
        assert all((folder / "shard.json").is_file() for folder in folders)
    teacher.left = 10**9
    corpus.make(plan(), texts(), tmp_path / "parts", 2)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")
    for path in (tmp_path / "whole").rglob("*.ogg"):
        other = tmp_path / "parts" / path.relative_to(tmp_path / "whole")
        np.testing.assert_array_equal(soundfile.read(path)[0], soundfile.read(other)[0])


def test_what_a_killed_process_left_is_no_harm(teacher, tmp_path):
    whole = corpus.make(plan(), texts(), tmp_path, 2)
    shutil.rmtree(tmp_path / "train" / "hibari-00001")
    half = tmp_path / "train" / ".hibari-00001.new"
    half.mkdir()
    (half / "000004.ogg").write_bytes(b"half")
    again = corpus.make(plan(), texts(), tmp_path, 2)
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    assert not half.exists()


def test_more_hours_add_to_a_corpus(teacher, tmp_path):
    corpus.make(plan(), texts(), tmp_path, 2)
    before = lines(tmp_path / "train")
    corpus.make(plan(hours=0.012), texts(), tmp_path, 2)
    after = lines(tmp_path / "train")
    assert after[: len(before)] == before
    assert len(after) > len(before)
    # All thirty texts were said, and are said again in another order.
    assert Counter(row["text"] for row in after).most_common(1)[0][1] > 1


def test_other_settings_are_refused_with_their_name(teacher, tmp_path):
    corpus.make(plan(), texts(), tmp_path, 2)
    with pytest.raises(DataError, match="begun with speakers 8, and now it is 9"):
        corpus.make(plan(speakers=9), texts(), tmp_path, 2)
    with pytest.raises(DataError, match="begun with texts_sha256"):
        corpus.make(plan(), Texts(TEXTS | {"val": ["Else."]}, {}), tmp_path, 2)


def test_two_at_a_time_are_refused(teacher, tmp_path):
    with files.locked(tmp_path), pytest.raises(DataError, match="in use by another process"):
        corpus.make(plan(), texts(), tmp_path, 2)


def test_misheard_clips_are_left_out_and_counted(teacher, tmp_path, monkeypatch):
    wrong = "Sentence 7 of many."
    monkeypatch.setattr(shards, "check", lambda text, _: Check(4, 1.0 if text == wrong else 0.5))
    result = corpus.make(plan(hours=0.006, check_every=1), texts(), tmp_path, 2)
    assert wrong not in {row["text"] for row in lines(tmp_path / "train")}
    assert result["misheard"] >= 1
    assert result["checked"] == sum(result["clips"].values()) + result["misheard"]
    assert 0.125 < result["wer"] < 0.15


def test_only_every_so_many_th_clip_is_heard(teacher, tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(shards, "check", lambda text, _: heard.append(text) or Check(4, 0))
    corpus.make(plan(check_every=4), texts(), tmp_path, 1)
    assert len(heard) == sum(1 for _ in tmp_path.rglob("shard.json"))


def test_texts_that_cannot_be_read_are_counted(teacher, tmp_path, monkeypatch):
    def read(text):
        return None if "3" in text else Reading(text, tuple(text.split()))

    monkeypatch.setattr(shards, "read", read)
    result = corpus.make(plan(), texts(), tmp_path, 2)
    assert result["unusable"] > 0
    assert not [row for row in lines(tmp_path / "train") if "3" in row["text"]]
    monkeypatch.setattr(shards, "read", lambda text: None)
    with pytest.raises(DataError, match="no clip of shard 0 of hibari train"):
        corpus.make(plan(), texts(), tmp_path / "none", 2)


def test_the_record_names_licences_of_what_was_used(teacher, tmp_path):
    corpus.make(plan(austen=False), texts(), tmp_path, 2)
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["licences"].keys() == {"grammar", "hibari"}
    assert record["fixed"]["seed"] == 0 and record["result"]["clips"]["train"] > 0
    speakers = json.loads((tmp_path / "speakers.json").read_text())
    assert len(speakers) == 8 and speakers["h0000"]["kind"] == "hibari"
