"""WavLM: padding changes nothing, every length has an embedding, it trains, and graphs agree."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.models.wavlm import WavLMEncoder, even_level, shortest
from myxtts.wavlm_config import WavLMConfig
from tests.conftest import MICRO
from tests.speaker_upstreams import relative_error

SIZES = WavLMConfig().merged(MICRO["model"]["wavlm"])
VARIANTS = {
    "base": SIZES,
    "large": dataclasses.replace(SIZES, conv_norm="layer", pre_norm=True, normalise=False),
    "headless": dataclasses.replace(SIZES, head=False, layer_sum=False, conv_bias=True),
}
SIGNATURE = [tf.TensorSpec((None, None)), tf.TensorSpec((None,), "int32")]
LENGTHS = np.array([9_001, 16_000, 5_500, 300], "int32")
TOLERANCE = 1e-5


def make(variant: str = "base") -> WavLMEncoder:
    """An encoder of which no weight is what it begins with."""
    encoder = WavLMEncoder(VARIANTS[variant])
    encoder.build()
    rng = np.random.default_rng(0)
    for weight in encoder.weights:
        weight.assign(weight + 0.2 * rng.normal(size=weight.shape))
    return encoder


@pytest.fixture(scope="module", params=VARIANTS)
def encoder(request) -> WavLMEncoder:
    return make(request.param)


def padded(filler: float) -> np.ndarray:
    batch = np.full((len(LENGTHS), 17_000), filler, "float32")
    for row, length in zip(batch, LENGTHS, strict=True):
        row[:length] = noise(length)
    return batch


def noise(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(samples).normal(size=samples)).astype("float32")


@pytest.mark.parametrize("filler", [0.0, 5.0, np.nan])
def test_padding_does_not_change_an_embedding(encoder, filler):
    together = np.asarray(encoder(padded(filler), LENGTHS))
    for row, length in zip(together, LENGTHS, strict=True):
        assert relative_error(row, encoder(noise(length)[None])[0]) <= TOLERANCE, length


def test_order_and_company_of_rows_do_not_matter(encoder):
    batch = padded(0.0)
    turned = np.asarray(encoder(batch[::-1], LENGTHS[::-1]))[::-1]
    assert relative_error(turned, encoder(batch, LENGTHS)) <= TOLERANCE


def test_leaving_the_lengths_out_would_be_noticed(encoder):
    row = padded(0.0)[:1]
    assert relative_error(encoder(row), np.asarray(encoder(row, LENGTHS[:1]))) > 1_000 * TOLERANCE


def test_every_short_length_is_finite_and_what_it_is_with_silence_behind(encoder):
    least = shortest(encoder.sizes)
    lengths = np.array([0, 1, 399, 400, 719, 720, least - 1, least], "int32")
    batch = np.repeat(noise(least)[None], len(lengths), axis=0)
    together = np.asarray(encoder(batch, lengths))
    assert np.isfinite(together).all()
    assert relative_error(together[1], encoder(batch[:1, :1])[0]) <= TOLERANCE
    silence = np.zeros((1, 8_000), "float32")
    assert np.isfinite(np.asarray(encoder(silence))).all()


def test_the_published_model_wants_a_third_of_a_second():
    sizes = WavLMConfig()
    assert shortest(sizes) == 400 + 15 * 320
    assert shortest(dataclasses.replace(sizes, head=False)) == 400 + 320


def test_each_row_gets_a_level_of_its_own():
    audio = np.stack([noise(500), 30 * noise(500) + 4]).astype("float32")
    weights = np.ones((2, 500), "float32")
    weights[1, 300:] = 0
    level = np.asarray(even_level(audio, weights))
    for row, size in zip(level, (500, 300), strict=True):
        np.testing.assert_allclose([row[:size].mean(), row[:size].std()], [0, 1], atol=1e-4)
    assert not level[1, 300:].any()


def test_a_frame_is_20_ms_and_its_mask_that_of_the_audio(encoder):
    features, valid = encoder.features(padded(0.0), LENGTHS)
    frames = (np.maximum(LENGTHS, shortest(encoder.sizes)) - 400) // 320 + 1
    np.testing.assert_array_equal(np.asarray(valid).sum(axis=1), frames)
    assert features.shape[1] == (17_000 - 400) // 320 + 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_reach_the_audio_and_every_weight(variant):
    encoder = make(variant)
    audio = tf.constant(padded(0.0))
    with tf.GradientTape() as tape:
        tape.watch(audio)
        loss = tf.reduce_sum(encoder(audio, LENGTHS, training=True)[:, :5] ** 2)
    names = ["audio", *(weight.path for weight in encoder.trainable_variables)]
    gradients = tape.gradient(loss, [audio, *encoder.trainable_variables])
    for name, gradient in zip(names, gradients, strict=True):
        gradient = tf.convert_to_tensor(gradient)
        assert np.isfinite(gradient).all(), name
        assert np.any(gradient), name


def test_silence_gives_finite_gradients():
    encoder, audio = make(), tf.constant(np.zeros((2, 6_000), "float32"))
    with tf.GradientTape() as tape:
        tape.watch(audio)
        loss = tf.reduce_sum(encoder(audio, np.array([6_000, 1])))
    assert np.isfinite(tape.gradient(loss, audio)).all()


def test_dropout_acts_in_training_alone():
    encoder, audio = make(), noise(9_000)[None]
    still = np.asarray(encoder(audio))
    np.testing.assert_array_equal(encoder(audio), still)
    assert relative_error(encoder(audio, training=True), still) > 1e-3
    quiet = WavLMEncoder(dataclasses.replace(SIZES, dropout=0.0))
    quiet.build()
    np.testing.assert_array_equal(quiet(audio, training=True), quiet(audio))


@pytest.mark.filterwarnings("error")
def test_a_graph_of_any_batch_and_length_equals_eager(encoder):
    graph = tf.function(lambda audio, lengths: encoder(audio, lengths), input_signature=SIGNATURE)
    batch = padded(1.0)
    for rows, samples in ((slice(None), 17_000), (slice(2, 4), 5_600), (slice(3, 4), 301)):
        part, lengths = batch[rows, :samples], LENGTHS[rows]
        assert relative_error(graph(part, lengths), encoder(part, lengths)) <= TOLERANCE


def test_xla_equals_eager():
    encoder, batch = make(), padded(1.0)
    compiled = tf.function(lambda audio, lengths: encoder(audio, lengths), jit_compile=True)
    assert relative_error(compiled(batch, LENGTHS), encoder(batch, LENGTHS)) <= TOLERANCE


def test_half_precision_is_near():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = make()
    finally:
        keras.config.set_dtype_policy("float32")
    whole = make()
    for weight, value in zip(half.weights, whole.weights, strict=True):
        weight.assign(value)
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in half.weights} == {"float32"}
    ours, right = (np.asarray(item(padded(0.0), LENGTHS), "float32") for item in (half, whole))
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(right, axis=1)
    assert np.all(np.sum(ours * right, axis=1) / norms > 0.99)


def test_every_weight_has_a_name_of_its_own(encoder):
    assert len({weight.path for weight in encoder.weights}) == len(encoder.weights)
