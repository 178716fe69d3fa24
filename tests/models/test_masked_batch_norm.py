"""The batch norm of padded rows beside Keras' own with a mask."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.models.layer import BatchNorm
from myxtts.models.masked_batch_norm import MaskedBatchNorm

SHAPE = (3, 11, 5)


def made(kind):
    layer = kind(dtype="float32")
    layer.build(SHAPE)
    rng = np.random.default_rng(0)
    for variable in (layer.gamma, layer.beta, layer.moving_mean):
        variable.assign(rng.normal(size=SHAPE[-1]) + 1.0)
    return layer


def stepped(layer, inputs, mask) -> list:
    """Outputs, their gradients to inputs, scale and offset, and the kept statistics."""
    inputs = tf.constant(inputs)
    slope = tf.constant(np.random.default_rng(2).normal(size=SHAPE).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True, mask=mask)
        # What stands on padding is of no use to anybody.
        heard = outputs if mask is None else outputs * tf.cast(mask, "float32")[..., None]
        loss = tf.reduce_sum(heard * slope)
    gradients = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
    kept = [layer.moving_mean, layer.moving_variance]
    return [heard.numpy(), *(np.asarray(item) for item in (*gradients, *kept))]


@pytest.mark.parametrize("lengths", [None, (11, 4, 7)])
def test_it_is_the_masked_norm_of_keras_forwards_and_backwards(lengths):
    inputs = np.random.default_rng(1).normal(0.5, 2.0, SHAPE).astype("float32")
    mask = None
    if lengths is not None:
        mask = tf.sequence_mask(lengths, SHAPE[1])
    ours, theirs = (stepped(made(kind), inputs, mask) for kind in (MaskedBatchNorm, BatchNorm))
    for one, other in zip(ours, theirs, strict=True):
        # Keras adds 1e-7 to the number of valid frames.
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


def test_what_stands_on_padding_changes_nothing():
    inputs = np.random.default_rng(1).normal(size=SHAPE).astype("float32")
    mask = tf.sequence_mask((11, 4, 7), SHAPE[1])
    loud = np.where(mask.numpy()[..., None], inputs, 1e3).astype("float32")
    ours, theirs = (stepped(made(MaskedBatchNorm), item, mask) for item in (inputs, loud))
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[3], theirs[3])
    np.testing.assert_allclose(ours[1][mask.numpy()], theirs[1][mask.numpy()], rtol=1e-6)


def test_bfloat16_inputs_have_float32_statistics():
    keras.utils.set_random_seed(0)
    inputs = np.random.default_rng(1).normal(100.0, 1.0, (64, 200, 3)).astype("float32")
    layer = MaskedBatchNorm(dtype="mixed_bfloat16", momentum=0.0)
    layer.build(inputs.shape)
    outputs = layer(tf.cast(inputs, "bfloat16"), training=True)
    assert outputs.dtype == tf.bfloat16
    rounded = tf.cast(tf.cast(inputs, "bfloat16"), "float32").numpy()
    np.testing.assert_allclose(layer.moving_mean, rounded.mean((0, 1), "float64"), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, rounded.var((0, 1), "float64"), rtol=1e-3)
