"""How well can a voice be told from its embedding? Each of Kokoro's voices left out in turn.

All that is predicted lies in the span of the other voices about their median, so that a voice
of 510 x 128 numbers comes to as many coordinates as there are other voices, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from tools.kokoro.backends.interface import HALF

TIMBRE, PROSODY = "timbre", "prosody"
HALVES = {TIMBRE: slice(0, HALF), PROSODY: slice(HALF, 2 * HALF)}


@dataclass(frozen=True)
class Fold:
    """One voice left out, one half of it.

    Attributes:
        hidden: number of the voice.
        others: numbers of the voices that may be learned from.
        coordinates: of those in the span they have, along its principal components, the longest
            first, ``(others, others)``; not divided by the spread.
        target: of the hidden voice's nearest point in that span, ``(others,)``.
        square: squared distance of the hidden voice from the others' median.
    """

    hidden: int
    others: np.ndarray
    coordinates: np.ndarray
    target: np.ndarray
    square: float


# From the others' embeddings (n, size), coordinates (n, r) and the hidden embedding (size,) to
# coordinates (r,).
Predictor = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Score:
    """How near predictions came, over all voices.

    Attributes:
        r2: share of the voices' squared distance from the median that is explained.
        cosine: mean, of predicted and true way from the median.
        shrinkage: length of the predicted ways by that of the true ones, root mean square.
        best_gain: by which all predictions would have to be multiplied for the highest ``r2``.
    """

    r2: float
    cosine: float
    shrinkage: float
    best_gain: float


def folds(voices: np.ndarray, half: str) -> list[Fold]:
    """A fold for each of the voices ``(voices, 510, 1, 256)``."""
    tables = voices[:, :, 0, HALVES[half]].astype("float64")
    numbers = np.arange(len(voices))
    made = []
    for hidden in tqdm(numbers, desc=half, delay=2, disable=None):
        others = np.delete(numbers, hidden)
        median = np.median(tables[others], axis=0)
        away = (tables - median).reshape(len(tables), -1)
        made.append(_fold(hidden, others, away @ away.T))
    return made


def _fold(hidden: int, others: np.ndarray, products: np.ndarray) -> Fold:
    """From inner products ``(voices, voices)`` of the ways from the median."""
    squares, axes = np.linalg.eigh(products[np.ix_(others, others)])
    lengths = np.sqrt(np.maximum(squares[::-1], 1e-12 * squares[-1]))
    axes = axes[:, ::-1]
    target = axes.T @ products[others, hidden] / lengths
    return Fold(int(hidden), others, axes * lengths, target, float(products[hidden, hidden]))


def predictions(
    made: Sequence[Fold], learned: np.ndarray, heard: np.ndarray, predict: Predictor
) -> list[np.ndarray]:
    """Coordinates of every fold's hidden voice.

    Args:
        made: of one half.
        learned: embedding of each voice that others are learned from, ``(voices, size)``.
        heard: embedding by which a voice is told when it is the hidden one, likewise.
        predict: see :data:`Predictor`.
    """
    return [predict(learned[f.others], f.coordinates, heard[f.hidden]) for f in made]


def score(made: Sequence[Fold], predicted: Sequence[np.ndarray]) -> Score:
    """Compare predictions with the folds' hidden voices."""
    pairs = list(zip(made, predicted, strict=True))
    along = np.array([f.target @ p for f, p in pairs])
    own = np.array([p @ p for _, p in pairs])
    true = np.array([f.square for f in made])
    missed = true - 2 * along + own
    cosines = along / np.sqrt(np.maximum(own * true, 1e-30))
    return Score(
        r2=float(1 - missed.sum() / true.sum()),
        cosine=float(cosines.mean()),
        shrinkage=float(np.sqrt(own.sum() / true.sum())),
        best_gain=float(along.sum() / max(own.sum(), 1e-30)),
    )
