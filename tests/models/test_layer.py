"""What the layers of several models share: batches without rows, and convolutions in groups."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts import replicas
from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.mel import MelSpectrogram
from myxtts.audio.resample import SincResampler
from myxtts.models.layer import Conv1D, Conv2D

LAYERS = {
    "Conv1D": (lambda: Conv1D(5, 3, padding="same"), (7, 2), (7, 5)),
    "Conv2D": (lambda: Conv2D(5, 3, padding="same"), (7, 4, 2), (7, 4, 5)),
    "MelSpectrogram": (lambda: MelSpectrogram(XTTS_DVAE), (2048,), (9, 80)),
    "SincResampler": (lambda: SincResampler(24_000, 16_000), (240,), (160,)),
}


class Other(replicas.Replica):
    """One of several."""


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("rows", [0, 2])
def test_no_rows_have_the_shape_of_rows(name, rows):
    make, inputs, outputs = LAYERS[name]
    layer = make()
    values = np.random.default_rng(0).normal(size=(rows, *inputs)).astype("float32")
    expected = np.asarray(layer(values)) if rows else np.zeros((0, *outputs), "float32")

    @tf.function(input_signature=[tf.TensorSpec([None, *inputs])])
    def step(batch):
        with tf.GradientTape() as tape:
            tape.watch(batch)
            found = layer(batch)
        return found, tape.gradient(found, batch)

    if not layer.built:
        layer.build((None, *inputs))
    with replicas.computing(Other()):
        found, gradient = step(values)
    assert gradient.shape == values.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("own", "theirs", "shape"),
    [(Conv1D, keras.layers.Conv1D, (19, 6)), (Conv2D, keras.layers.Conv2D, (19, 5, 6))],
)
def test_groups_are_those_of_keras_and_need_no_xla(own, theirs, shape):
    options = {"strides": 2, "groups": 3, "padding": "same", "activation": "tanh"}
    layers = [kind(12, 3, **options) for kind in (own, theirs)]
    values = tf.constant(np.random.default_rng(0).normal(size=(2, *shape)), "float32")
    for layer in layers:
        layer.build((None, *shape))
    layers[1].set_weights(layers[0].get_weights())

    def gradients(layer):
        @tf.function(autograph=False)
        def step(batch):
            with tf.GradientTape() as tape:
                tape.watch(batch)
                loss = tf.reduce_sum(tf.square(layer(batch)))
            return loss, tape.gradient(loss, [batch, *(v.value for v in layer.weights)])

        return step

    steps = [gradients(layer) for layer in layers]
    found, expected = (tf.nest.flatten(step(values)) for step in steps)
    for ours, others in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, others, rtol=1e-4, atol=1e-5)
    compiled = [
        "XlaMustCompile" in str(s.get_concrete_function(values).graph.as_graph_def()) for s in steps
    ]
    assert compiled == [False, True]
