"""Batches hold what they promise, and a resumed stream is the unbroken one."""

import itertools

import numpy as np
import pytest

import myxtts.data.corpus as corpus_module
import myxtts.data.features as features_module
from myxtts.config import XTTSConfig
from myxtts.data.corpus import Corpus, open_corpus
from myxtts.data.features import FeatureStore
from myxtts.data.pipeline import (
    BUILDERS,
    DVAE_CROP_FRAMES,
    FRAME_MULTIPLE,
    LOG_MEL_FLOOR,
    TEXT_MULTIPLE,
    BatchOptions,
    decoder_batch,
    dvae_batch,
    gpt_batch,
    make_dataset,
    make_validation,
)
from myxtts.data.plan import BatchPlan
from myxtts.text.tokenizer import train_tokenizer
from tests.conftest import write_corpus

OPTIONS = BatchOptions(seed=5, reference_seconds=0.5, reference_audio=True)
EVERY = np.arange(7)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Corpus:
    """Seven clips of about 0.9 to 1.5 s; the embedding of clip i is the i-th unit vector."""
    folder = write_corpus(tmp_path_factory.mktemp("clips"), clips=7)
    config = XTTSConfig()
    store = FeatureStore(config.data, folder / "cache")
    corpus, _, _ = open_corpus(folder, config, store, learn)
    corpus.embeddings = np.eye(7, dtype="float32")
    return corpus


def learn(found):
    return train_tokenizer([(item.text, item.language) for item in found], 300)


def plan_for(corpus, batch_size=2, **options):
    return BatchPlan(corpus.frames, corpus.speakers, batch_size, seed=3, **options)


def take(dataset, count=None):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def chosen(batch):
    """Which clips were taken as references."""
    return np.argmax(batch["embedding"], axis=1)


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_stream_that_begins_late_is_the_unbroken_stream(clips, kind):
    plan = plan_for(clips)
    whole = take(make_dataset(clips, plan, kind, OPTIONS), 11)
    for start in (1, 4, 6):
        assert_same(
            take(make_dataset(clips, plan, kind, OPTIONS, start), 11 - start), whole[start:]
        )


def test_an_epoch_uses_every_clip_once(clips):
    batches = take(make_dataset(clips, plan_for(clips), "gpt", OPTIONS), 4)
    lengths = np.concatenate([batch["mel_lengths"] for batch in batches])
    assert sorted(lengths) == sorted(clips.frames)


def test_crops_of_the_dvae_are_pieces_of_the_mel(clips):
    batch = dvae_batch(clips, EVERY, 0, OPTIONS)
    assert batch["mel"].shape == (7, DVAE_CROP_FRAMES, 80)
    assert batch["mel"].dtype == np.float32
    for index in EVERY:
        mel = clips.features(index)["dvae_mel"].astype("float32")
        frames = min(DVAE_CROP_FRAMES, len(mel))
        mask, row = batch["mel_mask"][index], batch["mel"][index]
        assert mask[:frames].all() and not mask[frames:].any()
        assert (row[frames:] == np.float32(LOG_MEL_FLOOR)).all()
        starts = range(len(mel) - frames + 1)
        assert any(np.array_equal(mel[start : start + frames], row[:frames]) for start in starts)


def test_crops_move_with_the_epoch(clips):
    longest = np.array([int(np.argmax(clips.frames))])
    assert clips.frames[longest[0]] > DVAE_CROP_FRAMES
    crops = [dvae_batch(clips, longest, epoch, OPTIONS)["mel"] for epoch in range(4)]
    assert any(not np.array_equal(crops[0], crop) for crop in crops[1:])


def test_a_gpt_batch_holds_whole_texts_and_mels(clips):
    batch = gpt_batch(clips, EVERY, 0, OPTIONS)
    assert batch["text_ids"].shape[1] % TEXT_MULTIPLE == 0
    assert batch["mel"].shape[1] % FRAME_MULTIPLE == 0
    for index in EVERY:
        text, mel = clips.text_ids[index], clips.features(index)["dvae_mel"]
        assert batch["text_lengths"][index] == len(text)
        assert batch["text_ids"][index, : len(text)].tolist() == text.tolist()
        assert not batch["text_ids"][index, len(text) :].any()
        assert batch["mel_lengths"][index] == len(mel)
        np.testing.assert_array_equal(batch["mel"][index, : len(mel)], mel.astype("float32"))
        assert (batch["mel"][index, len(mel) :] == np.float32(LOG_MEL_FLOOR)).all()
    assert batch["speaker_ids"].tolist() == clips.speakers.tolist()


