"""Noise taken out of speech by the log-spectral amplitude estimator of Ephraim and Malah (1985).

Settings and framing are those of RTVC's copy of ``logmmse``, so that what is stored is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import exp1

WINDOW_SECONDS = 0.02
# Weight of the last frame in the decision-directed a-priori ratio, and its floor (-25 dB).
SMOOTHING, LEAST_RATIO = 0.98, 10**-2.5
# Largest a-posteriori ratio; weight of the old noise where a frame is taken for noise.
LARGEST_RATIO, NOISE_MEMORY = 40.0, 0.98
EPSILON = np.finfo("float64").eps


@dataclass(frozen=True)
class NoiseProfile:
    """Mean spectrum of a noise.

    Attributes:
        window: ``(samples of a frame,)``.
        power: squared mean magnitude ``(two frames,)``.
    """

    window: np.ndarray
    power: np.ndarray


def noise_profile(noise: np.ndarray, sample_rate: int) -> NoiseProfile:
    """Profile of float ``(samples,)`` with one frame of 20 ms at least."""
    size = int(WINDOW_SECONDS * sample_rate)
    size += size % 2
    window = np.hanning(size)
    window *= size / 2 / window.sum()
    noise = np.asarray(noise, "float64") + EPSILON
    frames = noise[: len(noise) // size * size].reshape(-1, size)
    magnitudes = np.abs(np.fft.fft(frames * window, 2 * size))
    return NoiseProfile(window, magnitudes.mean(axis=0) ** 2)


def denoised(wave: np.ndarray, profile: NoiseProfile, eta: float = 0.0) -> np.ndarray:
    """``wave`` without the noise of ``profile``, of the same length and type.

    Args:
        wave: float ``(samples,)``.
        profile: of the noise.
        eta: frames whose mean log-likelihood ratio of speech is below it make the noise new.
    """
    size, half = len(profile.window), len(profile.window) // 2
    padded = np.asarray(wave, "float64") + EPSILON
    count = len(wave) // half - 2
    result = np.zeros(len(wave))
    kept, clean, power = np.zeros(half), None, profile.power
    for start in range(0, max(count, 0) * half, half):
        spectrum = np.fft.fft(profile.window * padded[start : start + size], 2 * size)
        squared = np.abs(spectrum) ** 2
        gain, likelihood = _gain(squared, power, clean)
        if likelihood / size < eta:
            power = NOISE_MEMORY * power + (1 - NOISE_MEMORY) * squared
        clean = squared * gain**2
        frame = np.fft.ifft(gain * spectrum).real
        result[start : start + half] = kept + frame[:half]
        kept = frame[half:size]
    return result.astype(np.asarray(wave).dtype)


def _gain(squared: np.ndarray, noise: np.ndarray, clean: np.ndarray | None) -> tuple:
    """Gain of each bin, and the log-likelihood ratio of speech summed over them."""
    posterior = np.minimum(squared / noise, LARGEST_RATIO)
    excess = (1 - SMOOTHING) * np.maximum(posterior - 1, 0)
    if clean is None or not clean.all():
        prior = SMOOTHING + excess
    else:
        prior = np.maximum(LEAST_RATIO, SMOOTHING * clean / noise + excess)
    share = prior / (1 + prior)
    exponent = share * posterior
    gain = share * np.exp(0.5 * exp1(np.maximum(exponent, 1e-8)))
    return gain, np.sum(exponent - np.log(1 + prior))
