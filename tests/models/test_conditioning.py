"""Padding leaves conditioning alone, and the parts are the ones the reference has."""

import keras
import numpy as np
import pytest
from keras import ops

from myxtts.models.conditioning import (
    GEGLU,
    ConditioningEncoder,
    MaskedGroupNorm,
    PerceiverResampler,
    RMSNorm,
    num_groups,
)

FRAMES, PADDED, DIM = 23, 40, 48


def randomised(layer, seed: int = 0):
    """Build, and move every weight: output projections start at zero."""
    layer.build((None, None, DIM))
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(variable + 0.1 * rng.normal(size=variable.shape))
    return layer


@pytest.fixture(scope="module")
def encoder():
    return randomised(ConditioningEncoder(DIM, 2, 4, n_mels=10, name="encoder"))


@pytest.fixture(scope="module")
def perceiver():
    return randomised(PerceiverResampler(DIM, 2, 6, 3, 8, name="perceiver"))


@pytest.fixture
def mel():
    return np.random.default_rng(1).normal(size=(2, FRAMES, 10)).astype("float32")


def pad(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames with loud padding behind them, and which of them are valid."""
    noise = np.full((len(frames), PADDED - FRAMES, frames.shape[-1]), 7.0, "float32")
    valid = np.broadcast_to(np.arange(PADDED) < FRAMES, (len(frames), PADDED))
    return np.concatenate([frames, noise], axis=1), valid


def test_padding_does_not_change_the_encoder(encoder, mel):
    padded, valid = pad(mel)
    hidden = np.asarray(encoder(padded, valid=valid))[:, :FRAMES]
    np.testing.assert_allclose(hidden, encoder(mel), atol=1e-5)


def test_padding_that_is_not_declared_does(encoder, mel):
    hidden = np.asarray(encoder(pad(mel)[0]))[:, :FRAMES]
    assert np.abs(hidden - np.asarray(encoder(mel))).max() > 1e-2


def test_padding_does_not_change_the_latents(perceiver):
    context = np.random.default_rng(2).normal(size=(2, FRAMES, DIM)).astype("float32")
    padded, valid = pad(context)
    latents = np.asarray(perceiver(context))
    assert latents.shape == (2, 6, DIM)
    np.testing.assert_allclose(perceiver(padded, valid=valid), latents, atol=1e-5)
    assert np.abs(np.asarray(perceiver(padded)) - latents).max() > 1e-2


def test_rows_of_different_lengths_equal_singles(encoder, perceiver, mel):
    lengths = np.array([FRAMES, 9])
    valid = np.arange(FRAMES) < lengths[:, None]
    together = np.asarray(perceiver(encoder(mel, valid=valid), valid=valid))
    for row, length in enumerate(lengths):
        single = perceiver(encoder(mel[row : row + 1, :length]))
        np.testing.assert_allclose(single[0], together[row], atol=1e-5)


def test_a_row_of_padding_alone_stays_finite(encoder, perceiver, mel):
    valid = np.array([[True] * FRAMES, [False] * FRAMES])
    assert np.isfinite(perceiver(encoder(mel, valid=valid), valid=valid)).all()


def test_without_padding_group_norm_is_kerass():
    values = np.random.default_rng(3).normal(2.0, 3.0, (2, 9, 24)).astype("float32")
    ours = MaskedGroupNorm(8, name="ours")
    theirs = keras.layers.GroupNormalization(8, epsilon=1e-5, name="theirs")
    np.testing.assert_allclose(ours(values), theirs(values), atol=1e-5)
    everything = np.ones((2, 9), bool)
    np.testing.assert_allclose(ours(values, valid=everything), theirs(values), atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "groups"), [(16, 8), (64, 16), (48, 16), (192, 32), (1024, 32), (40, 8), (4, 4)]
)
def test_groups_follow_the_references_rule(channels, groups):
    assert num_groups(channels) == groups


def test_a_block_passes_its_normalised_input_on(encoder, mel):
    block = encoder.blocks[0]
    kept = [variable.numpy() for variable in block.proj_out.weights]
    for variable in block.proj_out.weights:
        variable.assign(ops.zeros_like(variable))
    hidden = encoder.stem(mel)
    np.testing.assert_array_equal(block(hidden), block.norm(hidden))
    for variable, value in zip(block.proj_out.weights, kept, strict=True):
        variable.assign(value)


def test_rms_norm_gives_length_root_dim_whatever_the_scale():
    layer = RMSNorm(name="norm")
    values = np.random.default_rng(4).normal(size=(2, 3, DIM)).astype("float32")
    normed = np.asarray(layer(values))
    np.testing.assert_allclose(np.linalg.norm(normed, axis=-1), DIM**0.5, rtol=1e-5)
    # An epsilon inside the root would show on vectors as small as these.
    np.testing.assert_allclose(layer(values * 1e-6), normed, rtol=1e-4)


def test_rms_norm_of_zeros_has_finite_slopes():
    import tensorflow as tf

    layer = RMSNorm(name="norm")
    zeros = tf.Variable(tf.zeros((1, 2, DIM)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(zeros))
    assert np.isfinite(tape.gradient(loss, zeros)).all()


def test_feed_forward_gates_by_the_exact_gelu():
    from scipy.special import erf

    layer = randomised(GEGLU(DIM, name="feed_forward"))
    assert layer.inner == 128
    inputs = 3 * np.random.default_rng(5).normal(size=(2, 3, DIM)).astype("float32")
    value, gate = np.split(np.asarray(layer.to_gated(inputs)), 2, axis=-1)
    exact = layer.to_out(value * gate * (1 + erf(gate / 2**0.5)) / 2)
    tanh = layer.to_out(value * np.asarray(ops.gelu(gate, approximate=True)))
    np.testing.assert_allclose(layer(inputs), exact, atol=1e-5)
    assert np.abs(np.asarray(tanh) - np.asarray(exact)).max() > 1e-4


def twin(layer):
    """The same layer under the policy of the moment."""
    other = type(layer).from_config(layer.get_config())
    other.build((None, None, DIM))
    for mine, its in zip(other.weights, layer.weights, strict=True):
        assert mine.path == its.path
        mine.assign(its)
    return other


def test_configurations_give_the_same_layers_back(encoder, perceiver, mel):
    np.testing.assert_array_equal(perceiver(encoder(mel)), twin(perceiver)(twin(encoder)(mel)))


@pytest.fixture
def bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def test_bfloat16_stays_near_float32(encoder, perceiver, mel, bfloat16):
    valid = np.arange(FRAMES)[None] < np.array([[FRAMES], [9]])
    exact = np.asarray(perceiver(encoder(mel, valid=valid), valid=valid))
    rounded = twin(perceiver)(twin(encoder)(mel, valid=valid), valid=valid)
    assert keras.backend.standardize_dtype(rounded.dtype) == "bfloat16"
    error = np.abs(np.asarray(rounded, "float32") - exact)
    assert error.mean() < 0.03 * np.abs(exact).mean()
