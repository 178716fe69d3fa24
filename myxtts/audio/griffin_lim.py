"""Mel spectrogram to waveform without a trained vocoder."""

from __future__ import annotations

import functools

import librosa
import numpy as np

from myxtts.audio.frontends import MelSpec, mel_filterbank

PEAK = 0.95
NNLS_STEPS = 40
# A full-scale sine stays below 13; an untrained model may say more, even infinity.
MAX_LOG_POWER = 20.0


def griffin_lim(
    log_mel: np.ndarray, spec: MelSpec, n_iter: int = 60, momentum: float = 0.99, seed: int = 0
) -> np.ndarray:
    """Waveform whose log-mel is near ``log_mel`` (Griffin & Lim 1984; Perraudin et al. 2013).

    Args:
        log_mel: ``(frames, n_mels)`` as :class:`~myxtts.audio.mel.MelSpectrogram` gives it,
            not divided by ``mel_stats``.
        spec: front-end of ``log_mel``; its pre-emphasis is not undone.
        n_iter: phase iterations.
        momentum: of the fast variant; 0 is the original algorithm.
        seed: of the initial phases.

    Returns:
        Float32 ``((frames - 1) * hop_length,)`` within [-0.95, 0.95].
    """
    if len(log_mel) < 2:
        return np.zeros(0, "float32")
    magnitude = np.sqrt(mel_to_power(_expand(np.asarray(log_mel, "float32"), spec), spec)).T
    wave = librosa.griffinlim(
        magnitude,
        n_iter=n_iter,
        hop_length=spec.hop_length,
        win_length=spec.win_length,
        n_fft=spec.n_fft,
        window=spec.window,
        momentum=momentum,
        random_state=seed,
        pad_mode="reflect",
    )
    peak = float(np.max(np.abs(wave))) if wave.size else 0.0
    return (wave * (PEAK / peak) if peak > PEAK else wave).astype("float32")


def mel_to_power(mel: np.ndarray, spec: MelSpec) -> np.ndarray:
    """Non-negative power spectrogram ``(frames, bins)`` whose mel is near ``mel``.

    Multiplicative updates of non-negative least squares (Lee & Seung 2001),
    which keep every bin above zero and need no matrix of the spectrogram's size.
    """
    filters = mel_filterbank(spec)
    power = np.maximum(mel @ _filterbank_inverse(spec), 1e-10)
    target = mel @ filters.T
    gram = filters @ filters.T
    for _ in range(NNLS_STEPS):
        power *= target / np.maximum(power @ gram, 1e-12)
    # Bins that no filter covers (above f_max) carry nothing.
    power[:, filters.sum(axis=1) == 0] = 0
    return power


def _expand(log_mel: np.ndarray, spec: MelSpec) -> np.ndarray:
    """Mel power of what ``spec``'s compression made of it."""
    if spec.compression is None:
        return np.maximum(log_mel, 0)
    power = np.exp(np.minimum(log_mel, MAX_LOG_POWER))
    return np.maximum(power - spec.eps, 0) if spec.compression == "offset" else power


@functools.cache
def _filterbank_inverse(spec: MelSpec) -> np.ndarray:
    return np.linalg.pinv(mel_filterbank(spec)).astype("float32")
