"""The parts of WavLM: what hears the audio, where positions come in, and a transformer block.

Axes: batch, frames, channels.
"""

from __future__ import annotations

import math

import keras
from keras import ops

from myxtts.audio.mel import sequence_mask
from myxtts.models.attention import attend
from myxtts.models.layer import NORM_EPSILON, Conv1D, Dropout, Layer

# Numbers that the gate of a head reads are summed by so many to become its two halves.
GATE_HALVES, GATE_SUMMED = 2, 4


def layer_norm(name: str) -> keras.layers.LayerNormalization:
    """A layer norm over channels as torch has it."""
    return keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=name)


class TimeNorm(Layer):
    """Group norm with a group for each channel: over the valid frames of a row.

    torch's takes the padding in; so a padded row would be another than the row alone.
    """

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")
        self.built = True

    def call(self, inputs, lengths):
        """``lengths`` int ``(batch,)``: valid frames of each row."""
        values = ops.cast(inputs, "float32")
        valid = sequence_mask(lengths, ops.shape(inputs)[1])
        weights = ops.cast(valid, "float32")[..., None]
        share = weights / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)
        values = values - ops.sum(values * share, axis=1, keepdims=True)
        variance = ops.sum(ops.square(values) * share, axis=1, keepdims=True)
        scale = ops.rsqrt(variance + NORM_EPSILON) * ops.cast(self.gamma, "float32")
        return ops.cast(values * scale + ops.cast(self.beta, "float32"), inputs.dtype)


