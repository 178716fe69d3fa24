"""Recurrent layers with gradients of their own, beside Keras's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.models.recurrent import GRU


def pair(**settings) -> tuple:
    """Ours and Keras's with the same weights."""
    own, other = GRU(5, name="own", **settings), keras.layers.GRU(5, name="other", **settings)
    for layer in (own, other):
        layer.build((None, None, 3))
    rng = np.random.default_rng(0)
    for one, two in zip(own.weights, other.weights, strict=True):
        one.assign(rng.normal(size=one.shape))
        two.assign(one)
    return own, other


def told(layer, x) -> list:
    """What it makes, and the gradients of its weights and of what comes in."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = layer(x)
        loss = tf.reduce_sum(made**2) + tf.reduce_sum(made[..., :2])
    return [made, *tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])]


@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_it_is_kerass_with_its_gradients(steps, backwards, sequences):
    own, other = pair(return_sequences=sequences, go_backwards=backwards)
    x = np.random.default_rng(1).normal(size=(4, steps, 3)).astype("float32")
    for found, wanted in zip(told(own, x), told(other, x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_in_a_graph_of_any_length():
    own, other = pair(return_sequences=True)
    graph = tf.function(
        lambda x: told(own, x), input_signature=[tf.TensorSpec((None, None, 3))], autograph=False
    )
    for shape in ((4, 6, 3), (2, 9, 3)):
        x = np.random.default_rng(2).normal(size=shape).astype("float32")
        for found, wanted in zip(graph(x), told(other, x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_masks_and_states_are_kerass():
    own, other = pair(return_sequences=True)
    x = np.random.default_rng(3).normal(size=(2, 4, 3)).astype("float32")
    mask = np.array([[True] * 4, [True, True, False, False]])
    state = np.ones((2, 5), "float32")
    np.testing.assert_allclose(own(x, mask=mask), other(x, mask=mask), rtol=1e-5)
    np.testing.assert_allclose(
        own(x, initial_state=state), other(x, initial_state=state), rtol=1e-5
    )


def test_its_weights_are_named_as_kerass():
    own, other = pair()
    assert [v.path.partition("/")[2] for v in own.weights] == [
        v.path.partition("/")[2] for v in other.weights
    ]
