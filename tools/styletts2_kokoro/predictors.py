"""Ways from an embedding to coordinates: ridge, and what was tried against it.

Each takes the embeddings ``(n, size)`` and coordinates ``(n, r)`` of the voices to learn from and
one embedding ``(size,)``, and gives coordinates ``(r,)`` about the voices' median.
"""

from __future__ import annotations

import numpy as np


def ridge_weights(embeddings: np.ndarray, coordinates: np.ndarray, strength: float) -> np.ndarray:
    """Weights ``(size, r)`` of ridge regression from embeddings about their mean.

    In its dual form, since there are fewer voices than numbers in an embedding. Nothing is
    subtracted from the coordinates: the mean embedding is the median voice.

    Args:
        embeddings: ``(n, size)``.
        coordinates: ``(n, r)``.
        strength: of the penalty, beside a sum over voices.
    """
    centred = embeddings - embeddings.mean(axis=0)
    products = centred @ centred.T + strength * np.eye(len(centred))
    return centred.T @ np.linalg.solve(products, coordinates)


def ridge_duals(embeddings: np.ndarray, strength: float) -> np.ndarray:
    """Matrix ``(n, size)`` to the share that each voice has in what the same ridge tells.

    Takes an embedding about the mean; shares may be negative, and need not add up to one.
    """
    centred = embeddings - embeddings.mean(axis=0)
    return np.linalg.solve(centred @ centred.T + strength * np.eye(len(centred)), centred)


def ridge(strength: float):
    """Ridge regression of a strength."""

    def predict(embeddings, coordinates, heard):
        weights = ridge_weights(embeddings, coordinates, strength)
        return (heard - embeddings.mean(axis=0)) @ weights

    return predict


def kernel_ridge(strength: float, width: float):
    """Ridge regression with a Gaussian kernel.

    Args:
        strength: of the penalty.
        width: of the kernel, in median distances of two voices.
    """

    def predict(embeddings, coordinates, heard):
        apart = _distances(embeddings, embeddings)
        scale = 2 * (width * np.median(apart[np.triu_indices(len(apart), 1)])) ** 2
        kernel, near = (
            np.exp(-(apart**2) / scale),
            np.exp(-(_distances(heard[None], embeddings)[0] ** 2) / scale),
        )
        means = kernel.mean(axis=0)
        centred = kernel - means - means[:, None] + means.mean()
        near = near - near.mean() - means + means.mean()
        return near @ np.linalg.solve(centred + strength * np.eye(len(kernel)), coordinates)

    return predict


def softmax(temperature: float):
    """The mean of all voices, weighted by the softmax of their cosines."""

    def predict(embeddings, coordinates, heard):
        return softmax_weights(embeddings, heard, temperature) @ coordinates

    return predict


def softmax_weights(embeddings: np.ndarray, heard: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax ``(n,)`` of the cosines of ``(size,)`` with ``(n, size)``."""
    cosines = _cosines(embeddings, heard) / temperature
    weights = np.exp(cosines - cosines.max())
    return weights / weights.sum()


def ridge_and_softmax(strength: float, temperature: float):
    """The mean of both: the one goes beyond the voices there are, the other stays among them."""
    one, other = ridge(strength), softmax(temperature)
    return lambda *given: (one(*given) + other(*given)) / 2


def nearest(embeddings, coordinates, heard):
    """The voice whose embedding is nearest."""
    return coordinates[np.argmax(_cosines(embeddings, heard))]


def _cosines(embeddings: np.ndarray, heard: np.ndarray) -> np.ndarray:
    return embeddings @ heard / np.linalg.norm(embeddings, axis=1) / np.linalg.norm(heard)


def _distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.linalg.norm(some[:, None] - others[None], axis=-1)