class ConvBlock(Layer):
    """Convolution without padding, norm and the exact GELU.

    Args:
        channels, kernel_size, stride: of the convolution.
        use_bias: of the convolution.
        norm: ``time`` (:class:`TimeNorm`), ``layer`` (over channels) or None.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        stride: int = 1,
        use_bias: bool = False,
        norm: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.channels = channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.conv = Conv1D(channels, kernel_size, strides=stride, use_bias=use_bias, name="conv")
        self.norm_kind = norm
        self.norm = {None: None, "time": TimeNorm(name="norm"), "layer": layer_norm("norm")}[norm]

    def build(self, input_shape):
        self.conv.build(input_shape)
        if self.norm is not None:
            self.norm.build((None, None, self.channels))
        self.built = True

    def call(self, inputs, lengths):
        """``lengths`` int ``(batch,)``: frames of the output, see :meth:`frames`."""
        hidden = self.conv(inputs)
        if self.norm_kind == "time":
            hidden = self.norm(hidden, lengths=lengths)
        elif self.norm_kind == "layer":
            hidden = self.norm(hidden)
        return ops.gelu(hidden, approximate=False)

    def frames(self, lengths):
        """Frames out of rows of ``lengths`` frames, int ``(batch,)``."""
        return (lengths - self.kernel_size) // self.stride + 1


class PositionalConv(Layer):
    """What a wide grouped convolution hears around each frame, to be added to the frame.

    Args:
        kernel_size: in frames; of an even one, the half and one more lie behind the frame.
        groups: of channels.
    """

    def __init__(self, kernel_size: int, groups: int, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.groups = groups
        self.conv = None

    def build(self, input_shape):
        self.conv = Conv1D(input_shape[-1], self.kernel_size, groups=self.groups, name="conv")
        self.conv.build(input_shape)
        self.built = True

    def call(self, inputs):
        before = self.kernel_size // 2
        around = [[0, 0], [before, self.kernel_size - 1 - before], [0, 0]]
        return ops.gelu(self.conv(ops.pad(inputs, around)), approximate=False)


class RelativePositions(Layer):
    """A number for each head and distance from query to key, ``(1, heads, frames, frames)``.

    Args:
        heads: of the attention.
        buckets: of distances: a half for each direction, half of it for single distances, the
            rest wider the farther, as T5 has it.
        distance: from which all share the last bucket.
    """

    def __init__(self, heads: int, buckets: int, distance: int, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.buckets = buckets
        self.distance = distance

    def build(self, input_shape=None):
        shape = (self.buckets, self.heads)
        self.table = self.add_weight(name="table", shape=shape, initializer="normal")
        self.built = True

    def call(self, inputs):
        """``inputs`` ``(batch, frames, dim)``: of their number of frames."""
        positions = ops.arange(ops.shape(inputs)[1])
        index = self.bucket(positions[None, :] - positions[:, None])
        return ops.transpose(ops.take(self.table, index, axis=0), (2, 0, 1))[None]

    def bucket(self, relative):
        """Buckets int32 of the distances ``relative`` from query to key."""
        side = self.buckets // 2
        single = side // 2
        distance = ops.abs(relative)
        ratio = ops.cast(ops.maximum(distance, single), "float32") / single
        # The upstream's order of operations in float32: another would move some of the edges.
        far = ops.log(ratio) / math.log(self.distance / single) * (side - single)
        far = ops.minimum(ops.cast(single + far, "int32"), side - 1)
        near = ops.where(distance < single, ops.cast(distance, "int32"), far)
        return near + ops.where(relative > 0, side, 0)


class GatedAttention(Layer):
    """Self-attention whose relative positions are gated by what each query is.

    Args:
        heads: that share the channels.
        dropout: of the attention's weights.
    """

    def __init__(self, heads: int, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.dropout = Dropout(dropout, name="dropout")
        self.gate = keras.layers.Dense(GATE_HALVES * GATE_SUMMED, name="gate")
        self.qkv = self.out = None

    def build(self, input_shape):
        self.dim = dim = input_shape[-1]
        self.qkv = keras.layers.Dense(3 * dim, name="qkv")
        self.out = keras.layers.Dense(dim, name="out")
        self.qkv.build(input_shape)
        self.out.build(input_shape)
        self.gate.build((None, None, dim // self.heads))
        self.gate_scale = self.add_weight(
            name="gate_scale", shape=(1, self.heads, 1, 1), initializer="ones"
        )
        self.built = True

    def call(self, inputs, positions, hidden_keys, training=False):
        """Attend.

        Args:
            inputs: ``(batch, frames, dim)``.
            positions: of :class:`RelativePositions`.
            hidden_keys: score bias ``(batch, 1, 1, frames)`` that hides padding.
        """
        query, key, value = (self._heads(item) for item in ops.split(self.qkv(inputs), 3, axis=-1))
        bias = self._gates(self._heads(inputs)) * ops.cast(positions, "float32")
        bias = bias + ops.cast(hidden_keys, "float32")
        attended = attend(query, key, value, bias, self.dropout, training)
        return self.out(ops.reshape(attended, (-1, ops.shape(inputs)[1], self.dim)))

    def _gates(self, inputs):
        """What the positions of a query are multiplied by, ``(batch, heads, frames, 1)``."""
        gates = ops.cast(self.gate(inputs), "float32")
        halves = [ops.sum(half, axis=-1, keepdims=True) for half in ops.split(gates, 2, axis=-1)]
        update, reset = (ops.sigmoid(half) for half in halves)
        return update * (reset * ops.cast(self.gate_scale, "float32") - 1.0) + 2.0

    def _heads(self, inputs):
        split = (-1, ops.shape(inputs)[1], self.heads, self.dim // self.heads)
        return ops.transpose(ops.reshape(inputs, split), (0, 2, 1, 3))


class WavLMBlock(Layer):
    """Attention and feed-forward, each around a residual: ``(batch, frames, dim)``.

    Args:
        heads: of the attention.
        feed_forward_dim: width inside the feed-forward.
        pre_norm: whether layer norms stand before the two, not behind their sums.
        dropout: behind the two and of the attention's weights.
    """

    def __init__(
        self,
        heads: int,
        feed_forward_dim: int,
        pre_norm: bool = False,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.pre_norm = pre_norm
        self.feed_forward_dim = feed_forward_dim
        self.attention = GatedAttention(heads, dropout, name="attention")
        self.attention_norm = layer_norm("attention_norm")
        self.widen = keras.layers.Dense(feed_forward_dim, name="widen")
        self.narrow = None
        self.norm = layer_norm("norm")
        self.dropout = Dropout(dropout, name="dropout")

    def build(self, input_shape):
        self.narrow = keras.layers.Dense(input_shape[-1], name="narrow")
        for layer in (self.attention, self.attention_norm, self.widen, self.norm):
            layer.build(input_shape)
        self.narrow.build((None, None, self.feed_forward_dim))
        self.built = True

    def call(self, inputs, positions, hidden_keys, training=False):
        heard = self.attention_norm(inputs) if self.pre_norm else inputs
        attended = self.attention(heard, positions, hidden_keys, training=training)
        hidden = inputs + self.dropout(attended, training=training)
        if self.pre_norm:
            return hidden + self._feed_forward(self.norm(hidden), training)
        hidden = self.attention_norm(hidden)
        return self.norm(hidden + self._feed_forward(hidden, training))

    def _feed_forward(self, inputs, training):
        hidden = ops.gelu(self.widen(inputs), approximate=False)
        return self.dropout(self.narrow(hidden), training=training)
