"""The fundamental frequency of a voice, frame by frame."""

from __future__ import annotations

import librosa
import numpy as np
from scipy.ndimage import median_filter

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
PERIODS_S = 0.02  # of two neighbouring stretches that are compared
LEAST_PERIODICITY = 0.5  # their correlation, from which on a frame is voiced
QUIETEST_DB = -40.0  # below the loudest frames, where nothing is voiced
SMOOTHED_FRAMES = 5


def pitch(audio: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """Fundamental frequency by YIN (de Cheveigne & Kawahara 2002), where a frame repeats itself.

    Args:
        audio: float32 ``(samples,)``.
        sample_rate: in Hz.
        hop: samples of a frame.

    Returns:
        Hz of the middle of each frame, float32 ``(ceil(samples / hop),)``; 0 where the voice is
        silent or has none.
    """
    longest = int(np.ceil(sample_rate / LOWEST_HZ)) + 1
    size = 2 * (longest + int(PERIODS_S * sample_rate) // 2 + 1)
    count = -(-len(audio) // hop)
    padded = np.pad(audio, (size // 2 - hop // 2, size + hop)).astype("float64")
    hertz = librosa.yin(
        padded[: size + (count - 1) * hop],
        fmin=LOWEST_HZ,
        fmax=HIGHEST_HZ,
        sr=sample_rate,
        frame_length=size,
        hop_length=hop,
        center=False,
    )
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: count * hop : hop]
    voiced = _repeats(frames, np.round(sample_rate / hertz).astype(int), sample_rate)
    voiced = median_filter(voiced, SMOOTHED_FRAMES)
    return np.where(voiced, median_filter(hertz, SMOOTHED_FRAMES), 0.0).astype("float32")


def _repeats(frames: np.ndarray, periods: np.ndarray, sample_rate: int) -> np.ndarray:
    """Whether the middle of a frame is heard again a period later, and is not silence."""
    width = int(PERIODS_S * sample_rate)
    first = (frames.shape[1] - width - periods) // 2
    one = np.take_along_axis(frames, first[:, None] + np.arange(width), axis=1)
    two = np.take_along_axis(frames, (first + periods)[:, None] + np.arange(width), axis=1)
    power = np.sum(one**2, axis=1), np.sum(two**2, axis=1)
    periodicity = np.sum(one * two, axis=1) / np.maximum(np.sqrt(power[0] * power[1]), 1e-12)
    level = 10 * np.log10(np.maximum(power[0], 1e-12))
    return (periodicity > LEAST_PERIODICITY) & (level > np.max(level) + QUIETEST_DB)
