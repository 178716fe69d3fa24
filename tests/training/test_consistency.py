"""The speaker consistency loss of the decoder stage."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.config import XTTSConfig
from myxtts.errors import ConfigError
from myxtts.models.resemblyzer import ResemblyzerEncoder
from myxtts.training.consistency import SpeakerConsistency

SIZE = 17_664  # of a segment of 16 codes at 24 kHz


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    encoder = ResemblyzerEncoder()
    encoder.build()
    encoder.trainable = False
    return encoder


def noise(seed: int, rows: int = 4) -> tf.Tensor:
    wave = np.random.default_rng(seed).standard_normal((rows, SIZE)) * 0.1
    return tf.constant(wave, "float32")


def test_the_same_speech_is_of_the_same_speaker(encoder):
    loss = SpeakerConsistency(encoder, 2)
    assert float(loss(noise(0), noise(0))) == pytest.approx(0.0, abs=1e-6)
    assert float(loss(noise(0), noise(1))) > 1e-4


def test_segments_of_an_utterance_are_heard_as_one(encoder):
    real, fake = noise(0), noise(1)
    whole = SpeakerConsistency(encoder, 4)(real, fake)
    joined = [tf.reshape(wave, (1, -1)) for wave in (real, fake)]
    assert float(SpeakerConsistency(encoder, 1)(*joined)) == pytest.approx(float(whole), abs=1e-6)


def test_it_moves_what_was_rendered_and_nothing_else(encoder):
    real, fake = tf.Variable(noise(0)), tf.Variable(noise(1))
    with tf.GradientTape() as tape:
        loss = SpeakerConsistency(encoder, 2)(real, fake)
    to_real, to_fake = tape.gradient(loss, [real, fake])
    assert to_real is None or not np.any(to_real)
    assert np.any(to_fake)
    # Down the gradient the speakers come nearer.
    nearer = fake - 1.0 * to_fake / tf.reduce_max(tf.abs(to_fake)) * 1e-3
    assert float(SpeakerConsistency(encoder, 2)(real, nearer)) < float(loss)


def test_it_wants_a_pretrained_encoder():
    with pytest.raises(ConfigError, match="--use-pretrained-speaker-encoder"):
        XTTSConfig().merged({"training": {"speaker_loss_weight": 1.0}})
    chosen = {"use_pretrained_speaker_encoder": True}
    XTTSConfig().merged({"model": chosen, "training": {"speaker_loss_weight": 1.0}})
