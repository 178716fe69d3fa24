"""Signs that a model rambles or cuts its speech short."""

from __future__ import annotations

import numpy as np

from myxtts.generation.vocoding import length_scale
from myxtts.timing import OUTPUT_RATE, SECONDS_PER_CODE

# A second and a half of the same few codes over and over is no speech.
REPEATED_SECONDS = 1.5
LONGEST_CYCLE = 8
SILENCE_DB = -50.0
SILENT_SECONDS = 1.5
FRAME = OUTPUT_RATE // 50
# Where speech is over, the stop code leads; a draw of it far behind another cuts a word.
STOP_ODDS = 5.0


def repeats(codes: np.ndarray) -> bool:
    """Whether codes ``(length,)`` go round in a circle of at most eight for 1.5 seconds."""
    needed = int(np.ceil(REPEATED_SECONDS / SECONDS_PER_CODE))
    return any(
        longest_run(codes[period:] == codes[:-period]) >= needed
        for period in range(1, LONGEST_CYCLE + 1)
        if len(codes) > period
    )


def falls_silent(
    waveform: np.ndarray, threshold_db: float = SILENCE_DB, speed: float = 1.0
) -> bool:
    """Whether ``(samples,)`` at 24 kHz are below ``threshold_db`` for 1.5 s on end.

    The threshold is relative to the loudest fiftieth of a second; in slow speech, pauses
    may be as much longer.
    """
    frames = waveform[: len(waveform) // FRAME * FRAME].reshape(-1, FRAME)
    if not len(frames):
        return False
    levels = np.sqrt(np.mean(np.square(frames), axis=1))
    silent = levels <= max(levels.max(), 1e-10) * 10 ** (threshold_db / 20)
    longest = SILENT_SECONDS * length_scale(speed)
    return longest_run(silent) * FRAME >= longest * OUTPUT_RATE


def stops_doubtfully(logits: np.ndarray, stop_code: int) -> bool:
    """Whether some code was five times as likely as the stop code, when that was drawn.

    Args:
        logits: ``(num_audio_tokens,)``, before temperature, penalties and filters.
        stop_code: id of the stop code.
    """
    others = np.delete(logits, stop_code)
    return bool(others.max() - logits[stop_code] > np.log(STOP_ODDS))


def longest_run(values: np.ndarray) -> int:
    """Longest stretch of true values in bool ``(length,)``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], values.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
