"""Conditioning encoder and Perceiver resampler: a reference mel to a few latents.

Architecture of XTTS-v2 (Coqui ``ConditioningEncoder`` and ``PerceiverResampler``;
Jaegle et al. 2021, Alayrac et al. 2022).
"""

from __future__ import annotations

import keras
from keras import ops

from myxtts.config import ConditioningConfig
from myxtts.models.attention import attend, key_bias
from myxtts.models.layer import NORM_EPSILON, Layer


class ConditioningEncoder(Layer):
    """Attention blocks over a log-mel, ``(batch, frames, n_mels)`` to ``(batch, frames, dim)``.

    Args:
        model_dim: width of the output.
        num_blocks: attention blocks.
        heads: attention heads.
        n_mels: mel channels.
    """

    def __init__(self, model_dim: int, num_blocks: int, heads: int, n_mels: int = 80, **kwargs):
        super().__init__(**kwargs)
        self.model_dim = model_dim
        self.num_blocks = num_blocks
        self.n_mels = n_mels
        self.stem = keras.layers.Dense(model_dim, name="stem")
        self.blocks = [
            ConditioningBlock(model_dim, heads, name=f"block_{i}") for i in range(num_blocks)
        ]

    def build(self, input_shape=None):
        self.stem.build((None, None, self.n_mels))
        for block in self.blocks:
            block.build((None, None, self.model_dim))
        self.built = True

    def call(self, mel, valid=None):
        """Encode; ``valid`` bool ``(batch, frames)`` is False on padding, None for no padding."""
        hidden = self.stem(mel)
        for block in self.blocks:
            hidden = block(hidden, valid=valid)
        return hidden


