"""The residual speaker encoder: padding, batches, loudness, statistics in training."""

import keras
import numpy as np
import pytest

from myxtts.models.coqui_resnet import ResNetSpeakerEncoder

FRAMES = (61, 40, 8, 33)


def make(name: str = "speaker_encoder") -> ResNetSpeakerEncoder:
    """A small encoder of four layers whose batch norms have been somewhere."""
    keras.utils.set_random_seed(0)
    encoder = ResNetSpeakerEncoder(12, (1, 2, 1, 1), (8, 8, 16, 16), name=name)
    encoder.build()
    rng = np.random.default_rng(0)
    for weight in encoder.weights:
        if "variance" in weight.path or "gamma" in weight.path:
            weight.assign(rng.uniform(0.5, 2.0, weight.shape))
        elif "moving_mean" in weight.path or "beta" in weight.path:
            weight.assign(0.3 * rng.normal(size=weight.shape))
    return encoder


@pytest.fixture(scope="module")
def encoder() -> ResNetSpeakerEncoder:
    return make()


def mels(frames: int, seed: int = 0, rows: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (3.0 * rng.normal(size=(rows, frames, 64)) - 5.0).astype("float32")


def padded(filler: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ``FRAMES`` behind each other's lengths, and where they are valid."""
    batch = np.full((len(FRAMES), 77, 64), filler, "float32")
    for row, frames in enumerate(FRAMES):
        batch[row, :frames] = mels(frames, seed=row)[0]
    return batch, np.arange(77)[None] < np.array(FRAMES)[:, None]


def moving(encoder) -> list[np.ndarray]:
    return [np.array(weight) for weight in encoder.non_trainable_weights if "moving" in weight.path]


def test_embeddings_have_length_one(encoder):
    embedding = encoder(mels(50, rows=3))
    assert embedding.shape == (3, 12)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("filler", [0.0, -13.8, 100.0])
def test_padding_and_batching_do_not_change_embedding(encoder, filler):
    batch, valid = padded(filler)
    together = np.asarray(encoder(batch, valid=valid))
    for row, frames in enumerate(FRAMES):
        alone = encoder(mels(frames, seed=row))
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


def test_padding_taken_for_speech_would_be_noticed(encoder):
    batch, valid = padded(-13.8)
    shifted = np.roll(valid, 1, axis=1)
    shifted[:, 0] = True
    difference = np.asarray(encoder(batch, valid=valid)) - np.asarray(encoder(batch, valid=shifted))
    assert np.max(np.abs(difference)) > 1e-3


def test_loudness_and_colour_do_not_change_embedding(encoder):
    mel = mels(50)
    colour = np.random.default_rng(1).normal(size=64).astype("float32")
    np.testing.assert_allclose(encoder(mel + colour), encoder(mel), atol=1e-4)


def test_speakers_differ(encoder):
    first, second = (np.asarray(encoder(mels(50, seed=seed)))[0] for seed in (0, 1))
    assert np.dot(first, second) < 1 - 1e-4


@pytest.mark.parametrize("frames", [1, 2, 7, 9])
def test_short_input_is_finite(encoder, frames):
    assert np.all(np.isfinite(encoder(mels(frames))))


def test_statistics_stand_still_outside_training():
    encoder = make()
    before = moving(encoder)
    encoder(mels(50), training=False)
    for old, new in zip(before, moving(encoder), strict=True):
        np.testing.assert_array_equal(old, new)


def test_padding_takes_no_part_in_the_statistics_of_training():
    results = []
    for filler in (0.0, 100.0):
        encoder = make()
        batch, valid = padded(filler)
        encoder(batch, valid=valid, training=True)
        results.append(moving(encoder))
    for old, first, second in zip(moving(make()), *results, strict=True):
        assert np.any(first != old)
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_half_precision_gives_nearly_the_same_embedding(encoder):
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        half = make()
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    batch = mels(300, rows=2)
    cosine = np.sum(np.asarray(half(batch)) * np.asarray(encoder(batch)), axis=-1)
    assert np.all(cosine > 0.999)


def test_config_gives_the_same_encoder_back(encoder):
    again = ResNetSpeakerEncoder.from_config(encoder.get_config())
    again.build()
    assert [w.path for w in again.weights] == [w.path for w in encoder.weights]
    assert len({w.path for w in again.weights}) == len(again.weights)
