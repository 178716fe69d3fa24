"""Coordinates of a voice: principal components of the voices, in standard deviations.

The origin is the voices' median, a coordinate of 1 is one standard deviation of the
voices along its component. ``basis`` takes whole packs apart, so that a few
coordinates fill every length with what real voices do there; ``replicate`` takes one
row apart and copies it to all lengths.

The two halves of a style, timbre ``[:128]`` and prosody ``[128:]``, can have components
of their own. Speech is a smooth function of the first; in the second the phases of its
harmonics jump about, and with them what an embedder hears (by about 0.01). A coordinate
that moves both hides the slope of the one behind the jumps of the other.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from myxtts.errors import DataError
from tools.kokoro.backends.interface import HALF, STYLE_SIZE
from tools.kokoro.voices import VOICE_SHAPE

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpaceShape:
    """Which coordinates a space has.

    Attributes:
        length_model: ``basis`` takes whole packs apart, ``replicate`` copies one row.
        row: the row that is copied, and where the variance of the dimensions is measured.
        variable_dims: of the 256 dimensions, how many may move: those that vary most.
        components: coordinates, of each half if they are separate; capped at what voices allow.
        separate: whether timbre and prosody have components of their own.
    """

    length_model: Literal["basis", "replicate"] = "basis"
    row: int = 50
    variable_dims: int = STYLE_SIZE
    components: int = STYLE_SIZE
    separate: bool = True


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
        import torch

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


def build_space(voices: np.ndarray, shape: SpaceShape) -> VoiceSpace:
    """The space that voices ``(voices, 510, 1, 256)`` span, as ``shape`` wants it.

    Principal components about the median by a singular value decomposition, of both
    halves of the styles or of each. Fewer than ``shape.components`` are said aloud in the log.

    Raises:
        DataError: all voices are the same.
    """
    rows = voices[:, :, 0].astype("float64")
    movable = variable_dimensions(rows[:, shape.row], shape.variable_dims)
    if shape.length_model == "replicate":
        rows = rows[:, shape.row][:, None]
    origin = np.median(rows, axis=0)
    decoder_half = np.arange(STYLE_SIZE) < HALF
    halves = (decoder_half, ~decoder_half) if shape.separate else (True,)
    parts = [_components(rows - origin, movable & half, shape.components) for half in halves]
    directions, spread = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if len(spread) < shape.components * len(halves):
        logger.info(
            "%d voices allow %d coordinates; %d components were wanted%s.",
            len(rows),
            len(spread),
            shape.components,
            " of each half" if shape.separate else "",
        )
    if not len(spread):
        raise DataError(f"the {len(rows)} voices are all the same: there is nothing to search in.")
    return VoiceSpace(*(array.astype("float32") for array in (origin, directions, spread)))


def spread_penalty(coordinates: torch.Tensor) -> torch.Tensor:
    """Zero within one standard deviation of the voices; beyond, the mean squared excess."""
    import torch

    excess = torch.relu(coordinates.abs() - 1)
    return torch.mean(excess**2)


def _components(away: np.ndarray, movable: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions ``(components, rows, 256)`` in which ``(voices, rows, 256)`` vary, and spreads."""
    voices = len(away)
    _, sizes, directions = np.linalg.svd((away * movable).reshape(voices, -1), full_matrices=False)
    count = min(most, int((sizes > 1e-6 * sizes[0]).sum()))
    directions = _signed(directions[:count]).reshape(count, *away.shape[1:])
    # What may not move has rounding errors of the decomposition there, no more.
    return directions * movable, sizes[:count] / np.sqrt(voices)


def variable_dimensions(styles: np.ndarray, count: int) -> np.ndarray:
    """Mask ``(256,)`` of the ``count`` dimensions in which styles ``(voices, 256)`` vary most."""
    mask = np.zeros(styles.shape[1], bool)
    mask[np.argsort(-styles.var(axis=0), kind="stable")[:count]] = True
    return mask


def _signed(directions: np.ndarray) -> np.ndarray:
    """Each direction with its largest entry positive, whatever LAPACK chose."""
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    return directions * np.sign(largest)
