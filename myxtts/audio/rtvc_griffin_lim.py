"""Griffin-Lim with the steps of RTVC's synthesizer: pseudo-inverse, power 1.5, plain iterations."""

from __future__ import annotations

import librosa
import numpy as np
from scipy.signal import lfilter

from myxtts.audio.analysis import magnitudes, spectra_of
from myxtts.audio.frontends import RTVC_SYNTHESIZER, MelSpec, mel_filterbank

POWER, LEAST = 1.5, 1e-10


def deemphasised(wave: np.ndarray, coefficient: float = 0.97) -> np.ndarray:
    """The way back of the pre-emphasis: y[t] = x[t] + c * y[t - 1]; float32 ``(samples,)``."""
    return lfilter([1.0], [1.0, -coefficient], wave).astype("float32")


def linear_magnitudes(mel: np.ndarray, spec: MelSpec = RTVC_SYNTHESIZER) -> np.ndarray:
    """Magnitudes ``(bins, frames)``, to the power 1.5, of a mel ``(frames, n_mels)``."""
    inverse = np.linalg.pinv(mel_filterbank(spec).T.astype("float64"))
    return np.maximum(LEAST, inverse @ magnitudes(mel, spec).T) ** POWER


def rtvc_griffin_lim(
    mel: np.ndarray,
    spec: MelSpec = RTVC_SYNTHESIZER,
    n_iter: int = 60,
    seed: int = 0,
    phases: np.ndarray | None = None,
) -> np.ndarray:
    """Waveform of a synthesizer's mel, de-emphasised, float32 ``((frames - 1) * hop_length,)``.

    Args:
        mel: ``(frames, n_mels)``, limited decibels.
        spec: front-end of ``mel``.
        n_iter: iterations of Griffin & Lim (1984).
        seed: of the first phases.
        phases: the first phases themselves ``(bins, frames)``, in turns.
    """
    magnitude = linear_magnitudes(mel, spec)
    if phases is None:
        phases = np.random.default_rng(seed).random(magnitude.shape)
    angles = np.exp(2j * np.pi * phases)
    wave = _inverse(magnitude * angles, spec)
    for _ in range(n_iter):
        angles = np.exp(1j * np.angle(spectra_of(wave, spec)))
        wave = _inverse(magnitude * angles, spec)
    return deemphasised(wave, spec.preemphasis)


def _inverse(spectra: np.ndarray, spec: MelSpec) -> np.ndarray:
    return librosa.istft(
        spectra, hop_length=spec.hop_length, win_length=spec.win_length, window=spec.window
    )
