"""Pre-net and CBHG of Tacotron (Wang et al. 2017), as fatchord's implementation has them."""

from __future__ import annotations

import keras
from keras import ops

from myxtts.models.layer import Conv1D, Layer, UnbiasedBatchNorm


def uniform(fan_in: int) -> keras.initializers.Initializer:
    """torch's start of a bias: uniform within one over the root of the inputs."""
    return keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5)


def dense(units: int, inputs: int, name: str, bias: bool = True) -> keras.layers.Dense:
    """A linear layer with Xavier weights and torch's bias."""
    return keras.layers.Dense(units, use_bias=bias, bias_initializer=uniform(inputs), name=name)


class PreNet(Layer):
    """Two linear layers with ReLU and a dropout that is always on, ``(..., units)``.

    Args:
        inputs: channels that come in.
        units: of both layers.
        dropout: share that is dropped; what is kept is scaled by ``1 / (1 - dropout)``.
    """

    def __init__(self, inputs: int, units: int, dropout: float, **kwargs):
        super().__init__(**kwargs)
        self.inputs, self.units, self.dropout = inputs, units, dropout
        self.fc1 = dense(units, inputs, "fc1")
        self.fc2 = dense(units, units, "fc2")

    def build(self, input_shape=None):
        self.fc1.build((None, self.inputs))
        self.fc2.build((None, self.units))
        self.built = True

    def call(self, x, masks=None):
        """Apply; ``masks`` are two of 0 and 1 (1 = keep), None where nothing is dropped."""
        for number, layer in enumerate((self.fc1, self.fc2)):
            x = ops.relu(layer(x))
            if masks is not None:
                x = x * ops.cast(masks[number], x.dtype) / (1.0 - self.dropout)
        return x


