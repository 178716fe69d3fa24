"""A corpus is screened against the model's limits, and embeds its speakers once."""

import json

import numpy as np
import pytest

import myxtts.data.corpus as module
import myxtts.data.features as features_module
from myxtts.data.corpus import open_corpus
from myxtts.data.features import FeatureStore
from myxtts.data.pipeline import BatchOptions, gpt_batch
from myxtts.errors import DataError
from myxtts.text.tokenizer import train_tokenizer
from tests.conftest import write_corpus


def learn(found):
    return train_tokenizer([(item.text, item.language) for item in found], 300)


def reopen(folder, config, cache, make_tokenizer=learn):
    return open_corpus(folder, config, FeatureStore(config.data, cache), make_tokenizer)


def change(folder, number, **values):
    path = folder / "metadata.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[number] |= values
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_corpus_knows_texts_speakers_and_lengths(corpus, micro_config, tmp_path):
    opened, tokenizer, report = reopen(corpus, micro_config, tmp_path)
    assert len(opened) == report.kept == 6
    assert opened.speaker_names == ["speaker_0", "speaker_1"]
    assert opened.speakers.tolist() == [0, 1, 0, 1, 0, 1]
    assert opened.companions(2).tolist() == [0, 4]
    assert opened.text_ids[3].tolist() == tokenizer.encode("This is clip number 3.", "en")
    assert opened.frames.tolist() == [len(opened.features(i)["dvae_mel"]) for i in range(6)]


def test_texts_that_cannot_be_spoken_are_left_out(micro_config, tmp_path):
    folder = write_corpus(tmp_path)
    change(folder, 0, text="  ")
    change(folder, 1, text="?! ...")
    change(folder, 2, text="q x z j k v w " * 40)
    _, _, report = reopen(folder, micro_config, tmp_path / "cache")
    assert report.counts() == {"no text": 2, "text too long": 1}


def test_a_language_the_vocabulary_lacks_is_left_out(micro_config, tmp_path):
    folder = write_corpus(tmp_path)
    _, tokenizer, _ = reopen(folder, micro_config, tmp_path / "cache")
    change(folder, 4, language="fr")
    _, _, report = reopen(folder, micro_config, tmp_path / "cache", lambda found: tokenizer)
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
    corpus, _, report = reopen(folder, config, tmp_path / "cache")
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


def test_features_stay_in_memory_up_to_a_bound(corpus, micro_config, tmp_path, monkeypatch):
    opened, _, _ = reopen(corpus, micro_config, tmp_path)
    monkeypatch.setattr(module, "MEMORY_BYTES", 0)
    bare, _, _ = reopen(corpus, micro_config, tmp_path)

    def fail(path):
        raise AssertionError("the disk was read")

    monkeypatch.setattr(features_module, "_read", fail)
    assert opened.features(0) is opened.features(0)
    with pytest.raises(AssertionError, match="disk"):
        bare.features(0)


def test_embeddings_are_computed_once_for_each_key(corpus, micro_config, tmp_path):
    calls = []

    def encoder(audio):
        calls.append(len(audio))
        assert audio.dtype == np.float32
        assert 0.1 < np.abs(audio).max() <= 1.0
        return np.array([len(audio), len(calls)], "float64")

    opened, _, _ = reopen(corpus, micro_config, tmp_path)
    opened.embed(encoder, "one")
    assert opened.embeddings.shape == (6, 2)
    assert opened.embeddings.dtype == np.float32
    again, _, _ = reopen(corpus, micro_config, tmp_path)
    again.embed(encoder, "one")
    assert np.array_equal(again.embeddings, opened.embeddings)
    assert len(calls) == 6
    again.embed(encoder, "two")
    assert len(calls) == 12


def test_a_damaged_embedding_is_computed_again(corpus, micro_config, tmp_path):
    opened, _, _ = reopen(corpus, micro_config, tmp_path)
    opened.embed(lambda audio: np.ones(3), "key")
    path = sorted(tmp_path.glob("*/embeddings-key/*.npy"))[0]
    path.write_bytes(path.read_bytes()[:20])
    opened.embed(lambda audio: np.full(3, 2.0), "key")
    assert sorted(opened.embeddings[:, 0].tolist()) == [1, 1, 1, 1, 1, 2]
