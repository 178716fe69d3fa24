"""ECAPA-TDNN speaker encoder (Desplanques et al. 2020), as SpeechBrain has it.

Axes: batch, frames, channels. SpeechBrain pads every convolution by reflection
and knows no padding of a batch; here a row is reflected at its own end, so a
padded row has the embedding of the row alone.
"""

from __future__ import annotations

import dataclasses

import keras
from keras import ops

from myxtts.audio.frontends import SPEECHBRAIN_ECAPA
from myxtts.audio.mel import MelSpectrogram, mirrored
from myxtts.config import ECAPAConfig
from myxtts.models.attention import HIDDEN
from myxtts.models.layer import BatchNorm, Conv1D, Layer
from myxtts.models.masked_batch_norm import MaskedBatchNorm

VARIANCE_FLOOR = 1e-12


class ECAPATDNN(keras.Model):
    """Audio ``(batch, samples)`` at 16 kHz to embeddings ``(batch, embedding_dim)``.

    The embeddings have the upstream's length, not length one. Everything is computed
    in float32 whatever the precision policy, unless ``precision`` says otherwise.

    Args:
        sizes: channels, kernels and dilations; those of ``spkrec-ecapa-voxceleb`` when None.
        precision: of the convolutions in training; front-end, statistics and projection are
            float32 in any case. No part of the configuration: who uses an encoder wants float32.
    """

    def __init__(
        self,
        sizes: ECAPAConfig | None = None,
        name: str = "ecapa_tdnn",
        precision: str = "float32",
        **kwargs,
    ):
        super().__init__(name=name, dtype="float32", **kwargs)
        self.sizes = sizes = sizes or ECAPAConfig()
        self.embedding_dim = sizes.embedding_dim
        self.mel = MelSpectrogram(SPEECHBRAIN_ECAPA, name="mel")
        shapes = list(zip(sizes.channels, sizes.kernel_sizes, sizes.dilations, strict=True))
        self.first = TDNNBlock(*shapes[0], dtype=precision, name="first")
        self.blocks = [
            SERes2NetBlock(
                *shape,
                sizes.res2net_scale,
                sizes.squeeze_dim,
                dtype=precision,
                name=f"block_{number}",
            )
            for number, shape in enumerate(shapes[1:-1], start=1)
        ]
        self.aggregation = TDNNBlock(*shapes[-1], dtype=precision, name="aggregation")
        self.pooling = AttentiveStatisticsPooling(
            sizes.attention_dim, dtype=precision, name="pooling"
        )
        self.pooled_norm = BatchNorm(dtype="float32", name="pooled_norm")
        self.projection = keras.layers.Dense(
            sizes.embedding_dim, dtype="float32", name="projection"
        )

    @classmethod
    def from_section(cls, section: ECAPAConfig, **kwargs) -> ECAPATDNN:
        """Build from the ``model.ecapa`` section of a configuration."""
        return cls(section, **kwargs)

    def build(self, input_shape=None):
        channels = self.sizes.channels
        self.first.build((None, None, SPEECHBRAIN_ECAPA.n_mels))
        for block, incoming in zip(self.blocks, channels, strict=False):
            block.build((None, None, incoming))
        self.aggregation.build((None, None, sum(channels[1:-1])))
        self.pooling.build((None, None, channels[-1]))
        self.pooled_norm.build((None, 2 * channels[-1]))
        self.projection.build((None, 2 * channels[-1]))
        self.built = True

    def call(self, audio, lengths=None, training=False):
        """Embed; ``lengths`` int ``(batch,)`` in samples, None for no padding."""
        if lengths is None:
            lengths = ops.full(ops.shape(audio)[:1], ops.shape(audio)[1], dtype="int32")
        features, valid = self.features(audio, lengths)
        return self.embed_features(features, valid, training=training)

    def features(self, audio, lengths):
        """Mean-normalised log-mels ``(batch, frames, 80)`` and their mask ``(batch, frames)``."""
        mel = self.mel(audio, lengths)
        valid = self.mel.valid_frames(lengths, mel)
        weights = ops.cast(valid, "float32")[..., None]
        mean = ops.sum(mel * weights, axis=1, keepdims=True) / _total(weights)
        return (mel - mean) * weights, valid

    def embed_features(self, features, valid, training=False):
        """Embeddings ``(batch, embedding_dim)`` of what :meth:`features` gives."""
        rows = Rows(valid)
        hidden = self.first(features, rows=rows, training=training)
        outputs = []
        for block in self.blocks:
            hidden = block(hidden, rows=rows, training=training)
            outputs.append(hidden)
        hidden = self.aggregation(ops.concatenate(outputs, axis=-1), rows=rows, training=training)
        pooled = self.pooling(hidden, rows=rows, training=training)
        return self.projection(self.pooled_norm(pooled, training=training))

    def get_config(self) -> dict:
        return {"name": self.name, "sizes": dataclasses.asdict(self.sizes)}

    @classmethod
    def from_config(cls, config: dict) -> ECAPATDNN:
        return cls(ECAPAConfig(**config["sizes"]), name=config["name"])


