"""A long sequence as overlapping folds that are made side by side, and joined by cross-fades.

The layout is that of the batched generation of WaveRNN in Real-Time-Voice-Cloning: fold ``i``
begins at ``i * (target + overlap)`` and has ``target + 2 * overlap`` samples.
"""

from __future__ import annotations

import numpy as np


def fold_starts(length: int, target: int, overlap: int) -> np.ndarray:
    """Where each fold begins, int64 ``(folds,)``; the last may reach beyond ``length``."""
    each = target + overlap
    count = max((length - overlap) // each, 0)
    if length - (count * each + overlap) > 0:
        count += 1
    return np.arange(max(count, 1), dtype="int64") * each


def fold(values: np.ndarray, target: int, overlap: int) -> np.ndarray:
    """``(length, channels)`` as ``(folds, target + 2 * overlap, channels)``, zeros behind."""
    size = target + 2 * overlap
    starts = fold_starts(len(values), target, overlap)
    padded = np.zeros((int(starts[-1]) + size, *values.shape[1:]), values.dtype)
    kept = min(len(values), len(padded))
    padded[:kept] = values[:kept]
    return np.stack([padded[start : start + size] for start in starts])


def unfold(folds: np.ndarray, overlap: int, honest: bool = False) -> np.ndarray:
    """Folds ``(folds, target + 2 * overlap)`` joined to float64 ``(length,)``.

    As in Real-Time-Voice-Cloning, every fold is silent for half an overlap and fades in over the
    other half, and ends the same way backwards: the sound of a seam goes down to nothing, and so
    does the beginning. With ``honest`` a fold sounds in full until the next has run for half an
    overlap, then one fades into the other at equal power; the first begins, and the last ends,
    as it is.
    """
    folds = np.array(folds, "float64")
    size = folds.shape[1]
    rise, fall = _envelopes(overlap, honest)
    joined = np.zeros((len(folds)) * (size - overlap) + overlap)
    for number, part in enumerate(folds):
        if overlap and not (honest and number == 0):
            part[:overlap] *= rise
        if overlap and not (honest and number == len(folds) - 1):
            part[-overlap:] *= fall
        start = number * (size - overlap)
        joined[start : start + size] += part
    return joined


def _envelopes(overlap: int, honest: bool) -> tuple[np.ndarray, np.ndarray]:
    quiet = overlap // 2
    place = np.linspace(-1, 1, overlap - quiet)
    rise, fall = np.sqrt(0.5 * (1 + place)), np.sqrt(0.5 * (1 - place))
    before = np.zeros(quiet)
    behind = [np.ones(quiet), fall] if honest else [fall, np.zeros(quiet)]
    return np.concatenate([before, rise]), np.concatenate(behind)
