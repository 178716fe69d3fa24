"""Coordinates of a voice: principal components of the voices, in standard deviations.

The origin is the voices' median, a coordinate of 1 is one standard deviation of the
voices along its component. ``basis`` takes whole packs apart, so that a few
coordinates fill every length with what real voices do there; ``replicate`` takes one
row apart and copies it to all lengths.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch

from myxtts.errors import DataError
from tools.kokoro_voice.config import OptimizerConfig
from tools.kokoro_voice.voices import VOICE_SHAPE

logger = logging.getLogger(__name__)

ROWS, _, STYLE_SIZE = VOICE_SHAPE


@dataclass(frozen=True)
class VoiceSpace:
    """Coordinates ``(components,)`` to voices and back.

    Attributes:
        origin: the median voice, ``(rows, 256)``; one row stands for all 510.
        directions: orthonormal over rows and dimensions, ``(components, rows, 256)``.
        spread: standard deviation of the voices along each, about the origin, ``(components,)``.
    """

    origin: np.ndarray
    directions: np.ndarray
    spread: np.ndarray

    @property
    def components(self) -> int:
        return len(self.spread)

    def pack(self, coordinates: np.ndarray) -> np.ndarray:
        """The voice at ``(components,)``, float32 ``(510, 1, 256)``."""
        rows = self.origin + np.tensordot(coordinates * self.spread, self.directions, 1)
        return np.broadcast_to(rows[:, None], VOICE_SHAPE).astype("float32")

    def styles(self, coordinates: np.ndarray, row: int) -> np.ndarray:
        """Style vectors ``(batch, 256)`` at ``(batch, components)`` for a row."""
        row = min(row, len(self.origin) - 1)
        moved = (coordinates * self.spread) @ self.directions[:, row]
        return (self.origin[row] + moved).astype("float32")

    def style(self, coordinates: torch.Tensor, row: int) -> torch.Tensor:
        """As :meth:`styles`, for one ``(components,)`` with a gradient: ``(1, 256)``."""
        row = min(row, len(self.origin) - 1)
        origin, spread, directions = (
            torch.as_tensor(array, dtype=torch.float32, device=coordinates.device)
            for array in (self.origin[row], self.spread, self.directions[:, row])
        )
        return (origin + (coordinates * spread) @ directions)[None]

    def coordinates(self, voice: np.ndarray) -> np.ndarray:
        """Nearest coordinates ``(components,)`` of a voice ``(510, 1, 256)``.

        In a space of one row, the voice's mean distance from it over all rows counts.
        """
        away = (voice[:, 0] - self.origin).reshape(-1, *self.origin.shape).mean(axis=0)
        return np.tensordot(self.directions, away, 2) / self.spread


def build_space(voices: np.ndarray, config: OptimizerConfig) -> VoiceSpace:
    """The space that voices ``(voices, 510, 1, 256)`` span, as ``config`` wants it.

    Principal components about the median by a singular value decomposition. Fewer
    components than ``pca_components`` are said aloud in the log.

    Raises:
        DataError: all voices are the same.
    """
    rows = voices[:, :, 0].astype("float64")
    movable = variable_dimensions(rows[:, config.target_frame_idx], config.n_variable_dims)
    if config.length_model == "replicate":
        rows = rows[:, config.target_frame_idx][:, None]
    origin = np.median(rows, axis=0)
    away = ((rows - origin) * movable).reshape(len(rows), -1)
    _, sizes, directions = np.linalg.svd(away, full_matrices=False)
    count = _capped(config.pca_components, sizes, len(voices))
    directions = _signed(directions[:count]).reshape(count, *origin.shape)
    spread = sizes[:count] / np.sqrt(len(voices))
    return VoiceSpace(*(array.astype("float32") for array in (origin, directions, spread)))


def variable_dimensions(styles: np.ndarray, count: int) -> np.ndarray:
    """Mask ``(256,)`` of the ``count`` dimensions in which styles ``(voices, 256)`` vary most."""
    mask = np.zeros(styles.shape[1], bool)
    mask[np.argsort(-styles.var(axis=0), kind="stable")[:count]] = True
    return mask


def _capped(wanted: int, sizes: np.ndarray, voices: int) -> int:
    allowed = int((sizes > 1e-6 * sizes[0]).sum())
    if not allowed:
        raise DataError(f"the {voices} voices are all the same, which leaves nothing to search in.")
    if wanted > allowed:
        logger.info(
            "%d voices allow %d components, not %d: the search has %d coordinates.",
            voices,
            allowed,
            wanted,
            allowed,
        )
    return min(wanted, allowed)


def _signed(directions: np.ndarray) -> np.ndarray:
    """Each direction with its largest entry positive, whatever LAPACK chose."""
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    return directions * np.sign(largest)
