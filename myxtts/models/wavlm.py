"""WavLM (Chen et al. 2022) and its x-vector head (Snyder et al. 2018), as transformers has them.

Axes: batch, frames of 20 ms, channels. The upstream takes padding into the statistics of its
group norm and of its pooling, and so gives a clip another embedding in a padded batch than
alone; here a padded row has the embedding of the row alone.
"""

from __future__ import annotations

import dataclasses

import keras
from keras import ops

from myxtts.audio.mel import sequence_mask
from myxtts.models.attention import key_bias
from myxtts.models.layer import Conv1D, Dropout, Layer
from myxtts.models.wavlm_blocks import (
    ConvBlock,
    PositionalConv,
    RelativePositions,
    WavLMBlock,
    layer_norm,
)
from myxtts.wavlm_config import WavLMConfig

# Of the deviation: the square root's slope at zero is infinite.
VARIANCE_FLOOR = 1e-12
# Under the root that a clip's level is divided by, as the upstream's feature extractor has it.
LEVEL_FLOOR = 1e-7


class WavLMEncoder(keras.Model):
    """Audio ``(batch, samples)`` at 16 kHz to embeddings ``(batch, embedding_dim)``.

    The embeddings have the upstream's length, not length one. A row too short for the head is
    one with silence behind it, so that every length has an embedding.

    Args:
        sizes: those of ``wavlm-base-plus-sv`` when None.
    """

    def __init__(self, sizes: WavLMConfig | None = None, name: str = "wavlm", **kwargs):
        # The parts cast for themselves; audio must not be rounded before them.
        super().__init__(name=name, autocast=False, **kwargs)
        self.sizes = sizes = sizes or WavLMConfig()
        self.embedding_dim = sizes.embedding_dim
        self.convs = [
            ConvBlock(channels, kernel, stride, sizes.conv_bias, norm, name=f"conv_{number}")
            for number, (channels, kernel, stride, norm) in enumerate(_convolutions(sizes))
        ]
        self.feature_norm = layer_norm("feature_norm")
        self.projection = keras.layers.Dense(sizes.hidden_dim, name="projection")
        self.positional = PositionalConv(
            sizes.position_kernel, sizes.position_groups, name="positional"
        )
        self.norm = layer_norm("norm")
        self.dropout = Dropout(sizes.dropout, name="dropout")
        self.positions = RelativePositions(
            sizes.heads, sizes.position_buckets, sizes.position_distance, name="positions"
        )
        shape = (sizes.heads, sizes.feed_forward_dim, sizes.pre_norm, sizes.dropout)
        self.blocks = [WavLMBlock(*shape, name=f"block_{number}") for number in range(sizes.layers)]
        self.head = XVectorHead.from_section(sizes, name="head") if sizes.head else None
        self.layer_weights = None

    @classmethod
    def from_section(cls, section: WavLMConfig, **kwargs) -> WavLMEncoder:
        """Build from the ``model.wavlm`` section of a configuration."""
        return cls(section, **kwargs)

    def build(self, input_shape=None):
        channels = (1, *self.sizes.conv_channels)
        for conv, incoming in zip(self.convs, channels, strict=False):
            conv.build((None, None, incoming))
        hidden = (None, None, self.sizes.hidden_dim)
        for layer in (self.feature_norm, self.projection):
            layer.build((None, None, channels[-1]))
        for layer in (self.positional, self.norm, self.positions, *self.blocks):
            layer.build(hidden)
        if self.sizes.layer_sum:
            shape = (self.sizes.layers + 1,)
            self.layer_weights = self.add_weight(
                name="layer_weights", shape=shape, initializer="zeros"
            )
        if self.head is not None:
            self.head.build(hidden)
        self.built = True

    def call(self, audio, lengths=None, training=False):
        """Embed; ``lengths`` int ``(batch,)`` in samples, None for no padding."""
        features, valid = self.features(audio, lengths)
        return self.pooled(self.hidden_states(features, valid, training=training), valid)

    def features(self, audio, lengths=None):
        """What is heard in audio ``(batch, samples)``.

        Returns:
            features ``(batch, frames, conv_channels[-1])`` behind their layer norm, and their
            mask ``(batch, frames)``.
        """
        hidden, lengths = self._prepared(audio, lengths)
        for conv in self.convs:
            lengths = conv.frames(lengths)
            hidden = conv(hidden, lengths=lengths)
        return self.feature_norm(hidden), sequence_mask(lengths, ops.shape(hidden)[1])

    def hidden_states(self, features, valid, training=False) -> list:
        """What the embedding is made of: :meth:`block_states`, the last behind the last norm.

        With ``pre_norm``, transformers 5 sums the last one without that norm, and no longer gives
        the embeddings that a head was trained on before.
        """
        states = self.block_states(features, valid, training=training)
        return [*states[:-1], self.norm(states[-1])] if self.sizes.pre_norm else states

    def block_states(self, features, valid, training=False) -> list:
        """What enters the first block and comes out of each, ``(batch, frames, hidden_dim)``."""
        hidden = self.dropout(self.projection(features), training=training)
        hidden = hidden * ops.cast(valid, hidden.dtype)[..., None]
        hidden = hidden + self.positional(hidden)
        if not self.sizes.pre_norm:
            hidden = self.norm(hidden)
        states = [self.dropout(hidden, training=training)]
        positions, hidden_keys = self.positions(hidden), key_bias(valid)
        for block in self.blocks:
            states.append(block(states[-1], positions, hidden_keys, training=training))
        return states

    def pooled(self, states: list, valid):
        """Embeddings of hidden states, by the head or as their mean over time."""
        hidden = states[-1] if self.layer_weights is None else self._summed(states)
        if self.head is not None:
            return self.head(hidden, valid)
        weights = ops.cast(valid, "float32")[..., None]
        return _mean(ops.cast(hidden, "float32"), weights, _count(weights))

    def _prepared(self, audio, lengths):
        """Audio ``(batch, samples, 1)`` with zeros behind each row, and the rows' lengths."""
        samples, least = ops.shape(audio)[1], shortest(self.sizes)
        if lengths is None:
            lengths = ops.full(ops.shape(audio)[:1], samples, dtype="int32")
        lengths = ops.cast(lengths, "int32")
        audio = ops.cast(audio, "float32")
        weights = ops.cast(sequence_mask(lengths, samples), "float32")
        # Not by multiplication: what is no number would stay none.
        audio = ops.where(weights > 0, audio, 0.0)
        if self.sizes.normalise:
            audio = even_level(audio, weights)
        spare = least - samples
        spare = max(spare, 0) if isinstance(spare, int) else ops.maximum(spare, 0)
        return ops.pad(audio, [[0, 0], [0, spare]])[..., None], ops.maximum(lengths, least)

    def _summed(self, states: list):
        weights = ops.softmax(ops.cast(self.layer_weights, "float32"))
        weighted = (ops.cast(state, "float32") * weights[i] for i, state in enumerate(states))
        return sum(weighted)

    def get_config(self) -> dict:
        return {"name": self.name, "sizes": dataclasses.asdict(self.sizes)}

    @classmethod
    def from_config(cls, config: dict) -> WavLMEncoder:
        return cls(WavLMConfig(**config["sizes"]), name=config["name"])


