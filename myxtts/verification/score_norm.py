"""S-norm and AS-norm: scores measured against those of strangers, a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myxtts.errors import DataError

SCORE_NORMS = ("s-norm", "as-norm")
# Nearest speakers of the cohort that AS-norm looks at.
NEAREST = 100
# A side whose scores against the cohort differ by less says nothing.
LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class ScoreNorm:
    """Symmetric normalisation of cosines (Kenny 2010), adaptive or not (Matejka et al. 2017).

    Of each side of a trial the cosines with the cohort have a mean and a deviation (over N);
    the score becomes the mean of ``(score - mean) / deviation`` of both sides. S-norm takes the
    whole cohort; AS-norm, for each side, its ``nearest`` speakers.

    Args:
        centroids: one embedding of length one a speaker, ``(speakers, dim)``.
        nearest: speakers a side; None for all, which is S-norm.

    Raises:
        DataError: there are fewer than two speakers.
    """

    centroids: np.ndarray
    nearest: int | None = None

    def __post_init__(self) -> None:
        if len(self.centroids) < 2:
            raise DataError(
                f"a cohort of {len(self.centroids)} speaker{'s' * (len(self.centroids) != 1)} "
                "normalises nothing; two are needed, and hundreds are usual."
            )

    def __call__(
        self, scores: np.ndarray, embeddings: np.ndarray, enrol: np.ndarray, test: np.ndarray
    ) -> np.ndarray:
        """Normalised scores, float64 ``(trials,)``.

        Args:
            scores: cosines ``(trials,)``.
            embeddings: of length one, of every clip once, ``(clips, dim)``.
            enrol, test: int ``(trials,)``, places of both sides in them.

        Raises:
            DataError: all speakers of the cohort are equally near to a clip.
        """
        means, deviations = self._measured(np.asarray(embeddings, "float64"))
        scores = np.asarray(scores, "float64")
        sides = [(scores - means[side]) / deviations[side] for side in (enrol, test)]
        return 0.5 * (sides[0] + sides[1])

    def _measured(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each clip's cosines with the cohort."""
        cosines = embeddings @ np.asarray(self.centroids, "float64").T
        if self.nearest is not None and self.nearest < cosines.shape[1]:
            cosines = np.partition(cosines, -self.nearest, axis=1)[:, -self.nearest :]
        deviations = cosines.std(axis=1)
        if deviations.min() < LEAST_DEVIATION:
            raise DataError(
                "all speakers of the cohort are equally near to a clip; the cohort must be of "
                "different speakers."
            )
        return cosines.mean(axis=1), deviations


def centroids(embeddings: np.ndarray, speakers: Sequence[str]) -> np.ndarray:
    """Means of unit embeddings ``(recordings, dim)`` by speaker, of length one.

    They come in the order of the speakers' names, ``(speakers, dim)``.
    """
    names, numbers = np.unique(np.asarray(speakers), return_inverse=True)
    sums = np.zeros((len(names), embeddings.shape[1]))
    np.add.at(sums, numbers, embeddings)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