def test_a_decoder_batch_adds_the_waveform_of_the_same_length(clips):
    batch = decoder_batch(clips, EVERY, 0, OPTIONS)
    seconds = batch["wave_lengths"] / 24_000
    np.testing.assert_allclose(batch["mel_lengths"], 1 + seconds * 22_050 // 256, atol=1)
    for index in EVERY:
        wave = clips.features(index)["wave"]
        length = batch["wave_lengths"][index]
        assert length == len(wave)
        np.testing.assert_allclose(batch["wave"][index, :length], wave / 32767, atol=1e-6)
        assert not batch["wave"][index, length:].any()


def test_the_reference_is_another_clip_of_the_same_speaker(clips):
    for epoch in range(5):
        references = chosen(gpt_batch(clips, EVERY, epoch, OPTIONS))
        assert (references != EVERY).all()
        assert (clips.speakers[references] == clips.speakers).all()


def test_the_reference_depends_on_the_utterance_not_on_its_batch(clips):
    whole = gpt_batch(clips, EVERY, 2, OPTIONS)
    alone = gpt_batch(clips, EVERY[4:5], 2, OPTIONS)
    assert chosen(alone)[0] == chosen(whole)[4]
    frames = alone["reference_mask"].sum()
    assert np.array_equal(alone["reference_mel"][0, :frames], whole["reference_mel"][4, :frames])


def test_references_change_with_the_epoch(clips):
    drawn = {tuple(chosen(gpt_batch(clips, EVERY, epoch, OPTIONS))) for epoch in range(5)}
    assert len(drawn) > 1


def test_the_reference_may_be_the_clip_itself(clips):
    same = BatchOptions(seed=5, reference="same_utterance")
    assert np.array_equal(chosen(gpt_batch(clips, EVERY, 0, same)), EVERY)


def test_a_speaker_with_one_clip_refers_to_itself(clips):
    lone = Corpus(clips.utterances[:2], clips.store, learn(clips.utterances))
    lone.embeddings = np.eye(2, dtype="float32")
    assert chosen(gpt_batch(lone, np.arange(2), 0, OPTIONS)).tolist() == [0, 1]


def test_reference_mel_and_waveform_are_one_bounded_stretch(clips):
    batch = gpt_batch(clips, EVERY, 1, OPTIONS)
    frames = batch["reference_mask"].sum(axis=1)
    assert (frames == int(0.5 * 22_050 / 256)).all()
    assert (batch["reference_16k_lengths"] == 8000).all()
    for row, source in enumerate(chosen(batch)):
        features = clips.features(source)
        mel = features["cond_mel"].astype("float32")
        piece = batch["reference_mel"][row, : frames[row]]
        starts = range(len(mel) - len(piece) + 1)
        (start,) = [s for s in starts if np.array_equal(mel[s : s + len(piece)], piece)]
        first = int(start * 256 / 22_050 * 16_000)
        wave = features["audio_16k"][first : first + 8000] / 32767
        np.testing.assert_allclose(batch["reference_16k"][row, :8000], wave, atol=1e-6)


def test_a_reference_shorter_than_the_bound_is_taken_whole(clips):
    batch = gpt_batch(clips, EVERY, 0, BatchOptions(seed=0, reference_seconds=30.0))
    frames = [len(clips.features(source)["cond_mel"]) for source in chosen(batch)]
    assert batch["reference_mask"].sum(axis=1).tolist() == frames


def test_optional_parts_come_only_when_asked(clips):
    plain = Corpus(clips.utterances, clips.store, learn(clips.utterances))
    names = gpt_batch(plain, EVERY, 0, BatchOptions(seed=0)).keys()
    assert not {"embedding", "reference_16k", "reference_16k_lengths"} & names
    assert gpt_batch(clips, EVERY, 0, OPTIONS).keys() - names == {
        "embedding",
        "reference_16k",
        "reference_16k_lengths",
    }


def test_validation_is_one_pass_and_always_the_same(clips):
    first, again = (take(make_validation(clips, 3, "gpt", OPTIONS)) for _ in range(2))
    assert_same(first, again)
    lengths = np.concatenate([batch["mel_lengths"] for batch in first])
    assert sorted(lengths) == sorted(clips.frames)
    assert [len(batch["mel"]) for batch in first] == [3, 3, 1]


def test_balanced_streams_hold_their_speakers(clips):
    plan = plan_for(clips, 4, speakers_per_batch=2)
    for batch in take(make_dataset(clips, plan, "gpt", OPTIONS), 6):
        assert np.bincount(batch["speaker_ids"]).tolist() == [2, 2]


def test_the_streams_spec_fixes_channels_and_frees_lengths(clips):
    spec = make_dataset(clips, plan_for(clips), "decoder", OPTIONS).element_spec
    assert spec["mel"].shape.as_list() == [None, None, 80]
    assert spec["reference_mel"].shape.as_list() == [None, None, 80]
    assert spec["embedding"].shape.as_list() == [None, 7]
    assert spec["wave"].shape.as_list() == [None, None]
    assert spec["text_lengths"].shape.as_list() == [None]


@pytest.mark.parametrize("memory", [0, corpus_module.MEMORY_BYTES])
def test_epochs_read_no_audio(clips, monkeypatch, memory):
    def fail(*arguments, **options):
        raise AssertionError("audio was read")

    monkeypatch.setattr(features_module, "read_audio", fail)
    monkeypatch.setattr(corpus_module, "MEMORY_BYTES", memory)
    fresh = Corpus(clips.utterances, clips.store, learn(clips.utterances))
    assert len(take(make_dataset(fresh, plan_for(fresh), "decoder", OPTIONS), 9)) == 9


@pytest.mark.parametrize("folder", ["libritts_mini/dev", "ljspeech_mini"])
def test_real_recordings_become_batches(shared_data, folder, tmp_path, monkeypatch):
    if not (shared_data / folder).is_dir():
        pytest.skip(f"{folder} is absent")
    find = corpus_module.find_utterances
    monkeypatch.setattr(corpus_module, "find_utterances", lambda *given: find(*given)[::20])
    config = XTTSConfig()
    store = FeatureStore(config.data, tmp_path)
    corpus, _, _ = open_corpus(shared_data / folder, config, store, learn)
    (batch,) = take(make_dataset(corpus, plan_for(corpus, 4), "decoder", OPTIONS), 1)
    assert np.isfinite(batch["mel"]).all()
    assert (batch["reference_16k_lengths"] <= 8000).all()
