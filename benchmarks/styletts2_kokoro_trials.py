"""What else was tried on voices left out: features of pitch and pace, and length models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from tqdm import tqdm

from myxtts.audio.pitch import pitch
from myxtts.timing import SPEAKER_RATE
from tools.styletts2_kokoro.leave_one_out import HALVES
from tools.styletts2_kokoro.map_corpus import Clip
from tools.styletts2_kokoro.predictors import ridge_duals
from tools.styletts2_kokoro.speaker_map import SIGN_ROW

HOP = SPEAKER_RATE // 100
# Frames over which loudness is smoothed, and how far below the loudest a syllable may be.
SYLLABLE, FAINTEST_DB = 9, 25
FEATURES = ("pitch", "spread", "range", "voiced", "pace")


def features(audio: np.ndarray) -> np.ndarray:
    """Pitch in octaves, its spread and range, the share that is voiced, syllables a second.

    Syllables are peaks of loudness; nothing is known of the words.
    """
    hertz = pitch(audio, SPEAKER_RATE, HOP)
    octaves = np.log2(hertz[hertz > 0]) if (hertz > 0).any() else np.zeros(1)
    low, high = np.percentile(octaves, [10, 90])
    frames = audio[: len(audio) // HOP * HOP].reshape(-1, HOP)
    window = np.hanning(SYLLABLE + 2)[1:-1]
    loud = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-10)
    loud = np.convolve(loud, window / window.sum(), "same")
    peaks = (loud[1:-1] > loud[:-2]) & (loud[1:-1] >= loud[2:])
    peaks &= loud[1:-1] > loud.max() - FAINTEST_DB
    pace = peaks.sum() / (len(audio) / SPEAKER_RATE)
    return np.array([np.median(octaves), octaves.std(), high - low, (hertz > 0).mean(), pace])


def features_of(clips: Iterable[Clip]) -> dict[str, np.ndarray]:
    """Features ``(5,)`` of each clip."""
    return {name: features(make()) for name, make in tqdm(list(clips), delay=2, disable=None)}


def with_features(
    embeddings: np.ndarray, found: np.ndarray, names: Iterable[str], weight: float
) -> np.ndarray:
    """Embeddings ``(voices, size)`` with some features ``(voices, 5)`` behind them.

    Args:
        embeddings: of the voices.
        found: features of the voices.
        names: of those that are taken.
        weight: what a standard deviation over the voices counts.
    """
    chosen = found[:, [FEATURES.index(name) for name in names]]
    return np.concatenate(
        [embeddings, weight * (chosen - chosen.mean(axis=0)) / chosen.std(axis=0)], axis=1
    )


def length_models(
    voices: np.ndarray, embeddings: np.ndarray, strength: float
) -> Iterator[tuple[str, Mapping[str, float]]]:
    """R² over all 510 rows of either half, for three ways to fill them.

    Args:
        voices: ``(voices, 510, 1, 256)``.
        embeddings: ``(voices, size)``.
        strength: of the ridge.
    """
    sums: dict[str, dict[str, np.ndarray]] = {}
    for half, part in HALVES.items():
        tables = voices[:, :, 0, part]
        for hidden in tqdm(range(len(voices)), desc=half, delay=2, disable=None):
            for name, missed, true in _filled(tables, embeddings, hidden, strength):
                total = sums.setdefault(name, {}).setdefault(half, np.zeros(2))
                total += missed, true
    for name, halves in sums.items():
        yield name, {half: 1 - missed / true for half, (missed, true) in halves.items()}


def _filled(
    tables: np.ndarray, embeddings: np.ndarray, hidden: int, strength: float
) -> Iterator[tuple[str, float, float]]:
    """Squared distances of each filling's and of the median's table from the hidden one."""
    others = np.delete(np.arange(len(tables)), hidden)
    learned = embeddings[others]
    shares = ridge_duals(learned, strength) @ (embeddings[hidden] - learned.mean(axis=0))
    median = np.median(tables[others], axis=0)
    told = np.tensordot(shares, tables[others] - median, 1)
    true = tables[hidden] - median
    ways = {
        "every row its own": told,
        "row 50's way from the median at all lengths": told[SIGN_ROW],
        "row 50 copied": (median + told)[SIGN_ROW] - median,
    }
    for name, way in ways.items():
        yield name, float(np.square(true - way).sum()), float(np.square(true).sum())
