"""Folders of speakers, what is taken of them, and who meets whom in a batch."""

import logging

import numpy as np
import pytest
import soundfile

from myxtts.data.speaker_batches import training_batches
from myxtts.data.speakers import (
    Recording,
    SpeakerCorpus,
    SpeakerPlan,
    find_recordings,
    hold_out,
    measure,
    without_short_speakers,
)
from myxtts.errors import DataError
from myxtts.speaker_config import SpeakerConfig
from tests.conftest import hum

RATE = 16_000
RNG = np.random.default_rng(0)


def write(path, seconds=1.0, pitch=120.0, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, hum(seconds, pitch, RNG, rate), rate)
    return path


def names(found):
    return [(item.speaker, item.path.name) for item in found]


def test_speakers_and_sessions_are_found_at_their_depth(tmp_path):
    write(tmp_path / "anna" / "a.wav"), write(tmp_path / "anna" / "car" / "b.FLAC")
    write(tmp_path / "ben" / "c.ogg"), write(tmp_path / "ben" / ".d.wav")
    (tmp_path / "ben" / "notes.txt").write_text("no audio")
    both = [("anna", "a.wav"), ("anna", "b.FLAC"), ("ben", "c.ogg")]
    assert names(find_recordings(tmp_path)) == both
    assert names(find_recordings(tmp_path, "speakers")) == [both[0], both[2]]
    assert names(find_recordings(tmp_path, "sessions")) == [both[1]]


@pytest.mark.parametrize("top", ["wav48_silence_trimmed", "wav48", "wav"])
def test_vctk_is_known_and_heard_by_one_microphone(tmp_path, top):
    for name in ("p225_1_mic1", "p225_1_mic2", "p225_2_mic2"):
        write(tmp_path / top / "p225" / f"{name}.flac")
    (tmp_path / "txt" / "p225").mkdir(parents=True)
    found = names(find_recordings(tmp_path))
    assert found == [("p225", "p225_1_mic1.flac"), ("p225", "p225_2_mic2.flac")]


def test_a_list_of_recordings_is_a_corpus_too(corpus):
    found = find_recordings(corpus)
    assert {item.speaker for item in found} == {"speaker_0", "speaker_1"}


@pytest.mark.parametrize("content", [None, "empty", "flat"])
def test_folders_without_speakers_are_refused(tmp_path, content):
    folder = tmp_path / "corpus"
    if content:
        folder.mkdir()
    if content == "flat":
        write(folder / "a.wav")
    with pytest.raises(DataError, match="does not exist|holds no recordings of speakers"):
        find_recordings(folder)


def test_recordings_at_another_depth_are_told_of(tmp_path):
    write(tmp_path / "anna" / "chapter" / "a.wav")
    with pytest.raises(DataError, match=r"SPEAKER/FILE is looked for.*multi_rec_session"):
        find_recordings(tmp_path, "speakers")


def test_what_cannot_be_used_is_listed(tmp_path):
    write(tmp_path / "anna" / "a.wav"), write(tmp_path / "anna" / "b.wav", 0.2)
    (tmp_path / "anna" / "c.wav").write_bytes(b"no audio at all")
    kept, report = measure("corpus", find_recordings(tmp_path), 0.5)
    assert [(item.path.name, item.seconds) for item in kept] == [("a.wav", 1.0)]
    assert report.counts() == {"too short": 1, "unreadable": 1}
    with pytest.raises(DataError, match="corpus: no recording can be used"):
        measure("corpus", find_recordings(tmp_path), 2.0)


def made(*counts, seconds=1.0):
    return [
        Recording(None, f"s{speaker}", seconds)
        for speaker, count in enumerate(counts)
        for _ in range(count)
    ]


def test_short_speakers_are_counted_and_left_out_or_kept(caplog):
    caplog.set_level(logging.WARNING)
    recordings = made(3, 1, 2)
    assert len(without_short_speakers("corpus", recordings, 2, repeat=False)) == 5
    assert "1 of 3 speakers have fewer than 2 recordings: left out" in caplog.text
    assert len(without_short_speakers("corpus", recordings, 2, repeat=True)) == 6


@pytest.mark.parametrize(
    ("counts", "repeat", "message"),
    [
        ((5,), False, "has 1 speaker; two are needed"),
        ((5, 1), False, "has 1 speaker with 2 recordings or more"),
        ((1, 1), False, "has 0 speakers with 2 recordings"),
        ((5,), True, "has 1 speaker; two"),
    ],
)
def test_one_speaker_cannot_be_told_apart(counts, repeat, message):
    with pytest.raises(DataError, match=message):
        without_short_speakers("corpus", made(*counts), 2, repeat)


def test_a_batch_has_no_speaker_twice_and_a_cycle_no_utterance():
    speakers = np.repeat(np.arange(7), [4, 5, 6, 4, 9, 4, 4])
    plan = SpeakerPlan(speakers, 3, 2, seed=1)
    for epoch in range(5):
        batches = plan.epoch(epoch)
        assert len(batches) == plan.steps_per_epoch == len(speakers) // 6
        for batch in batches:
            assert np.unique(speakers[batch], return_counts=True)[1].tolist() == [2, 2, 2]
            assert len(set(batch.tolist())) == 6
        # Two batches are a cycle of speakers; two visits of one share no utterance.
        assert len(set(speakers[np.concatenate(batches[:2])])) == 6
        for speaker in range(7):
            heard = [index for batch in batches for index in batch if speakers[index] == speaker]
            whole = (speakers == speaker).sum() // 2 * 2
            assert len(set(heard[:whole])) == len(heard[:whole])