class ConvNorm(Layer):
    """Convolution without bias, ReLU where it is wanted, then batch norm.

    ``kernel // 2`` zeros stand on both sides and the result is cut to the length of what came
    in, so an even kernel looks one step further back than ahead.
    """

    def __init__(self, inputs: int, filters: int, kernel: int, relu: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.inputs, self.filters, self.kernel, self.relu = inputs, filters, kernel, relu
        self.conv = Conv1D(filters, kernel, use_bias=False, name="conv")
        self.bnorm = UnbiasedBatchNorm(name="bnorm")

    def build(self, input_shape=None):
        self.conv.build((None, None, self.inputs))
        self.bnorm.build((None, None, self.filters))
        self.built = True

    def call(self, x, training=False):
        """``(batch, time, inputs)`` to ``(batch, time, filters)``."""
        half, time = self.kernel // 2, ops.shape(x)[1]
        x = self.conv(ops.pad(x, [[0, 0], [half, half], [0, 0]]))
        # The step too many of an even kernel counts in the norm's statistics all the same.
        return self.bnorm(ops.relu(x) if self.relu else x, training=training)[:, :time]


class Highway(Layer):
    """``g * relu(W1 x) + (1 - g) * x`` with the gate ``g = sigmoid(W2 x)``."""

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.w1 = keras.layers.Dense(units, name="W1")
        self.w2 = dense(units, units, "W2")

    def build(self, input_shape=None):
        self.w1.build((None, self.units))
        self.w2.build((None, self.units))
        self.built = True

    def call(self, x):
        """``(batch, time, units)`` to the same."""
        gate = ops.sigmoid(self.w2(x))
        return gate * ops.relu(self.w1(x)) + (1.0 - gate) * x


class CBHG(Layer):
    """Bank of convolutions, highways and a bidirectional GRU over ``(batch, time, inputs)``.

    Nothing is masked: padding passes through as fatchord's does.

    Args:
        kernels: the bank has those of 1 to this.
        inputs: channels that come in, and of the second projection.
        channels: of the bank, the highways and the result.
        projection: channels of the first projection.
        highways: how many.
    """

    def __init__(
        self, kernels: int, inputs: int, channels: int, projection: int, highways: int, **kwargs
    ):
        super().__init__(**kwargs)
        self.kernels, self.inputs, self.channels = kernels, inputs, channels
        self.projection, self.num_highways = projection, highways
        self.bank = [ConvNorm(inputs, channels, k + 1, name=f"bank_{k}") for k in range(kernels)]
        self.project1 = ConvNorm(kernels * channels, projection, 3, name="project1")
        self.project2 = ConvNorm(projection, inputs, 3, relu=False, name="project2")
        wider = inputs != channels
        self.pre_highway = (
            keras.layers.Dense(channels, use_bias=False, name="pre_highway") if wider else None
        )
        self.highways = [Highway(channels, name=f"highway_{i}") for i in range(highways)]
        self.forwards = _gru(channels // 2, False, "forward")
        self.backwards = _gru(channels // 2, True, "backward")

    def get_config(self) -> dict:
        own = {"kernels": self.kernels, "inputs": self.inputs, "channels": self.channels}
        rest = {"projection": self.projection, "highways": self.num_highways}
        return super().get_config() | own | rest

    def build(self, input_shape=None):
        for layer in (*self.bank, self.project1, self.project2, *self.highways):
            layer.build()
        if self.pre_highway is not None:
            self.pre_highway.build((None, None, self.inputs))
        for layer in (self.forwards, self.backwards):
            layer.build((None, None, self.channels))
        self.built = True

    def call(self, x, training=False):
        """``(batch, time, inputs)`` to ``(batch, time, channels)``."""
        banked = ops.concatenate([conv(x, training=training) for conv in self.bank], axis=-1)
        before = ops.concatenate([banked[:, :1], banked[:, :-1]], axis=1)
        hidden = self.project1(ops.maximum(banked, before), training=training)
        hidden = self.project2(hidden, training=training) + x
        if self.pre_highway is not None:
            hidden = self.pre_highway(hidden)
        for highway in self.highways:
            hidden = highway(hidden)
        return both_ways(self.forwards.cell, self.backwards.cell, hidden)


def _gru(units: int, backwards: bool, name: str) -> keras.layers.GRU:
    return keras.layers.GRU(
        units,
        return_sequences=True,
        go_backwards=backwards,
        reset_after=True,
        recurrent_initializer="glorot_uniform",
        bias_initializer=uniform(units),
        name=name,
    )


def both_ways(forwards, backwards, x):
    """What two GRU cells make of ``(batch, time, channels)``: ``(batch, time, 2 * units)``.

    What comes in is multiplied once for all times, and both directions go side by side, which on
    a processor takes half as long as Keras's layer does twice.

    Args:
        forwards, backwards: cells whose reset gate comes behind the product.
        x: the second cell reads it from its end.
    """
    cells = (forwards, backwards)
    given = [
        ops.matmul(one, cell.kernel) + cell.bias[0]
        for cell, one in zip(cells, (x, ops.flip(x, axis=1)), strict=True)
    ]
    # (time, directions, batch, 3 * units)
    given = ops.transpose(ops.stack(given), (2, 0, 1, 3))
    kernel = ops.concatenate([cell.recurrent_kernel[None] for cell in cells])
    bias = ops.stack([cell.bias[1:] for cell in cells])

    def step(state, now):
        update, reset, new = ops.split(now, 3, axis=-1)
        kept = ops.split(ops.matmul(state, kernel) + bias, 3, axis=-1)
        update = ops.sigmoid(update + kept[0])
        new = ops.tanh(new + ops.sigmoid(reset + kept[1]) * kept[2])
        state = update * state + (1.0 - update) * new
        return state, state

    start = ops.zeros((2, ops.shape(x)[0], forwards.units), x.dtype)
    _, made = ops.scan(step, start, given)
    made = ops.transpose(made, (1, 2, 0, 3))
    return ops.concatenate([made[0], ops.flip(made[1], axis=1)], axis=-1)
