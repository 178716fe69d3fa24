"""Mel spectrograms in numpy, for programs that prepare data and load no model."""

from __future__ import annotations

import librosa
import numpy as np

from myxtts.audio.frontends import MelSpec, mel_filterbank
from myxtts.errors import AudioError


def preemphasised(wave: np.ndarray, coefficient: float = 0.97) -> np.ndarray:
    """y[t] = x[t] - c * x[t - 1], with y[0] = x[0]; float32 ``(samples,)``."""
    wave = np.asarray(wave, "float64")
    return (wave - coefficient * np.concatenate([[0.0], wave[:-1]])).astype("float32")


def mel_of(wave: np.ndarray, spec: MelSpec) -> np.ndarray:
    """Mel spectrogram, float32 ``(1 + samples // hop_length, n_mels)``.

    It is :class:`~myxtts.audio.mel.MelSpectrogram`'s, with transforms in double precision, as
    librosa's are.

    Args:
        wave: float ``(samples,)`` at ``spec.sample_rate``.
        spec: power without compression (RTVC's encoder), or limited decibels (its synthesizer).

    Raises:
        AudioError: the wave is too short to be reflected, or has no samples.
    """
    wave = np.asarray(wave, "float32")
    if len(wave) <= (spec.n_fft // 2 if spec.pad_mode == "reflect" else 0):
        raise AudioError(f"{len(wave)} samples are too few for a mel spectrogram.")
    if spec.preemphasis:
        wave = preemphasised(wave, spec.preemphasis)
    magnitude = np.abs(spectra_of(wave, spec))
    spectrum = magnitude if spec.spectrum == "magnitude" else magnitude**2
    mel = (mel_filterbank(spec).T @ spectrum).T
    return mel if spec.compression is None else limited_decibels(mel, spec)


def spectra_of(wave: np.ndarray, spec: MelSpec) -> np.ndarray:
    """Complex spectra ``(n_fft // 2 + 1, frames)`` of centred frames."""
    return librosa.stft(
        wave,
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        win_length=spec.win_length,
        window=spec.window,
        pad_mode=spec.pad_mode,
    )


def limited_decibels(mel: np.ndarray, spec: MelSpec) -> np.ndarray:
    """What ``spec``'s compression and limit make of magnitudes, float32 of the same shape."""
    decibels = 20.0 * np.log10(np.maximum(spec.eps, mel))
    share = (decibels - spec.lowest_db) / (spec.highest_db - spec.lowest_db)
    limited = np.clip(2 * spec.limit * share - spec.limit, -spec.limit, spec.limit)
    return limited.astype("float32")


def magnitudes(mel: np.ndarray, spec: MelSpec) -> np.ndarray:
    """The way back of :func:`limited_decibels`: mel magnitudes of the same shape."""
    share = (np.clip(mel, -spec.limit, spec.limit) + spec.limit) / (2 * spec.limit)
    return 10.0 ** ((share * (spec.highest_db - spec.lowest_db) + spec.lowest_db) / 20)
