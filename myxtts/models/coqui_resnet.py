"""Residual speaker encoder with squeeze-and-excitation and attentive pooling.

The architecture of the speaker encoder inside XTTS-v2 (Coqui
``ResNetSpeakerEncoder``, after Heo et al. 2020).
"""

from __future__ import annotations

import keras
from keras import ops

from myxtts.audio.frontends import COQUI_SPEAKER
from myxtts.audio.mel import MelSpectrogram
from myxtts.config import CoquiEncoderConfig, SpeakerConfig
from myxtts.models.attention import HIDDEN
from myxtts.models.layer import NORM_EPSILON, BatchNorm, Conv2D, Layer
from myxtts.settings import to_dict

ATTENTION_DIM = 128
SQUEEZE = 8


class ResNetSpeakerEncoder(keras.Model):
    """Log-mel ``(batch, frames, 64)`` at 16 kHz to ``(batch, embedding_dim)`` of length one.

    Args:
        embedding_dim: size of the embedding.
        blocks: residual blocks of each layer; all layers but the first halve time and mels.
        channels: of each layer.
    """

    def __init__(
        self,
        embedding_dim: int = 512,
        blocks: tuple[int, ...] = (3, 4, 6, 3),
        channels: tuple[int, ...] = (32, 64, 128, 256),
        name: str = "speaker_encoder",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.embedding_dim = embedding_dim
        self.blocks = tuple(blocks)
        self.channels = tuple(channels)
        self.conv1 = Conv2D(self.channels[0], 3, padding="same", name="conv1")
        self.bn1 = BatchNorm(name="bn1")
        self.residuals = [
            SEBasicBlock(
                width,
                stride=2 if layer and not index else 1,
                project=index == 0 and layer > 0,
                name=f"layer{layer + 1}_{index}",
            )
            for layer, (count, width) in enumerate(zip(self.blocks, self.channels, strict=True))
            for index in range(count)
        ]
        self.attention_in = keras.layers.Dense(ATTENTION_DIM, name="attention_in")
        self.attention_bn = BatchNorm(name="attention_bn")
        self.attention_out = keras.layers.Dense(self._pooled_dim, name="attention_out")
        self.fc = keras.layers.Dense(embedding_dim, name="fc")

    @classmethod
    def from_section(
        cls, section: SpeakerConfig | CoquiEncoderConfig, **kwargs
    ) -> ResNetSpeakerEncoder:
        """Build from ``model.speaker`` or ``model.coqui_encoder`` of a configuration."""
        return cls(**to_dict(section), **kwargs)

    @property
    def _pooled_dim(self) -> int:
        return self.channels[-1] * COQUI_SPEAKER.n_mels // 2 ** (len(self.channels) - 1)

    def build(self, input_shape=None):
        self.conv1.build((None, None, None, 1))
        self.bn1.build((None, None, None, self.channels[0]))
        incoming = self.channels[0]
        for block in self.residuals:
            block.build((None, None, None, incoming))
            incoming = block.channels
        self.attention_in.build((None, None, self._pooled_dim))
        self.attention_bn.build((None, None, ATTENTION_DIM))
        self.attention_out.build((None, None, ATTENTION_DIM))
        self.fc.build((None, 2 * self._pooled_dim))
        self.built = True

    def call(self, log_mel, valid=None, training=False):
        """Embed; ``valid`` bool ``(batch, frames)`` is False on padding."""
        if valid is None:
            valid = ops.ones(ops.shape(log_mel)[:2], dtype="bool")
        hidden = _instance_norm(ops.cast(log_mel, "float32"), valid)
        hidden = ops.cast(ops.transpose(hidden, (0, 2, 1))[..., None], self.compute_dtype)
        hidden = self.bn1(
            ops.relu(self.conv1(hidden)), training=training, mask=_grid(valid, hidden)
        )
        hidden = _hide(hidden, valid)
        for block in self.residuals:
            hidden = block(hidden, valid, training=training)
            valid = valid[:, :: block.stride]
        batch, _, frames, _ = ops.shape(hidden)
        hidden = ops.reshape(ops.transpose(hidden, (0, 2, 3, 1)), (batch, frames, self._pooled_dim))
        pooled = self._pool(hidden, valid, training)
        embedding = ops.cast(self.fc(pooled), "float32")
        return ops.normalize(embedding, axis=-1, epsilon=1e-12)

    def _pool(self, hidden, valid, training):
        """Attention-weighted mean and deviation over time."""
        scores = ops.relu(self.attention_in(hidden))
        scores = self.attention_bn(scores, training=training, mask=valid)
        scores = ops.cast(self.attention_out(scores), "float32")
        scores = scores + ops.where(valid, 0.0, HIDDEN)[..., None]
        weights = ops.softmax(scores, axis=1)
        hidden = ops.cast(hidden, "float32")
        mean = ops.sum(hidden * weights, axis=1)
        squares = ops.sum(ops.square(hidden) * weights, axis=1)
        deviation = ops.sqrt(ops.maximum(squares - ops.square(mean), 1e-5))
        return ops.concatenate([mean, deviation], axis=-1)

    def get_config(self) -> dict:
        names = ("name", "embedding_dim", "blocks", "channels")
        return {name: getattr(self, name) for name in names}


class CoquiSpeakerEncoder(ResNetSpeakerEncoder):
    """The same with its front-end: audio ``(batch, samples)`` at 16 kHz in."""

    def __init__(self, *args, **kwargs):
        # Audio must not be rounded to half precision before the front-end hears it.
        super().__init__(*args, autocast=False, **kwargs)
        self.mel = MelSpectrogram(COQUI_SPEAKER, name="mel")

    def call(self, audio, lengths=None, training=False):
        """Embed; ``lengths`` int ``(batch,)`` in samples, None for no padding."""
        mel = self.mel(audio, lengths)
        valid = None if lengths is None else self.mel.valid_frames(lengths, mel)
        return super().call(mel, valid, training=training)


class SEBasicBlock(Layer):
    """Two 3x3 convolutions and squeeze-and-excitation around a residual.

    Maps ``(batch, mels, frames, channels)``; batch norm follows the first
    rectifier, as in the reference.

    Args:
        channels: of the output.
        stride: in mels and frames.
        project: whether a 1x1 convolution fits the residual.
    """

    def __init__(self, channels: int, stride: int = 1, project: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.stride = stride
        # Strided convolutions are padded by the caller: "same" would pad behind only.
        self.conv1 = Conv2D(channels, 3, strides=stride, use_bias=False, name="conv1")
        self.bn1 = BatchNorm(name="bn1")
        self.conv2 = Conv2D(channels, 3, padding="same", use_bias=False, name="conv2")
        self.bn2 = BatchNorm(name="bn2")
        self.squeeze = keras.layers.Dense(max(1, channels // SQUEEZE), name="squeeze")
        self.excite = keras.layers.Dense(channels, name="excite")
        self.shortcut = None
        if project:
            self.shortcut = Conv2D(channels, 1, strides=stride, use_bias=False, name="shortcut")
            self.shortcut_bn = BatchNorm(name="shortcut_bn")

    def build(self, input_shape):
        self.conv1.build(input_shape)
        inner = (None, None, None, self.channels)
        for layer in (self.conv2, self.bn1, self.bn2):
            layer.build(inner)
        self.squeeze.build((None, self.channels))
        self.excite.build((None, max(1, self.channels // SQUEEZE)))
        if self.shortcut is not None:
            self.shortcut.build(input_shape)
            self.shortcut_bn.build(inner)
        self.built = True

    def call(self, inputs, valid, training=False):
        """Transform; ``valid`` bool ``(batch, frames)`` of the input."""
        padded = ops.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
        hidden = ops.relu(self.conv1(padded))
        valid = valid[:, :: self.stride]
        grid = _grid(valid, hidden)
        hidden = _hide(self.bn1(hidden, training=training, mask=grid), valid)
        hidden = self.bn2(self.conv2(hidden), training=training, mask=grid)
        hidden = self._recalibrate(hidden, valid)
        if self.shortcut is not None:
            inputs = self.shortcut_bn(self.shortcut(inputs), training=training, mask=grid)
        return _hide(ops.relu(hidden + inputs), valid)

    def _recalibrate(self, hidden, valid):
        weights = ops.cast(valid, hidden.dtype)[:, None, :, None]
        count = ops.sum(weights, axis=(1, 2)) * ops.cast(ops.shape(hidden)[1], hidden.dtype)
        mean = ops.sum(hidden * weights, axis=(1, 2)) / count
        scale = ops.sigmoid(self.excite(ops.relu(self.squeeze(mean))))
        return hidden * scale[:, None, None, :]


def _grid(valid, hidden):
    """``valid`` as a mask ``(batch, mels, frames)``, which batch norm's statistics take."""
    batch, frames = ops.shape(valid)
    return ops.broadcast_to(valid[:, None, :], (batch, ops.shape(hidden)[1], frames))


def _hide(hidden, valid):
    """Zero the padding, which is what a convolution meets behind an unpadded end."""
    return hidden * ops.cast(valid, hidden.dtype)[:, None, :, None]


def _instance_norm(log_mel, valid):
    """Normalise every mel of an utterance over time; padding becomes zero."""
    weights = ops.cast(valid, "float32")[..., None]
    count = ops.sum(weights, axis=1, keepdims=True)
    mean = ops.sum(log_mel * weights, axis=1, keepdims=True) / count
    centred = (log_mel - mean) * weights
    variance = ops.sum(ops.square(centred), axis=1, keepdims=True) / count
    return centred / ops.sqrt(variance + NORM_EPSILON)