class Rows:
    """Where the utterances of a padded batch end, for layers that mirror or average them.

    Args:
        valid: bool ``(batch, frames)``, false on padding.
    """

    def __init__(self, valid):
        self.valid = valid
        weights = ops.cast(valid, "float32")[:, None, :]
        self.share = weights / ops.maximum(ops.sum(weights, axis=2, keepdims=True), 1.0)
        self.full = ops.all(valid)
        self._indices: dict[int, object] = {}

    def mean(self, inputs):
        """Mean over the frames of each row, float32 ``(batch, channels)``."""
        return ops.matmul(self.share, ops.cast(inputs, "float32"))[:, 0]

    def reflect(self, inputs, width: int):
        """Mirror ``width`` frames at the start and at the end of every row.

        ``(batch, frames, channels)`` becomes ``(batch, frames + 2 * width, channels)``.
        """
        if not width:
            return inputs
        batch, frames = ops.shape(inputs)[0], ops.shape(inputs)[1]
        if width not in self._indices:
            self._indices[width] = self._index(width, batch, frames)
        # Training crops fill their batch, and slices have a gradient that adds nothing up.
        return ops.cond(
            ops.logical_and(self.full, frames > width),
            lambda: _reflect_whole(inputs, width),
            lambda: _reflect_rows(inputs, self._indices[width], width),
        )

    def _index(self, width: int, batch, frames):
        last = ops.sum(ops.cast(self.valid, "int32"), axis=1, keepdims=True) - 1
        positions = ops.arange(-width, frames + width)[None, :]
        index = ops.clip(mirrored(positions, last), 0, frames - 1)
        return ops.reshape(index + ops.arange(batch)[:, None] * frames, (-1,))


def _reflect_whole(inputs, width: int):
    # Not a slice of step -1: torch, one of the backends that hear with this, has none.
    before = ops.flip(inputs[:, 1 : width + 1], axis=1)
    after = ops.flip(inputs[:, -1 - width : -1], axis=1)
    return ops.concatenate([before, inputs, after], axis=1)


def _reflect_rows(inputs, indices, width: int):
    # Whole frames out of one flat tensor: many times faster than take_along_axis.
    taken = ops.take(ops.reshape(inputs, (-1, inputs.shape[-1])), indices, axis=0)
    batch, frames = ops.shape(inputs)[0], ops.shape(inputs)[1]
    return ops.reshape(taken, (batch, frames + 2 * width, inputs.shape[-1]))


def _product(inputs, kernel):
    """``(batch, frames, channels)`` times a matrix, in one multiplication of two matrices."""
    flat = ops.matmul(ops.reshape(inputs, (-1, inputs.shape[-1])), kernel)
    return ops.reshape(flat, (-1, ops.shape(inputs)[1], kernel.shape[-1]))