class XVectorHead(Layer):
    """Dilated convolutions, mean and deviation over time, and a projection to the embedding.

    Args:
        channels, kernel_sizes, dilations: of the convolutions.
        embedding_dim: of the embedding.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        kernel_sizes: tuple[int, ...],
        dilations: tuple[int, ...],
        embedding_dim: int,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.channels = tuple(channels)
        self.kernel_sizes = tuple(kernel_sizes)
        self.dilations = tuple(dilations)
        self.projector = keras.layers.Dense(channels[0], name="projector")
        shapes = enumerate(zip(channels, kernel_sizes, dilations, strict=True))
        self.convs = [
            Conv1D(width, kernel, dilation_rate=dilation, activation="relu", name=f"tdnn_{number}")
            for number, (width, kernel, dilation) in shapes
        ]
        self.embedding = keras.layers.Dense(embedding_dim, name="embedding")

    @classmethod
    def from_section(cls, section: WavLMConfig, **kwargs) -> XVectorHead:
        """Build from the ``model.wavlm`` section of a configuration."""
        shapes = (section.head_channels, section.head_kernels, section.head_dilations)
        return cls(*shapes, section.head_dim, **kwargs)

    def build(self, input_shape):
        self.projector.build(input_shape)
        widths = (self.channels[0], *self.channels)
        for conv, incoming in zip(self.convs, widths, strict=False):
            conv.build((None, None, incoming))
        self.embedding.build((None, 2 * self.channels[-1]))
        self.built = True

    def call(self, inputs, valid):
        """Embeddings ``(batch, embedding_dim)``; ``valid`` bool ``(batch, frames)``."""
        hidden = self.projector(inputs)
        for conv in self.convs:
            hidden = conv(hidden)
        hidden = ops.cast(hidden, "float32")
        # A frame is one of the row alone where its last frame heard is.
        heard = valid[:, lost_frames(self.kernel_sizes, self.dilations) :]
        weights = ops.cast(heard, "float32")[..., None]
        count = _count(weights)
        mean = _mean(hidden, weights, count)
        squares = ops.square(hidden - mean[:, None]) * weights
        variance = ops.sum(squares, axis=1) / ops.maximum(count - 1.0, 1.0)
        deviation = ops.sqrt(ops.maximum(variance, VARIANCE_FLOOR))
        return self.embedding(ops.concatenate([mean, deviation], axis=-1))


def even_level(audio, weights):
    """Bring rows ``(batch, samples)`` to mean 0 and variance 1; ``weights`` are 0 on padding."""
    count = ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)
    audio = (audio - ops.sum(audio * weights, axis=1, keepdims=True) / count) * weights
    variance = ops.sum(ops.square(audio), axis=1, keepdims=True) / count
    return audio * ops.rsqrt(variance + LEVEL_FLOOR)


def shortest(sizes: WavLMConfig) -> int:
    """Samples that give two frames, of which there is a deviation, behind the head's layers."""
    frames = 2 + (lost_frames(sizes.head_kernels, sizes.head_dilations) if sizes.head else 0)
    for kernel, stride in zip(sizes.conv_kernels[::-1], sizes.conv_strides[::-1], strict=True):
        frames = (frames - 1) * stride + kernel
    return frames


def lost_frames(kernel_sizes, dilations) -> int:
    """Frames by which convolutions without padding shorten a row."""
    return sum((size - 1) * step for size, step in zip(kernel_sizes, dilations, strict=True))


def _convolutions(sizes: WavLMConfig) -> list[tuple]:
    """Channels, kernel, stride and norm of each convolution."""
    behind_first = {"group": "time", "layer": "layer"}[sizes.conv_norm]
    behind_others = {"group": None, "layer": "layer"}[sizes.conv_norm]
    norms = [behind_first] + [behind_others] * (len(sizes.conv_channels) - 1)
    shapes = (sizes.conv_channels, sizes.conv_kernels, sizes.conv_strides)
    return list(zip(*shapes, norms, strict=True))


def _count(weights):
    """Valid frames of each row ``(batch, 1)``, at least one."""
    return ops.maximum(ops.sum(weights, axis=1), 1.0)


def _mean(values, weights, count):
    return ops.sum(values * weights, axis=1) / count
