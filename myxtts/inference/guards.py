"""Signs that a model rambles or cuts its speech short."""

from __future__ import annotations

import numpy as np

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.models.vocoding import OUTPUT_SAMPLE_RATE

SECONDS_PER_CODE = 4 * XTTS_DVAE.hop_length / XTTS_DVAE.sample_rate
# A second and a half of the same few codes over and over is no speech.
REPEATED_SECONDS = 1.5
LONGEST_CYCLE = 8
SILENCE_DB = -50.0
SILENT_SECONDS = 1.5
FRAME = OUTPUT_SAMPLE_RATE // 50


def repeats(codes: np.ndarray) -> bool:
    """Whether codes ``(length,)`` go round in a circle of at most eight for 1.5 seconds."""
    needed = int(np.ceil(REPEATED_SECONDS / SECONDS_PER_CODE))
    return any(
        longest_run(codes[period:] == codes[:-period]) >= needed
        for period in range(1, LONGEST_CYCLE + 1)
        if len(codes) > period
    )


def falls_silent(waveform: np.ndarray, threshold_db: float = SILENCE_DB) -> bool:
    """Whether ``(samples,)`` at 24 kHz are below ``threshold_db`` for 1.5 s on end.

    The threshold is relative to the loudest fiftieth of a second.
    """
    frames = waveform[: len(waveform) // FRAME * FRAME].reshape(-1, FRAME)
    if not len(frames):
        return False
    levels = np.sqrt(np.mean(np.square(frames), axis=1))
    silent = levels <= max(levels.max(), 1e-10) * 10 ** (threshold_db / 20)
    return longest_run(silent) * FRAME >= SILENT_SECONDS * OUTPUT_SAMPLE_RATE


def longest_run(values: np.ndarray) -> int:
    """Longest stretch of true values in bool ``(length,)``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], values.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