def test_every_utterance_comes_in_time():
    speakers = np.repeat(np.arange(5), 5)
    plan = SpeakerPlan(speakers, 2, 2, seed=0)
    heard = {index for epoch in range(12) for batch in plan.epoch(epoch) for index in batch}
    assert heard == set(range(25))


def test_a_stream_begins_anywhere():
    plan = SpeakerPlan(np.repeat(np.arange(5), 4), 2, 2, seed=3)
    whole = plan.stream()
    first = [next(whole) for _ in range(13)]
    assert [step for step, _ in first] == list(range(13))
    later = plan.stream(7)
    for step, indices in first[7:]:
        again = next(later)
        assert again[0] == step
        np.testing.assert_array_equal(again[1], indices)


def test_few_utterances_are_repeated_within_a_batch():
    plan = SpeakerPlan(np.array([0, 1, 1, 1]), 2, 3, seed=0)
    (batch,) = plan.epoch(0)
    assert sorted(batch.tolist()) == [0, 0, 0, 1, 2, 3]


def test_more_speakers_than_there_are_is_said():
    with pytest.raises(DataError, match="16 speakers, and there are 3; lower data.speakers_per"):
        SpeakerPlan(np.arange(3), 16, 1, seed=0)


def test_speakers_are_held_out_as_a_whole():
    recordings = made(*[2] * 30)
    rest, held = hold_out(recordings, "corpus", seed=0)
    assert (len(rest), len(held)) == (54, 6)
    assert not {item.speaker for item in rest} & {item.speaker for item in held}
    assert hold_out(recordings, "corpus", seed=0)[1] == held
    with pytest.raises(DataError, match="3 speakers, too few to hold two of them out"):
        hold_out(made(2, 2, 2), "corpus", seed=0)


@pytest.fixture
def pitched(tmp_path):
    """A corpus of three speakers of three clips, of which one file is damaged and one silent."""
    for speaker in range(3):
        for clip in range(3):
            write(tmp_path / f"s{speaker}" / f"{clip}.wav", 1.5 + clip, 100 + 60 * speaker)
    kept, _ = measure("corpus", find_recordings(tmp_path), 0.5)
    (tmp_path / "s0" / "0.wav").write_bytes(b"broken since")
    soundfile.write(tmp_path / "s1" / "1.wav", np.zeros(RATE * 2), RATE)
    return kept


def test_batches_are_pure_and_of_the_range(pitched):
    config = SpeakerConfig().merged(
        {
            "data": {"crop_seconds": [1.0, 2.0], "speakers_per_batch": 3},
            "training": {"speaker": {"batch_size": 6}},
        }
    )
    corpus = SpeakerCorpus(pitched)
    indices = np.array([0, 2, 3, 5, 7, 8])
    build = training_batches(corpus, config.data, seed=4)
    first = build(indices, 11)
    again = training_batches(SpeakerCorpus(pitched), config.data, seed=4)(indices, 11)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    sizes = {build(indices, step)["audio"].shape[1] for step in range(8)}
    assert len(sizes) > 4 and min(sizes) >= RATE and max(sizes) <= 2 * RATE
    assert first["speakers"].tolist() == [0, 0, 1, 1, 2, 2]
    assert np.all(np.abs(first["audio"]).max(axis=1) > 0)


def test_damaged_and_silent_files_are_passed_over_and_named(pitched, caplog):
    corpus = SpeakerCorpus(pitched)
    rng = np.random.default_rng(0)
    for index in (0, 4, 0, 4):
        assert corpus.crop(index, 8000, rng).any()
    assert caplog.text.count("It is passed over") == 2
    pitched[1:3] = []
    with pytest.raises(DataError, match="no recording of the speaker s0 can be used"):
        SpeakerCorpus(pitched).crop(0, 8000, rng)


def test_other_speeds_are_other_speakers(pitched):
    corpus = SpeakerCorpus(pitched, (1.0, 0.9, 1.1))
    assert len(corpus) == 27 and len(corpus.speaker_names) == 9
    assert corpus.speaker_names[3] == "s0 x0.9"
    slow = corpus.crop(9 + 8, 20_000, np.random.default_rng(1))
    assert len(slow) == 20_000
    peak = np.argmax(np.abs(np.fft.rfft(slow))) * RATE / len(slow)
    assert peak == pytest.approx(220 * 0.9, abs=2)


def test_long_recordings_are_read_in_part(tmp_path):
    path = write(tmp_path / "s" / "long.wav", 61.0)
    kept, _ = measure("corpus", find_recordings(tmp_path), 0.5)
    corpus = SpeakerCorpus(kept)
    piece = corpus.crop(0, 8000, np.random.default_rng(2))
    whole = soundfile.read(path, dtype="float32")[0]
    start = int(np.argmax(np.lib.stride_tricks.sliding_window_view(whole, 1)[:, 0] == piece[0]))
    assert len(piece) == 8000 and not corpus._memory
    starts = np.flatnonzero(whole == piece[0])
    assert any(np.array_equal(whole[i : i + 8000], piece) for i in starts), start
