"""The switch over pretrained encoders: same embeddings under every policy, frozen or not."""

import keras
import numpy as np
import pytest

from myxtts.config import ECAPAConfig
from myxtts.errors import ConfigError
from myxtts.models.audio_encoder import AudioEncoder
from myxtts.models.speaker_encoder import RANDOM, PretrainedSpeakerEncoder

AUDIO = (0.1 * np.random.default_rng(0).normal(size=(2, 30_000))).astype("float32")


@pytest.fixture
def half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def make_encoder(weights: list | None = None, freeze: bool = True) -> PretrainedSpeakerEncoder:
    """An encoder with the given weights that counts as loaded."""
    encoder = PretrainedSpeakerEncoder("resemblyzer", freeze)
    encoder.build()
    encoder.provenance = "weights of this test"
    for variable, value in zip(encoder.weights, weights or encoder.weights, strict=True):
        variable.assign(value)
    return encoder


def cosine(one, other) -> np.ndarray:
    return np.sum(np.asarray(one, "float32") * np.asarray(other, "float32"), axis=-1)


@pytest.fixture
def reference():
    """Weights that make embeddings differ, and the embeddings in float32."""
    encoder = make_encoder()
    rng = np.random.default_rng(1)
    for variable in encoder.weights:
        variable.assign(variable + 0.2 * rng.normal(size=variable.shape))
    return [np.array(variable) for variable in encoder.weights], np.asarray(encoder(AUDIO))


def test_half_precision_does_not_change_embeddings(reference, half_precision):
    weights, expected = reference
    embedding = make_encoder(weights)(AUDIO)
    assert keras.backend.standardize_dtype(embedding.dtype) == "float32"
    assert np.all(cosine(embedding, expected) >= 0.999999)


def test_half_precision_does_not_round_the_audio(micro_config, half_precision):
    changes = {
        "use_pretrained_speaker_encoder": True,
        "speaker_encoder_type": "resemblyzer",
        "freeze_speaker_encoder": False,
    }
    encoder = AudioEncoder(micro_config.merged({"model": changes}).model)
    encoder.build()
    heard = {}
    encoder._embedding = lambda features, training: (
        heard.update(features) or np.ones((2, 256), "float32")
    )
    encoder.encode(AUDIO)
    assert keras.backend.standardize_dtype(heard["audio_16k"].dtype) == "float32"


def test_frozen_encoders_pass_no_gradient():
    tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow")
    for freeze in (True, False):
        encoder = make_encoder(freeze=freeze)
        audio = tf.constant(AUDIO)
        with tf.GradientTape() as tape:
            tape.watch(audio)
            total = tf.reduce_sum(encoder(audio, training=True)[:, 0])
        assert (tape.gradient(total, audio) is None) == freeze
        assert (encoder.trainable_variables == []) == freeze


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [("resemblyzer", None), ("ecapa_tdnn", ECAPAConfig(embedding_dim=7)), ("coqui", None)],
)
def test_configuration_makes_the_same_encoder(kind, sizes):
    encoder = PretrainedSpeakerEncoder(kind, freeze=False, sizes=sizes)
    again = PretrainedSpeakerEncoder.from_config(encoder.get_config())
    assert again.get_config() == encoder.get_config()
    assert again.embedding_dim == encoder.embedding_dim
    assert again.provenance == RANDOM


def test_unknown_encoders_are_refused():
    with pytest.raises(ConfigError, match="unknown speaker encoder 'nonsense'"):
        PretrainedSpeakerEncoder("nonsense")