class TDNNBlock(Layer):
    """Convolution over time, ReLU, batch norm: ``(batch, frames, channels)``.

    Args:
        channels: of the output.
        kernel_size, dilation: of the convolution, which mirrors the ends.
    """

    def __init__(self, channels: int, kernel_size: int = 1, dilation: int = 1, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.channels = channels
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.conv = Conv1D(
            channels, kernel_size, dilation_rate=dilation, dtype=self.dtype_policy, name="conv"
        )
        # It takes its statistics in float32, and hands on what it was given.
        self.norm = MaskedBatchNorm(dtype=self.dtype_policy, name="norm")

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build((None, None, self.channels))
        self.built = True

    def call(self, inputs, rows: Rows, training=False):
        return self.finished(self._convolved(inputs, rows), rows, training)

    def finished(self, hidden, rows: Rows, training):
        """What comes behind the convolution."""
        return self.norm(ops.relu(hidden), training=training, mask=rows.valid)

    def _convolved(self, inputs, rows: Rows):
        if self.kernel_size > 1:
            return self.conv(rows.reflect(inputs, self.dilation * (self.kernel_size - 1) // 2))
        kernel, bias = (ops.convert_to_tensor(item) for item in (self.conv.kernel, self.conv.bias))
        return _product(inputs, kernel[0]) + bias


class SERes2NetBlock(Layer):
    """TDNN, Res2Net convolutions, TDNN and squeeze-and-excitation around a residual.

    Args:
        channels: of the output; another number of the input is projected.
        kernel_size, dilation: of the Res2Net convolutions.
        scale: groups of channels, each of which hears the one before.
        squeeze_dim: width between squeeze and excitation.
    """

    def __init__(
        self, channels: int, kernel_size: int, dilation: int, scale: int, squeeze_dim: int, **kwargs
    ):
        super().__init__(**{"dtype": "float32"} | kwargs)
        own = {"dtype": self.dtype_policy}
        self.channels = channels
        self.scale = scale
        self.squeeze_dim = squeeze_dim
        self.before = TDNNBlock(channels, name="before", **own)
        self.groups = [
            TDNNBlock(channels // scale, kernel_size, dilation, name=f"group_{number}", **own)
            for number in range(1, scale)
        ]
        self.after = TDNNBlock(channels, name="after", **own)
        dense = keras.layers.Dense
        self.squeeze = dense(squeeze_dim, activation="relu", dtype="float32", name="squeeze")
        self.excite = dense(channels, activation="sigmoid", dtype="float32", name="excite")
        self.shortcut = None

    def build(self, input_shape):
        inner = (None, None, self.channels)
        self.before.build(input_shape)
        for group in self.groups:
            group.build((None, None, self.channels // self.scale))
        self.after.build(inner)
        self.squeeze.build((None, self.channels))
        self.excite.build((None, self.squeeze_dim))
        if input_shape[-1] != self.channels:
            self.shortcut = Conv1D(self.channels, 1, dtype=self.dtype_policy, name="shortcut")
            self.shortcut.build(input_shape)
        self.built = True

    def call(self, inputs, rows: Rows, training=False):
        hidden = self.before(inputs, rows=rows, training=training)
        hidden = self._res2net(hidden, rows, training)
        hidden = self.after(hidden, rows=rows, training=training)
        scale = self.excite(self.squeeze(rows.mean(hidden)))
        if self.shortcut is not None:
            inputs = self.shortcut(inputs)
        return hidden * ops.cast(scale, hidden.dtype)[:, None, :] + inputs

    def _res2net(self, hidden, rows: Rows, training):
        parts = ops.split(hidden, self.scale, axis=-1)
        outputs, heard = [parts[0]], None
        for part, group in zip(parts[1:], self.groups, strict=True):
            heard = group(part if heard is None else part + heard, rows=rows, training=training)
            outputs.append(heard)
        return ops.concatenate(outputs, axis=-1)


class AttentiveStatisticsPooling(Layer):
    """Attention-weighted mean and deviation over time: ``(batch, 2 * channels)``.

    The attention sees every frame beside the utterance's plain mean and deviation.

    Args:
        attention_dim: width of the attention.
    """

    def __init__(self, attention_dim: int, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.attention_dim = attention_dim
        self.context = TDNNBlock(attention_dim, dtype=self.dtype_policy, name="context")
        self.score = None

    def build(self, input_shape):
        channels = input_shape[-1]
        self.context.build((None, None, 3 * channels))
        self.score = keras.layers.Dense(channels, dtype=self.dtype_policy, name="score")
        self.score.build((None, None, self.attention_dim))
        self.built = True

    def call(self, inputs, rows: Rows, training=False):
        context = self.context.finished(self._context(inputs, rows), rows, training)
        scores = ops.cast(self.score(ops.tanh(context)), "float32")
        scores = scores + ops.where(rows.valid, 0.0, HIDDEN)[..., None]
        # Not ops.softmax: of an axis that is not the last it is two transpositions more.
        weights = ops.exp(scores - ops.stop_gradient(ops.max(scores, axis=1, keepdims=True)))
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        inputs = ops.cast(inputs, "float32")
        mean = ops.sum(inputs * weights, axis=1)
        return _with_deviation(mean, ops.sum(weights * ops.square(inputs - mean[:, None]), axis=1))

    def _context(self, inputs, rows: Rows):
        """Convolution of frames beside the mean and deviation of their row.

        As these are the same for every frame, they are multiplied once a row.
        """
        channels, hidden = inputs.shape[-1], ops.cast(inputs, "float32")
        mean = rows.mean(hidden)
        overall = _with_deviation(mean, rows.mean(ops.square(hidden - mean[:, None])))
        conv = self.context.conv
        kernel, bias = (ops.convert_to_tensor(item) for item in (conv.kernel[0], conv.bias))
        once = ops.matmul(ops.cast(overall, kernel.dtype), kernel[channels:]) + bias
        return _product(inputs, kernel[:channels]) + once[:, None]


def _with_deviation(mean, variance):
    """``(batch, 2 * channels)`` of mean and variance ``(batch, channels)``."""
    return ops.concatenate([mean, ops.sqrt(ops.maximum(variance, VARIANCE_FLOOR))], axis=-1)


def _total(weights):
    """Sum over time, at least one, so that an empty row gives no NaN."""
    return ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)
