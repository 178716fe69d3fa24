"""A model grows with its vocabulary and says of old texts what it said before."""

import numpy as np
import pytest

from myxtts.errors import CheckpointError
from myxtts.models.xtts import XTTS
from myxtts.text.extension import extend_tokenizer
from myxtts.text.tokenizer import train_tokenizer
from myxtts.training.vocabulary import grow_vocabulary

SWEDISH = [("hej världen hej", "sv")] * 3


@pytest.fixture
def model(micro_config):
    config = micro_config.merged({"model": {"gpt": {"num_text_tokens": 266}}})
    return XTTS(config, train_tokenizer([("hello there hello", "en")], 290))


def grow(model: XTTS, room: int = 30) -> XTTS:
    return grow_vocabulary(model, extend_tokenizer(model.tokenizer, SWEDISH, room))


def logits(model: XTTS) -> np.ndarray:
    latents = np.random.default_rng(0).normal(size=(1, 4, 32)).astype("float32")
    inputs = {
        "text_ids": np.array([model.tokenizer.encode("hello there", "en")], "int32"),
        "text_lengths": np.array([5], "int32"),
        "audio_codes": np.array([[3, 1, 4, 1]], "int32"),
        "code_lengths": np.array([4], "int32"),
        "conditioning_latents": latents,
    }
    return np.asarray(model.gpt(inputs)["audio_logits"])


def test_speech_of_an_old_text_is_unchanged(model):
    before = logits(model)
    np.testing.assert_allclose(logits(grow(model)), before, atol=1e-6)


def test_embedding_and_head_grow_together_beyond_the_spare_entries(model):
    model = grow(model)
    assert model.gpt.num_text_tokens == model.tokenizer.vocab_size > 266
    assert model.config.model.gpt.num_text_tokens == model.gpt.num_text_tokens
    assert model.gpt.text_embedding.embeddings.shape[0] == model.gpt.num_text_tokens
    assert model.gpt.text_head.kernel.shape[1] == model.gpt.num_text_tokens


def test_spare_entries_are_used_before_the_model_grows(model):
    assert grow(model, room=3).gpt.num_text_tokens == 266


def test_a_new_entry_begins_as_the_mean_of_its_spelling(model):
    old = model.tokenizer
    rows = np.asarray(model.gpt.text_embedding.embeddings)
    biases = np.asarray(model.gpt.text_head.bias)
    larger = grow(model)
    after = np.asarray(larger.gpt.text_embedding.embeddings)
    number = larger.tokenizer.vocabulary["hej"]
    np.testing.assert_allclose(after[number], rows[old.spell("hej")].mean(axis=0), rtol=1e-6)
    assert np.asarray(larger.gpt.text_head.bias)[number] == pytest.approx(
        biases[old.spell("hej")].mean()
    )
    english = rows[old.vocabulary["[en]"]]
    np.testing.assert_allclose(after[larger.tokenizer.vocabulary["[sv]"]], english, rtol=1e-6)


def test_a_grown_model_is_saved_and_read_again(model, tmp_path):
    model.trained_steps = {"gpt": 3}
    model = grow(model)
    model.save_to_preset(tmp_path / "preset")
    again = XTTS.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(logits(again), logits(model))
    assert again.trained_steps == {"gpt": 3}


def test_a_vocabulary_with_other_ids_is_refused(model):
    other = train_tokenizer([("quite another text", "en")], 290)
    with pytest.raises(CheckpointError, match="another id"):
        grow_vocabulary(model, other)
