"""What the layers of several models share."""

from __future__ import annotations

import math

import keras
from keras import ops

from myxtts import replicas

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


class _Conv:
    """What the convolutions of the house do otherwise than Keras's."""

    def call(self, inputs):
        return replicas.with_a_row(self._convolved, inputs)

    def _convolved(self, inputs):
        # Keras has TensorFlow compile grouped ones by XLA: their gradient takes a processor thirty
        # times as long as one convolution a group, and an export is then bound to XLA.
        if self.groups == 1:
            return super().call(inputs)
        rows, kernels = (ops.split(each, self.groups, -1) for each in (inputs, self.kernel))
        how = {"padding": self.padding, "dilation_rate": self.dilation_rate}
        done = [
            ops.conv(row, kernel, strides=list(self.strides), **how)
            for row, kernel in zip(rows, kernels, strict=True)
        ]
        outputs = ops.concatenate(done, axis=-1)
        return self.activation(outputs + self.bias if self.use_bias else outputs)


class Conv1D(_Conv, keras.layers.Conv1D):
    """Keras's, also of a batch without rows, and fast where it has groups."""


class Conv2D(_Conv, keras.layers.Conv2D):
    """Keras's, also of a batch without rows, and fast where it has groups."""


class BatchNorm(keras.layers.BatchNormalization):
    """torch's batch norm. It hands its mask to nobody: the layers behind it would warn of it."""

    # Keras counts what stays, torch what comes in: its 0.1.
    def __init__(self, momentum: float = 0.9, epsilon: float = NORM_EPSILON, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def compute_mask(self, inputs, previous_mask):
        return None

    def _moments(self, inputs, mask):
        # Keras' own are of one replica wherever there is a mask.
        if replicas.alone():
            return super()._moments(inputs, mask)
        return whole_moments(inputs, mask)[:2]


class UnbiasedBatchNorm(BatchNorm):
    """Batch norm whose running variance is the unbiased one, as torch keeps it.

    A batch is normalised by its biased variance all the same.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise ``(batch, time, channels)``."""
        if not training or not self.trainable:
            return super().call(inputs, training=False)
        x = ops.cast(inputs, "float32")
        mean, variance, count = whole_moments(x)
        unbiased = variance * count / ops.maximum(count - 1.0, 1.0)
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            kept.assign(self.momentum * kept + (1.0 - self.momentum) * ops.stop_gradient(new))
        scale = self.gamma / ops.sqrt(variance + self.epsilon)
        return ops.cast((x - mean) * scale + self.beta, inputs.dtype)


def whole_moments(inputs, mask=None) -> tuple:
    """Mean and variance ``(channels,)`` of a whole batch, and of how many values they are.

    Args:
        inputs: float32 ``(batch, ..., channels)``, this replica's rows of the batch.
        mask: bool ``(batch, ...)``, False where ``inputs`` do not count; None where all do.
    """
    axes = list(range(len(inputs.shape) - 1))
    if replicas.alone() and mask is None:
        count = ops.cast(ops.prod(ops.shape(inputs)[:-1]), "float32")
        return ops.mean(inputs, axis=axes), ops.var(inputs, axis=axes), count
    counted = ops.ones_like(inputs[..., 0]) if mask is None else ops.cast(mask, "float32")
    weights = ops.broadcast_to(counted[..., None], (*ops.shape(inputs)[:-1], 1))
    sums = ops.sum(ops.where(weights > 0, inputs, 0.0), axis=axes)
    told = replicas.total(ops.concatenate([sums, ops.sum(weights)[None]]))
    count = ops.maximum(told[-1], 1.0)
    mean = told[:-1] / count
    squares = ops.where(weights > 0, ops.square(inputs - mean), 0.0)
    return mean, replicas.total(ops.sum(squares, axis=axes)) / count, count


class Dropout(keras.layers.Dropout):
    """Dropout of the rows of a batch that may be spread over replicas.

    Each drops of its rows what one that has the whole batch drops of them: all draw for the whole.
    The batch is the first axis, or the first with the second flattened into it.
    """

    def call(self, inputs, training=False):
        if replicas.alone() or not training or not self.rate:
            return super().call(inputs, training=training)
        shape = ops.shape(inputs)
        ones = ops.ones((replicas.whole(shape[0]), *shape[1:]), dtype=inputs.dtype)
        kept = keras.random.dropout(ones, self.rate, seed=self.seed_generator)
        return inputs * replicas.own(kept)


def of_power_one(embedding):
    """Speaker embeddings ``(batch, size)`` of any length, brought to components of power one.

    Those of an embedding of length one are so small that the layers which hear a speaker would
    learn by a multiple of their steps slower than the layers around them.
    """
    embedding = ops.normalize(ops.cast(embedding, "float32"), axis=-1, epsilon=1e-12)
    return embedding * math.sqrt(embedding.shape[-1])
