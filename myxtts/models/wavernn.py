"""WaveRNN: mel spectrogram to waveform, one sample after another.

The network that Real-Time-Voice-Cloning speaks with, which is fatchord's variant of Kalchbrenner
et al., Efficient Neural Audio Synthesis (2018): two GRUs over the last sample, the upsampled mel
and features of its surroundings.
"""

from __future__ import annotations

import math
from pathlib import Path

import keras
from keras import ops

from myxtts.models.layer import Conv1D, Conv2D, Layer, UnbiasedBatchNorm
from myxtts.models.recurrent import GRU
from myxtts.presets.folder import load, read_config, save
from myxtts.presets.record import Record, read_record
from myxtts.presets.variables import named
from myxtts.settings import to_dict
from myxtts.vocoder_config import WaveRNNConfig
from myxtts.vocoder_losses import class_loss, mixture_loss

KIND = "vocoder"
WEIGHTS = "vocoder.safetensors"
# Logistics of a MOL; each has a logit, a mean and a scale.
MIXTURES = 10
AUX_PARTS = 4


def parts_of(features) -> list:
    """Parts ``(..., res_out_dims // 4)`` of features ``(..., res_out_dims)``.

    What is left over of a width that is no multiple of four is heard by nobody, as in RTVC.
    """
    size = features.shape[-1] // AUX_PARTS
    return [features[..., part * size : (part + 1) * size] for part in range(AUX_PARTS)]


class MelResNet(Layer):
    """Mel ``(batch, frames + 2 * pad, feat_dims)`` to features ``(batch, frames, out_dims)``.

    Args:
        blocks: residual ones.
        dims, out_dims: width inside and of the features.
        pad: frames on either side that a frame hears.
    """

    def __init__(self, blocks: int, dims: int, out_dims: int, pad: int, **kwargs):
        super().__init__(**kwargs)
        self.conv_in = Conv1D(dims, 2 * pad + 1, use_bias=False, name="conv_in")
        self.batch_norm = UnbiasedBatchNorm(name="batch_norm")
        self.residuals = [MelBlock(dims, name=f"block_{index}") for index in range(blocks)]
        self.conv_out = keras.layers.Dense(out_dims, name="conv_out")

    def build(self, input_shape):
        self.conv_in.build(input_shape)
        inner = (None, None, self.conv_in.filters)
        for layer in (self.batch_norm, *self.residuals, self.conv_out):
            layer.build(inner)
        self.built = True

    def call(self, mels, training=False):
        hidden = ops.relu(self.batch_norm(self.conv_in(mels), training=training))
        for block in self.residuals:
            hidden = block(hidden, training=training)
        return self.conv_out(hidden)


class MelBlock(Layer):
    """Two convolutions of width one with batch norms, added to what comes in.

    Args:
        dims: channels.
    """

    def __init__(self, dims: int, **kwargs):
        super().__init__(**kwargs)
        self.conv1 = keras.layers.Dense(dims, use_bias=False, name="conv1")
        self.conv2 = keras.layers.Dense(dims, use_bias=False, name="conv2")
        self.batch_norm1 = UnbiasedBatchNorm(name="batch_norm1")
        self.batch_norm2 = UnbiasedBatchNorm(name="batch_norm2")

    def build(self, input_shape):
        for layer in (self.conv1, self.conv2, self.batch_norm1, self.batch_norm2):
            layer.build(input_shape)
        self.built = True

    def call(self, inputs, training=False):
        hidden = ops.relu(self.batch_norm1(self.conv1(inputs), training=training))
        return inputs + self.batch_norm2(self.conv2(hidden), training=training)