class ConditioningBlock(Layer):
    """Group norm, self-attention over time, and a residual from the *normalised* input.

    The queries, keys and values of one head lie side by side in the projection,
    as in the reference.
    """

    def __init__(self, dim: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
        self.norm = MaskedGroupNorm(num_groups(dim), name="norm")
        self.qkv = keras.layers.Dense(3 * dim, name="qkv")
        self.proj_out = keras.layers.Dense(dim, kernel_initializer="zeros", name="proj_out")

    def build(self, input_shape):
        for layer in (self.norm, self.qkv, self.proj_out):
            layer.build((None, None, self.dim))
        self.built = True

    def call(self, inputs, valid=None):
        normed = self.norm(inputs, valid=valid)
        batch, time = ops.shape(inputs)[0], ops.shape(inputs)[1]
        head_dim = self.dim // self.heads
        qkv = ops.reshape(self.qkv(normed), (batch, time, self.heads, 3 * head_dim))
        query, key, value = ops.split(ops.transpose(qkv, (0, 2, 1, 3)), 3, axis=-1)
        attended = attend(query, key, value, key_bias(valid))
        return normed + self.proj_out(ops.reshape(attended, (batch, time, self.dim)))


class MaskedGroupNorm(Layer):
    """Group normalisation over time and channels whose statistics leave padding out.

    Without padding it equals ``GroupNormalization`` of ``(batch, time, channels)``.
    """

    def __init__(self, groups: int, epsilon: float = NORM_EPSILON, **kwargs):
        super().__init__(**kwargs)
        self.groups = groups
        self.epsilon = epsilon

    def build(self, input_shape):
        channels = input_shape[-1]
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")
        self.built = True

    def call(self, inputs, valid=None):
        batch, time, channels = ops.shape(inputs)
        grouped = ops.reshape(
            ops.cast(inputs, "float32"), (batch, time, self.groups, channels // self.groups)
        )
        mean, variance = _masked_moments(grouped, valid)
        normed = (grouped - mean) / ops.sqrt(variance + self.epsilon)
        normed = ops.cast(ops.reshape(normed, (batch, time, channels)), inputs.dtype)
        return normed * ops.cast(self.gamma, inputs.dtype) + ops.cast(self.beta, inputs.dtype)


class PerceiverResampler(Layer):
    """A fixed number of latents that read a context, ``(batch, frames, dim)``.

    Output ``(batch, num_latents, dim)``.

    Args:
        dim: width of context and latents.
        depth: layers.
        num_latents: latents.
        heads, head_dim: of the cross-attention, whatever ``dim`` is.
    """

    def __init__(self, dim: int, depth: int, num_latents: int, heads: int, head_dim: int, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.depth = depth
        self.num_latents = num_latents
        self.attentions = [
            PerceiverAttention(dim, heads, head_dim, name=f"attention_{i}") for i in range(depth)
        ]
        self.feed_forwards = [GEGLU(dim, name=f"feed_forward_{i}") for i in range(depth)]
        self.norm = RMSNorm(name="norm")

    @classmethod
    def from_section(cls, section: ConditioningConfig, dim: int, **kwargs) -> PerceiverResampler:
        """Build from the ``model.conditioning`` section of a configuration."""
        sizes = (section.perceiver_depth, section.num_latents)
        return cls(dim, *sizes, section.perceiver_heads, section.perceiver_head_dim, **kwargs)

    def build(self, input_shape=None):
        self.latents = self.add_weight(
            name="latents",
            shape=(self.num_latents, self.dim),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        for layer in [*self.attentions, *self.feed_forwards, self.norm]:
            layer.build((None, None, self.dim))
        self.built = True

    def call(self, context, valid=None):
        """Resample; ``valid`` bool ``(batch, frames)`` is False on padding."""
        batch = ops.shape(context)[0]
        context = ops.cast(context, self.compute_dtype)
        latents = ops.cast(self.latents, self.compute_dtype)
        latents = ops.broadcast_to(latents[None], (batch, self.num_latents, self.dim))
        if valid is not None:
            own = ops.ones((batch, self.num_latents), dtype="bool")
            valid = ops.concatenate([own, valid], axis=1)
        for attention, feed_forward in zip(self.attentions, self.feed_forwards, strict=True):
            latents = latents + attention(latents, context, valid=valid)
            latents = latents + feed_forward(latents)
        return self.norm(latents)


class PerceiverAttention(Layer):
    """Latents attend to themselves and the context; no bias anywhere."""

    def __init__(self, dim: int, heads: int, head_dim: int, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
        self.head_dim = head_dim
        inner = heads * head_dim
        self.to_q = keras.layers.Dense(inner, use_bias=False, name="to_q")
        self.to_kv = keras.layers.Dense(2 * inner, use_bias=False, name="to_kv")
        self.to_out = keras.layers.Dense(dim, use_bias=False, name="to_out")

    def build(self, input_shape):
        self.to_q.build((None, None, self.dim))
        self.to_kv.build((None, None, self.dim))
        self.to_out.build((None, None, self.heads * self.head_dim))
        self.built = True

    def call(self, latents, context, valid=None):
        seen = ops.concatenate([latents, context], axis=1)
        key, value = ops.split(self.to_kv(seen), 2, axis=-1)
        query, key, value = (self._heads(item) for item in (self.to_q(latents), key, value))
        attended = attend(query, key, value, key_bias(valid))
        batch, length = ops.shape(latents)[0], ops.shape(latents)[1]
        return self.to_out(ops.reshape(attended, (batch, length, self.heads * self.head_dim)))

    def _heads(self, inputs):
        batch, length = ops.shape(inputs)[0], ops.shape(inputs)[1]
        split = ops.reshape(inputs, (batch, length, self.heads, self.head_dim))
        return ops.transpose(split, (0, 2, 1, 3))


class GEGLU(Layer):
    """Gated feed-forward ``(batch, length, dim)`` with the exact (erf) GELU (Shazeer 2020)."""

    def __init__(self, dim: int, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        # Two thirds of the usual factor of four: the gate doubles the first projection.
        self.inner = int(dim * 4 * 2 / 3)
        self.to_gated = keras.layers.Dense(2 * self.inner, name="to_gated")
        self.to_out = keras.layers.Dense(dim, name="to_out")

    def build(self, input_shape):
        self.to_gated.build((None, None, self.dim))
        self.to_out.build((None, None, self.inner))
        self.built = True

    def call(self, inputs):
        value, gate = ops.split(self.to_gated(inputs), 2, axis=-1)
        return self.to_out(value * ops.gelu(gate, approximate=False))


class RMSNorm(Layer):
    """Scale vectors to length ``sqrt(dim)``, then by ``gamma``."""

    def build(self, input_shape):
        self.dim = input_shape[-1]
        self.gamma = self.add_weight(name="gamma", shape=(self.dim,), initializer="ones")
        self.built = True

    def call(self, inputs):
        values = ops.cast(inputs, "float32")
        squares = ops.sum(ops.square(values), axis=-1, keepdims=True)
        # The square root's slope at zero is infinite, hence the floor inside it.
        scale = self.dim**0.5 / ops.sqrt(ops.maximum(squares, 1e-24))
        return ops.cast(values * scale * ops.cast(self.gamma, "float32"), inputs.dtype)


def num_groups(channels: int) -> int:
    """Groups of the reference's group norms: 32 where it fits, fewer for narrow layers."""
    groups = 8 if channels <= 16 else 16 if channels <= 64 else 32
    while channels % groups:
        groups //= 2
    return groups


def _masked_moments(grouped, valid):
    """Mean and biased variance of ``(batch, time, groups, width)`` over time and width."""
    if valid is None:
        return ops.moments(grouped, axes=(1, 3), keepdims=True)
    weights = ops.cast(valid, "float32")[:, :, None, None]
    count = ops.sum(weights, axis=1, keepdims=True) * grouped.shape[-1]
    count = ops.maximum(count, 1.0)
    mean = ops.sum(grouped * weights, axis=(1, 3), keepdims=True) / count
    squares = ops.square(grouped - mean) * weights
    return mean, ops.sum(squares, axis=(1, 3), keepdims=True) / count
