"""Corpora are screened against the model's limits, and batches hold what they promise."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import myxtts.data.corpus as corpus_module
import myxtts.data.store as store_module
import myxtts.data.xtts as module
from myxtts.config import DataConfig, XTTSConfig
from myxtts.data.batches import make_dataset
from myxtts.data.corpus import Corpus
from myxtts.data.store import FeatureStore
from myxtts.data.xtts import (
    DVAE_CROP_FRAMES,
    FRAME_MULTIPLE,
    LOG_MEL_FLOOR,
    TEXT_MULTIPLE,
    BatchOptions,
    decoder_batch,
    dvae_batch,
    gpt_batch,
    mel_stats,
    open_corpus,
    open_store,
)
from myxtts.errors import DataError
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from tests.conftest import write_corpus
from tests.data.conftest import learn
from tests.data.test_batches import OPTIONS, builder, plan_for, take
from tests.data.test_corpus import reopen

EVERY = np.arange(7)
SAME = BatchOptions(5, DataConfig(reference="same_utterance"))


def change(folder, number, **values):
    path = folder / "metadata.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[number] |= values
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_texts_that_cannot_be_spoken_are_left_out(micro_config, tmp_path):
    folder = write_corpus(tmp_path)
    change(folder, 0, text="  ")
    change(folder, 1, text="?! ...")
    change(folder, 2, text="q x z j k v w " * 40)
    _, report = reopen(folder, micro_config, tmp_path / "cache")
    assert report.counts() == {"no text": 2, "text too long": 1}


def test_a_language_the_vocabulary_lacks_is_left_out(micro_config, tmp_path):
    folder = write_corpus(tmp_path)
    tokenizer = reopen(folder, micro_config, tmp_path / "cache")[0].tokenizer
    change(folder, 4, language="fr")
    _, report = reopen(folder, micro_config, tmp_path / "cache", lambda found: tokenizer)
    ((path, reason),) = report.skipped
    assert path == str(folder / "clip_4.wav")
    assert reason.startswith("unknown language 'fr'")


def test_a_corpus_of_empty_texts_is_one_sentence(micro_config, tmp_path):
    folder = write_corpus(tmp_path, clips=2)
    for number in range(2):
        change(folder, number, text="")
    with pytest.raises(DataError, match="no usable utterance: 2 no text"):
        reopen(folder, micro_config, tmp_path / "cache")


def test_the_longest_utterance_let_in_fits_the_model_after_padding(micro_config, tmp_path):
    from myxtts.models.gpt import GPT
    from myxtts.training.stages.gpt import code_lengths

    folder = write_corpus(tmp_path, clips=12)
    limits = {"max_text_tokens": 50, "max_audio_tokens": 40}
    config = micro_config.merged({"model": {"gpt": limits}})
    # 46, 48 and 50 ids; the last would be padded to 64.
    for number, letters in enumerate((23, 24, 25)):
        change(folder, number, text="a " * letters)
    corpus, report = reopen(folder, config, tmp_path / "cache")
    assert report.counts() == {"text too long": 1, "too long for the model": 6}
    indices = np.arange(len(corpus))
    batch = gpt_batch(corpus, indices, 0, BatchOptions(seed=0))
    assert (batch["text_ids"].shape[1], batch["mel"].shape[1]) == (48, 128)
    codes = code_lengths(batch["mel"].shape[1])
    gpt = GPT.from_section(config.model)
    outputs = gpt(
        {
            "text_ids": batch["text_ids"],
            "text_lengths": batch["text_lengths"],
            "audio_codes": np.zeros((len(indices), codes), "int32"),
            "code_lengths": code_lengths(batch["mel_lengths"]),
            "conditioning_latents": np.zeros((len(indices), 4, 32), "float32"),
        }
    )
    assert np.isfinite(np.asarray(outputs["audio_logits"])).all()


class Lengths:
    """A speaker encoder of sorts: embeds a clip as its length, and counts."""

    precision = "float32"

    def __init__(self, weight: float = 1.0):
        self.weights = [np.full(3, weight)]
        self.calls = tf.Variable(0)

    def __call__(self, audio, lengths):
        assert audio.dtype == tf.float32
        self.calls.assign_add(1)
        return tf.stack([tf.cast(lengths, "float32"), tf.reduce_max(tf.abs(audio), axis=1)], axis=1)


def embedded(corpus, config, cache, encoder) -> np.ndarray:
    store = open_store(config.data, cache, encoder)
    opened, _ = open_corpus(corpus, config, store, learn)
    batch = gpt_batch(opened, np.arange(6), 0, SAME)
    assert batch["embedding"].dtype == np.float32
    np.testing.assert_array_equal(
        batch["embedding"][:, 0], [len(opened.feature(index, "audio_16k")) for index in range(6)]
    )
    return batch["embedding"]


def test_embeddings_are_computed_once_for_each_encoder(corpus, micro_config, tmp_path):
    encoder = Lengths()
    first = embedded(corpus, micro_config, tmp_path, encoder)
    assert ((first[:, 1] > 0.1) & (first[:, 1] <= 1.0)).all()
    np.testing.assert_array_equal(embedded(corpus, micro_config, tmp_path, Lengths()), first)
    assert int(encoder.calls) == 6
    other = Lengths(weight=2.0)
    embedded(corpus, micro_config, tmp_path, other)
    assert int(other.calls) == 6


def test_a_damaged_embedding_is_computed_again(corpus, micro_config, tmp_path):
    embedded(corpus, micro_config, tmp_path, Lengths())
    path = sorted(tmp_path.glob("embedding-*/*.npz"))[0]
    path.write_bytes(path.read_bytes()[:20])
    again = Lengths()
    embedded(corpus, micro_config, tmp_path, again)
    assert int(again.calls) == 1


def test_mel_stats_are_the_mean_magnitude_of_every_channel(clips):
    mels = [clips.feature(index, "dvae_mel") for index in range(len(clips))]
    stats = mel_stats(clips)
    assert stats.shape == (80,)
    expected = np.abs(np.concatenate(mels).astype("float64")).mean(axis=0)
    np.testing.assert_allclose(stats, expected, rtol=1e-5)


def chosen(batch):
    """Which clips were taken as references."""
    return np.argmax(batch["embedding"], axis=1)


def test_crops_of_the_dvae_are_pieces_of_the_mel(clips):
    batch = dvae_batch(clips, EVERY, 0, OPTIONS)
    assert batch["mel"].shape == (7, DVAE_CROP_FRAMES, 80)
    assert batch["mel"].dtype == np.float32
    for index in EVERY:
        mel = clips.feature(index, "dvae_mel").astype("float32")
        frames = min(DVAE_CROP_FRAMES, len(mel))
        mask, row = batch["mel_mask"][index], batch["mel"][index]
        assert mask[:frames].all() and not mask[frames:].any()
        assert (row[frames:] == np.float32(LOG_MEL_FLOOR)).all()
        starts = range(len(mel) - frames + 1)
        assert any(np.array_equal(mel[start : start + frames], row[:frames]) for start in starts)


def test_crops_move_with_the_epoch(clips):
    longest = np.array([int(np.argmax(clips.lengths))])
    assert clips.lengths[longest[0]] > DVAE_CROP_FRAMES
    crops = [dvae_batch(clips, longest, epoch, OPTIONS)["mel"] for epoch in range(4)]
    assert any(not np.array_equal(crops[0], crop) for crop in crops[1:])


def test_a_gpt_batch_holds_whole_texts_and_mels(clips):
    batch = gpt_batch(clips, EVERY, 0, OPTIONS)
    assert batch["text_ids"].shape[1] % TEXT_MULTIPLE == 0
    assert batch["mel"].shape[1] % FRAME_MULTIPLE == 0
    for index in EVERY:
        text, mel = clips.readings[index].ids, clips.feature(index, "dvae_mel")
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
        wave = clips.feature(index, "wave")
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
    assert np.array_equal(chosen(gpt_batch(clips, EVERY, 0, SAME)), EVERY)


def test_a_speaker_with_one_clip_refers_to_itself(clips):
    lone = Corpus(clips.utterances[:2], clips.store, "dvae_mel", clips.tokenizer)
    assert chosen(gpt_batch(lone, np.arange(2), 0, OPTIONS)).tolist() == [0, 1]


def test_reference_mel_and_waveform_are_one_bounded_stretch(clips):
    batch = gpt_batch(clips, EVERY, 1, OPTIONS)
    frames = batch["reference_mask"].sum(axis=1)
    assert (frames == int(0.5 * 22_050 / 256)).all()
    assert (batch["reference_16k_lengths"] == 8000).all()
    for row, source in enumerate(chosen(batch)):
        mel = clips.feature(source, "cond_mel").astype("float32")
        piece = batch["reference_mel"][row, : frames[row]]
        starts = range(len(mel) - len(piece) + 1)
        (start,) = [s for s in starts if np.array_equal(mel[s : s + len(piece)], piece)]
        first = int(start * 256 / 22_050 * 16_000)
        wave = clips.feature(source, "audio_16k")[first : first + 8000] / 32767
        np.testing.assert_allclose(batch["reference_16k"][row, :8000], wave, atol=1e-6)


def test_a_reference_shorter_than_the_bound_is_taken_whole(clips):
    batch = gpt_batch(clips, EVERY, 0, BatchOptions(0, DataConfig(reference_seconds=30.0)))
    frames = [len(clips.feature(source, "cond_mel")) for source in chosen(batch)]
    assert batch["reference_mask"].sum(axis=1).tolist() == frames


def test_optional_parts_come_only_when_asked(clips, tmp_path):
    named = {name: clips.store.features[name] for name in ("dvae_mel", "cond_mel", "wave")}
    store = FeatureStore(clips.store.screen, named, tmp_path)
    plain = Corpus(clips.utterances, store, "dvae_mel", clips.tokenizer)
    names = gpt_batch(plain, EVERY, 0, BatchOptions(seed=0)).keys()
    assert not {"embedding", "reference_16k", "reference_16k_lengths"} & names
    assert gpt_batch(clips, EVERY, 0, OPTIONS).keys() - names == {
        "embedding",
        "reference_16k",
        "reference_16k_lengths",
    }


@pytest.mark.parametrize("memory", [0, corpus_module.MEMORY_BYTES])
def test_epochs_read_no_audio(clips, monkeypatch, memory):
    def fail(*arguments, **options):
        raise AssertionError("audio was read")

    monkeypatch.setattr(store_module, "read_audio", fail)
    monkeypatch.setattr(corpus_module, "MEMORY_BYTES", memory)
    fresh = Corpus(clips.utterances, clips.store, "dvae_mel", clips.tokenizer)
    assert len(take(make_dataset(plan_for(fresh), builder(fresh, decoder_batch)), 9)) == 9


@pytest.mark.parametrize("folder", ["libritts_mini/dev", "ljspeech_mini"])
def test_real_recordings_become_batches(shared_data, folder, tmp_path, monkeypatch):
    if not (shared_data / folder).is_dir():
        pytest.skip(f"{folder} is absent")
    find = module.find_utterances
    monkeypatch.setattr(module, "find_utterances", lambda *given: find(*given)[::20])
    config = XTTSConfig()
    corpus, _ = reopen(shared_data / folder, config, tmp_path)
    (batch,) = take(make_dataset(plan_for(corpus, 4), builder(corpus, decoder_batch)), 1)
    assert np.isfinite(batch["mel"]).all()
    assert (batch["reference_16k_lengths"] <= 8000).all()


def test_crops_have_the_speaker_of_their_clip_or_none(clips):
    options, own = BatchOptions(0, speaker=True), np.eye(7)[EVERY]
    rows = [dvae_batch(clips, EVERY, epoch, options)["embedding"] for epoch in range(60)]
    for row in rows:
        known = row.any(axis=1)
        np.testing.assert_array_equal(row[known], own[known])
    assert 0.03 < np.mean([~row.any(axis=1) for row in rows]) < 0.2
    assert "embedding" not in dvae_batch(clips, EVERY, 0, BatchOptions(0))


@pytest.fixture
def mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def test_a_run_in_half_precision_finds_the_embeddings_of_a_float32_encoder(mixed_precision):
    for kind in ("ecapa_tdnn", "resemblyzer"):
        assert PretrainedSpeakerEncoder(kind).precision == "float32"