class WaveRNN(keras.Model):
    """Samples so far and their mel to what the next sample may be.

    Args:
        config: sizes and what is told of a sample.

    Attributes:
        provenance: where the weights came from; None for random ones and for those trained here.
        licence: of the weights, None where nobody has named one.
        trained_steps: optimiser steps behind the weights.
    """

    def __init__(self, config: WaveRNNConfig | None = None, name: str = "wavernn", **kwargs):
        super().__init__(name=name, **kwargs)
        self.sizes = sizes = config or WaveRNNConfig()
        self.provenance: str | None = None
        self.licence: str | None = None
        self.trained_steps = 0
        self.resnet = MelResNet(
            sizes.res_blocks, sizes.compute_dims, sizes.res_out_dims, sizes.pad, name="resnet"
        )
        self.smoothing = [
            _smoothing(factor, f"up_{index}") for index, factor in enumerate(sizes.upsample_factors)
        ]
        self.input_layer = keras.layers.Dense(sizes.rnn_dims, name="input_layer")
        self.rnn1 = GRU(sizes.rnn_dims, return_sequences=True, name="rnn1")
        self.rnn2 = GRU(sizes.rnn_dims, return_sequences=True, name="rnn2")
        self.fc1 = keras.layers.Dense(sizes.fc_dims, activation="relu", name="fc1")
        self.fc2 = keras.layers.Dense(sizes.fc_dims, activation="relu", name="fc2")
        self.fc3 = keras.layers.Dense(self.outputs_per_sample, name="fc3")

    @property
    def outputs_per_sample(self) -> int:
        """Classes of RAW, parameters of the mixture of MOL."""
        return 2**self.sizes.bits if self.sizes.mode == "RAW" else 3 * MIXTURES

    def build(self, input_shape=None):
        sizes, part = self.sizes, self.sizes.res_out_dims // AUX_PARTS
        self.resnet.build((None, None, sizes.feat_dims))
        for layer in self.smoothing:
            layer.build((None, None, sizes.feat_dims, 1))
        self.input_layer.build((None, None, 1 + sizes.feat_dims + part))
        self.rnn1.build((None, None, sizes.rnn_dims))
        self.rnn2.build((None, None, sizes.rnn_dims + part))
        self.fc1.build((None, None, sizes.rnn_dims + part))
        self.fc2.build((None, None, sizes.fc_dims + part))
        self.fc3.build((None, None, sizes.fc_dims))
        self.built = True

    def features(self, mels, training=False):
        """Features ``(batch, frames, res_out_dims)`` of mels with ``pad`` frames on each side."""
        return self.resnet(mels, training=training)

    def upsample(self, mels):
        """Mels ``(batch, frames + 2 * pad, feat_dims)`` at the samples of their inner frames.

        Returns:
            ``(batch, frames * hop_length, feat_dims)``.
        """
        values = mels[..., None]
        for factor, layer in zip(self.sizes.upsample_factors, self.smoothing, strict=True):
            values = layer(ops.repeat(values, factor, axis=1))
        edge = self.sizes.pad * self.sizes.hop_length
        return values[:, edge : ops.shape(values)[1] - edge, :, 0]

    def call(self, inputs, training=False):
        """Logits ``(batch, samples, outputs_per_sample)``.

        Args:
            inputs: the last samples ``(batch, samples)`` and the mels ``(batch, frames + 2 *
                pad, feat_dims)`` of ``samples / hop_length`` frames, in [-1, 1].
            training: normalise by the batch, and learn its statistics.
        """
        samples, mels = inputs
        aux = ops.repeat(self.features(mels, training), self.sizes.hop_length, axis=1)
        first, second, third, fourth = parts_of(aux)
        hidden = ops.concatenate([samples[..., None], self.upsample(mels), first], axis=-1)
        hidden = self.input_layer(hidden)
        hidden = hidden + self.rnn1(hidden)
        hidden = hidden + self.rnn2(ops.concatenate([hidden, second], axis=-1))
        hidden = self.fc1(ops.concatenate([hidden, third], axis=-1))
        return self.fc3(self.fc2(ops.concatenate([hidden, fourth], axis=-1)))

    def step(self, sample, mel, aux, states):
        """One sample on: logits ``(batch, outputs_per_sample)`` and the new states.

        Args:
            sample: the last one, ``(batch,)``.
            mel: upsampled, ``(batch, feat_dims)``.
            aux: features of the frame, ``(batch, res_out_dims)``.
            states: of both GRUs, ``(batch, rnn_dims)`` each.
        """
        first, second, third, fourth = parts_of(aux)
        hidden = self.input_layer(ops.concatenate([sample[:, None], mel, first], axis=-1))
        one, _ = self.rnn1.cell(hidden, [states[0]])
        hidden = hidden + one
        two, _ = self.rnn2.cell(ops.concatenate([hidden, second], axis=-1), [states[1]])
        hidden = hidden + two
        hidden = self.fc1(ops.concatenate([hidden, third], axis=-1))
        return self.fc3(self.fc2(ops.concatenate([hidden, fourth], axis=-1))), (one, two)

    def loss_of(self, logits, targets):
        """Mean loss of logits for ``targets`` ``(batch, samples)``: classes, or MOL's samples."""
        loss = class_loss if self.sizes.mode == "RAW" else mixture_loss
        return loss(logits, targets)

    def get_config(self) -> dict:
        return {"name": self.name, "config": to_dict(self.sizes)}

    @classmethod
    def from_config(cls, config: dict) -> WaveRNN:
        """Make the model that ``get_config`` describes."""
        return cls(WaveRNNConfig().merged(config["config"]), name=config["name"])

    def variables_by_name(self) -> dict:
        """Variables under their paths in the model."""
        return named(self.weights, self.name)

    def save_to_preset(self, folder: str | Path, half: bool = False) -> None:
        """Write the model to ``folder``, with ``half`` its matrices in float16.

        Raises:
            CheckpointError: as :func:`myxtts.presets.folder.save` says.
        """
        record = Record(
            KIND,
            provenance=self.provenance,
            licence=self.licence,
            trained_steps={"vocoder": self.trained_steps},
            parameters={"vocoder": sum(math.prod(v.shape) for v in self.trainable_variables)},
        )
        weights = {WEIGHTS: self.variables_by_name()}
        save(folder, record, to_dict(self.sizes), weights, half=half)

    @classmethod
    def from_preset(cls, folder: str | Path) -> WaveRNN:
        """Read a model written by :meth:`save_to_preset`.

        Raises:
            CheckpointError: the folder is no preset of a vocoder, or damaged.
        """
        model = cls(read_config(folder, KIND, WaveRNNConfig))
        model.build()
        record = read_record(Path(folder), KIND)
        model.provenance, model.licence = record.provenance, record.licence
        model.trained_steps = record.trained_steps.get("vocoder", 0)
        load(folder, KIND, {WEIGHTS: model.variables_by_name()})
        return model


def _smoothing(factor: int, name: str) -> keras.layers.Layer:
    """A mean over time, of two frames at most where each was repeated ``factor`` times."""
    taps = 2 * factor + 1
    mean = keras.initializers.Constant(1 / taps)
    return Conv2D(1, (taps, 1), padding="same", use_bias=False, kernel_initializer=mean, name=name)
