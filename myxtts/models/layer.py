"""What the layers of several models share."""

from __future__ import annotations

import math

import keras
from keras import ops

# torch's default, of every norm of the references.
NORM_EPSILON = 1e-5


class Layer(keras.layers.Layer):
    """A layer whose configuration Keras makes of the plain values its constructor was given.

    The precision in it is left aside: a layer made of a configuration computes under the
    policy of the moment, as the layers inside it do, which are made anew.
    """

    @classmethod
    def from_config(cls, config: dict) -> Layer:
        """Make the layer that ``get_config`` describes."""
        return super().from_config({key: config[key] for key in config if key != "dtype"})


class BatchNorm(keras.layers.BatchNormalization):
    """torch's batch norm. It hands its mask to nobody: the layers behind it would warn of it."""

    # Keras counts what stays, torch what comes in: its 0.1.
    def __init__(self, momentum: float = 0.9, epsilon: float = NORM_EPSILON, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def compute_mask(self, inputs, previous_mask):
        return None


class UnbiasedBatchNorm(BatchNorm):
    """Batch norm whose running variance is the unbiased one, as torch keeps it.

    A batch is normalised by its biased variance all the same.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise ``(batch, time, channels)``."""
        if not training or not self.trainable:
            return super().call(inputs, training=False)
        x = ops.cast(inputs, "float32")
        axes = list(range(len(x.shape) - 1))
        mean, variance = ops.mean(x, axis=axes), ops.var(x, axis=axes)
        count = ops.cast(ops.prod(ops.shape(x)[:-1]), "float32")
        unbiased = variance * count / ops.maximum(count - 1.0, 1.0)
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            kept.assign(self.momentum * kept + (1.0 - self.momentum) * ops.stop_gradient(new))
        scale = self.gamma / ops.sqrt(variance + self.epsilon)
        return ops.cast((x - mean) * scale + self.beta, inputs.dtype)


def of_power_one(embedding):
    """Speaker embeddings ``(batch, size)`` of any length, brought to components of power one.

    Those of an embedding of length one are so small that the layers which hear a speaker would
    learn by a multiple of their steps slower than the layers around them.
    """
    embedding = ops.normalize(ops.cast(embedding, "float32"), axis=-1, epsilon=1e-12)
    return embedding * math.sqrt(embedding.shape[-1])
