"""Mel spectrograms as Keras layers."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

from myxtts import replicas
from myxtts.audio.frontends import MelSpec, analysis_window, mel_filterbank, spec_dict
from myxtts.errors import AudioError

# What a tenfold value adds, by compression.
DECIBELS = {"decibel": 10.0, "amplitude": 20.0}


class MelSpectrogram(keras.layers.Layer):
    """Waveform to (log-)mel spectrogram.

    ``(batch, samples)`` float in [-1, 1] becomes ``(batch, 1 + samples // hop_length,
    n_mels)`` float32, equal to torchaudio's and librosa's with the same settings.
    It computes in float32 whatever the precision policy and passes gradients.

    Args:
        spec: the front-end.
    """

    def __init__(self, spec: MelSpec, **kwargs):
        super().__init__(**kwargs | {"trainable": False, "dtype": "float32"})
        self.spec = spec

    def call(self, audio, lengths=None):
        """Transform ``audio``; with ``lengths`` ``(batch,)`` padding changes no valid frame.

        The valid frames of a row are its first ``1 + length // hop_length``.

        Raises:
            AudioError: rows of ``n_fft // 2`` samples or fewer are to be reflected
                and no ``lengths`` are given.
        """
        spec = self.spec
        half = spec.n_fft // 2
        audio = ops.cast(audio, "float32")
        if lengths is None:
            _require_samples(audio.shape[1], spec)
        else:
            lengths = ops.cast(lengths, "int32")
        if spec.preemphasis:
            audio = _preemphasis(audio, lengths, spec)
        if lengths is not None:
            audio = _pad_rows(audio, lengths, half, spec.pad_mode)
        else:
            ends = [[0, 0], [half, half]]
            audio = replicas.with_a_row(lambda rows: ops.pad(rows, ends, spec.pad_mode), audio)
        real, imaginary = _stft(audio, spec)
        spectrum = ops.square(real) + ops.square(imaginary)
        if spec.spectrum == "magnitude":
            spectrum = _magnitude(spectrum)
        mel = ops.matmul(spectrum, ops.convert_to_tensor(mel_filterbank(spec)))
        mel = _compress(mel, spec)
        if spec.top_db is None:
            return mel
        valid = None if lengths is None else self.valid_frames(lengths, mel)
        return _raise_floor(mel, valid, spec.top_db)

    def valid_frames(self, lengths, mel):
        """Bool ``(batch, frames)`` of ``mel``: False on the frames of padding."""
        lengths = ops.cast(lengths, "int32")
        return sequence_mask(1 + lengths // self.spec.hop_length, ops.shape(mel)[1])

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
        super().__init__(**kwargs | {"dtype": "float32"})
        self.n_mels = n_mels

    def build(self, input_shape=None):
        self.mel_stats = self.add_weight(
            name="mel_stats", shape=(self.n_mels,), initializer="ones", trainable=False
        )
        self.built = True

    def call(self, mel):
        return ops.cast(mel, "float32") / self.mel_stats


def _stft(audio, spec: MelSpec):
    """Real and imaginary parts ``(batch, frames, n_fft // 2 + 1)`` of windowed frames."""
    frames = ops.extract_sequences(audio, spec.n_fft, spec.hop_length)
    return ops.rfft(frames * ops.convert_to_tensor(analysis_window(spec)))


def _pad_rows(audio, lengths, half: int, mode: str):
    """Pad every row by ``half`` samples before its start and behind its own end.

    Behind that come zeros. A reflection goes back and forth in a row shorter than
    ``half``, as numpy's does.
    """
    positions = ops.arange(-half, ops.shape(audio)[1] + half)[None, :]
    last = lengths[:, None] - 1
    if mode == "constant":
        index = positions
        heard = ops.logical_and(positions >= 0, positions <= last)
    else:
        index = mirrored(positions, last)
        heard = positions <= last + half
    index = ops.clip(index, 0, ops.shape(audio)[1] - 1)
    return ops.where(heard, ops.take_along_axis(audio, index, axis=1), 0.0)


def mirrored(positions, last):
    """Where ``positions`` fall when a row is reflected at 0 and at ``last``, back and forth."""
    period = ops.maximum(2 * last, 1)
    folded = ops.mod(positions, period)
    return ops.minimum(folded, period - folded)


def _compress(mel, spec: MelSpec):
    if spec.compression == "clip":
        return ops.log(ops.maximum(mel, spec.eps))
    if spec.compression == "offset":
        return ops.log(mel + spec.eps)
    factor = DECIBELS.get(spec.compression)
    if factor is None:
        return mel
    decibels = (factor / math.log(10.0)) * ops.log(ops.maximum(mel, spec.eps))
    if not spec.limit:
        return decibels
    share = (decibels - spec.lowest_db) / (spec.highest_db - spec.lowest_db)
    return ops.clip(spec.limit * (2.0 * share - 1.0), -spec.limit, spec.limit)


def _magnitude(power):
    """Root of the power, whose slope stays finite where there is none."""
    return ops.where(power > 0, ops.sqrt(ops.where(power > 0, power, 1.0)), 0.0)


def _raise_floor(mel, valid, top_db: float):
    """Raise what is more than ``top_db`` below the loudest value of its utterance."""
    heard = mel if valid is None else ops.where(valid[..., None], mel, -np.inf)
    return ops.maximum(mel, ops.max(heard, axis=(1, 2), keepdims=True) - top_db)


def sequence_mask(lengths, size):
    """Bool ``(batch, size)``: True before each row's length."""
    return ops.arange(size)[None, :] < ops.cast(lengths, "int32")[:, None]


def _require_samples(samples: int | None, spec: MelSpec) -> None:
    """Name the least length before the backend fails over its padding."""
    half = spec.n_fft // 2
    if spec.pad_mode == "reflect" and samples is not None and samples <= half:
        raise AudioError(
            f"{samples} samples are too few for this mel spectrogram; it needs more than {half}."
        )


def _preemphasis(audio, lengths, spec: MelSpec):
    """The first sample's predecessor is its reflection, the second sample if there is one."""
    if spec.first_sample == "zero":
        return audio - spec.preemphasis * ops.pad(audio[:, :-1], [[0, 0], [1, 0]])
    if lengths is None:
        lengths = ops.full(ops.shape(audio)[:1], ops.shape(audio)[1], dtype="int32")
    second = ops.minimum(lengths[:, None] - 1, 1)
    mirrored = ops.take_along_axis(audio, ops.maximum(second, 0), axis=1)
    previous = ops.concatenate([mirrored, audio[:, :-1]], axis=1)
    return audio - spec.preemphasis * previous
