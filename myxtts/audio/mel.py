"""Mel spectrograms as Keras layers."""

from __future__ import annotations

import keras
from keras import ops

from myxtts.audio.frontends import MelSpec, analysis_window, mel_filterbank, spec_dict


class MelSpectrogram(keras.layers.Layer):
    """Waveform to (log-)mel spectrogram.

    ``(batch, samples)`` float in [-1, 1] becomes ``(batch, 1 + samples // hop_length,
    n_mels)`` float32, equal to torchaudio's and librosa's with the same settings.
    It computes in float32 whatever the precision policy and passes gradients.

    Args:
        spec: the front-end.
    """

    def __init__(self, spec: MelSpec, **kwargs):
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.spec = spec

    def build(self, input_shape):
        self.built = True

    def call(self, audio, lengths=None):
        """Transform ``audio``; with ``lengths`` ``(batch,)`` padding changes no valid frame.

        The valid frames of a row are its first ``1 + length // hop_length``.
        """
        spec = self.spec
        half = spec.n_fft // 2
        audio = ops.cast(audio, "float32")
        if spec.preemphasis:
            audio = _preemphasis(audio, spec.preemphasis)
        if lengths is not None:
            audio = _end_rows(audio, lengths, half if spec.pad_mode == "reflect" else 0)
        audio = ops.pad(audio, [[0, 0], [half, half]], mode=spec.pad_mode)
        real, imaginary = _stft(audio, spec)
        power = ops.square(real) + ops.square(imaginary)
        mel = ops.matmul(power, ops.convert_to_tensor(mel_filterbank(spec)))
        if spec.compression == "clip":
            return ops.log(ops.maximum(mel, spec.eps))
        if spec.compression == "offset":
            return ops.log(mel + spec.eps)
        return mel

    def compute_output_shape(self, input_shape):
        batch, samples = input_shape
        frames = None if samples is None else self.spec.num_frames(samples)
        return (batch, frames, self.spec.n_mels)

    def get_config(self) -> dict:
        return {"name": self.name, "spec": spec_dict(self.spec)}

    @classmethod
    def from_config(cls, config: dict) -> MelSpectrogram:
        return cls(MelSpec(**config["spec"]), name=config["name"])


class MelNorm(keras.layers.Layer):
    """Divide every mel channel by a stored statistic (Coqui's ``mel_stats``).

    ``(batch, frames, n_mels)`` in and out. The statistic is a non-trainable
    weight, one until it is set.
    """

    def __init__(self, n_mels: int = 80, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.n_mels = n_mels

    def build(self, input_shape=None):
        self.mel_stats = self.add_weight(
            name="mel_stats", shape=(self.n_mels,), initializer="ones", trainable=False
        )
        self.built = True

    def call(self, mel):
        return ops.cast(mel, "float32") / self.mel_stats

    def get_config(self) -> dict:
        return {"name": self.name, "n_mels": self.n_mels}


def _stft(audio, spec: MelSpec):
    """Real and imaginary parts ``(batch, frames, n_fft // 2 + 1)`` of windowed frames."""
    frames = ops.extract_sequences(audio, spec.n_fft, spec.hop_length)
    return ops.rfft(frames * ops.convert_to_tensor(analysis_window(spec)))


def _end_rows(audio, lengths, reflected: int):
    """Continue each row by ``reflected`` mirrored samples, then by zeros, behind its length."""
    positions = ops.arange(ops.shape(audio)[1])[None, :]
    last = ops.cast(lengths, "int32")[:, None] - 1
    mirrored = ops.where(positions <= last, positions, 2 * last - positions)
    values = ops.take_along_axis(audio, ops.maximum(mirrored, 0), axis=1)
    heard = ops.logical_and(positions <= last + reflected, mirrored >= 0)
    return ops.where(heard, values, 0.0)


def _preemphasis(audio, coefficient: float):
    """The first sample's predecessor is its reflection, the second sample."""
    previous = ops.concatenate([audio[:, 1:2], audio[:, :-1]], axis=1)
    return audio - coefficient * previous
