"""A small network on top of ridge regression, whose last layer starts at zero.

Before the first epoch it is the ridge; each epoch has to beat that. Input, two layers of 512 with
layer norm, ReLU and dropout, and the correction of the coordinates.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tools.styletts2_kokoro.predictors import ridge_weights

WIDTH, DROPOUT = 512, 0.1


class Residual(nn.Module):
    """Corrections ``(batch, components)`` for embeddings ``(batch, size)``; zero at first."""

    def __init__(self, size: int, components: int, width: int = WIDTH) -> None:
        super().__init__()
        self.hidden = nn.Sequential(*_layer(size, width), *_layer(width, width))
        self.last = nn.Linear(width, components)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.last(self.hidden(embeddings))


def _layer(size: int, width: int) -> tuple[nn.Module, ...]:
    return nn.Linear(size, width), nn.LayerNorm(width), nn.ReLU(), nn.Dropout(DROPOUT)


def ridge_and_residual(strength: float, epochs: int, rate: float = 1e-3, seed: int = 0):
    """A predictor, as those of :mod:`tools.styletts2_kokoro.predictors`.

    The residual learns what ridge leaves of each voice when that voice is not learned from; of
    what ridge leaves of its own voices there would be nothing to learn.

    Args:
        strength: of the ridge.
        epochs: over all voices at once, by Adam.
        rate: of learning.
        seed: of the first weights and of dropout.
    """

    def predict(embeddings, coordinates, heard):
        mean = embeddings.mean(axis=0)
        weights = ridge_weights(embeddings, coordinates, strength)
        left = coordinates - _left_out(embeddings, coordinates, strength)
        unit = np.sqrt(np.mean(coordinates**2)) + 1e-12
        network = _trained(embeddings - mean, left / unit, epochs, rate, seed)
        with torch.no_grad():
            more = network(torch.as_tensor((heard - mean)[None], dtype=torch.float32))[0].numpy()
        return (heard - mean) @ weights + unit * more

    return predict


def _left_out(embeddings: np.ndarray, coordinates: np.ndarray, strength: float) -> np.ndarray:
    """What ridge from the others says of each voice, ``(n, r)``, without solving anew."""
    centred = embeddings - embeddings.mean(axis=0)
    products = centred @ centred.T
    hat = products @ np.linalg.inv(products + strength * np.eye(len(products)))
    fitted, own = hat @ coordinates, np.diag(hat)[:, None]
    return coordinates - (coordinates - fitted) / (1 - own)


def _trained(
    embeddings: np.ndarray, wanted: np.ndarray, epochs: int, rate: float, seed: int
) -> Residual:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Residual(embeddings.shape[1], wanted.shape[1])
        inputs, targets = (
            torch.as_tensor(array, dtype=torch.float32) for array in (embeddings, wanted)
        )
        optimizer = torch.optim.Adam(network.parameters(), rate)
        for _ in range(epochs):
            optimizer.zero_grad()
            nn.functional.mse_loss(network(inputs), targets).backward()
            optimizer.step()
    return network.eval()
