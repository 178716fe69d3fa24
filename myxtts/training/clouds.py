"""Embeddings as points in a plane, to look at."""

from __future__ import annotations

import importlib
import logging

import numpy as np

from myxtts.plots import draw_points

logger = logging.getLogger(__name__)

# UMAP's own (McInnes et al. 2018), and a seed: the same points lie alike every time.
NEIGHBOURS, SEED = 15, 42
# Of fewer points UMAP's spectral start fails.
FEWEST = 10


class Cloud:
    """Lays embeddings out by UMAP where ``umap-learn`` is installed, else by PCA."""

    def __init__(self) -> None:
        self._umap = None
        self._looked = False

    def picture(self, embeddings: np.ndarray, speakers: np.ndarray) -> np.ndarray:
        """RGB picture ``(height, width, 3)`` uint8 of points in their speakers' colours.

        Args:
            embeddings: ``(points, dim)``.
            speakers: int ``(points,)``.
        """
        places, method = self.layout(embeddings)
        count = len(np.unique(speakers))
        return draw_points(places, speakers, f"{method}: {len(places)} of {count} speakers")

    def layout(self, embeddings: np.ndarray) -> tuple[np.ndarray, str]:
        """Places ``(points, 2)`` and what made them."""
        umap = self._find() if len(embeddings) >= FEWEST else None
        if umap is None:
            return principal(embeddings), "PCA"
        neighbours = min(NEIGHBOURS, len(embeddings) - 1)
        made = umap.UMAP(n_neighbors=neighbours, metric="cosine", random_state=SEED, n_jobs=1)
        return made.fit_transform(embeddings), "UMAP"

    def _find(self):
        if not self._looked:
            self._looked = True
            try:
                self._umap = importlib.import_module("umap")
            except ImportError:
                logger.info("umap-learn is not installed; clouds of embeddings are drawn by PCA")
        return self._umap


def principal(vectors: np.ndarray) -> np.ndarray:
    """The two principal components ``(points, 2)``; each axis turned to its larger side."""
    centred = np.asarray(vectors, "float64") - np.mean(vectors, axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(centred), 2))
    found = (left * sizes)[:, :2]
    places[:, : found.shape[1]] = found
    largest = places[np.abs(places).argmax(axis=0), [0, 1]]
    return places * np.where(largest < 0, -1.0, 1.0)
