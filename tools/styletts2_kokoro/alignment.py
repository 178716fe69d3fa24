"""Kokoro's frames brought to those of a clip: dynamic time warping between their mels.

Kokoro's own speech of the clip's text is warped onto the clip (Sakoe and Chiba 1978). The path
gives each phoneme the frames that it has in the clip, and with those durations Kokoro speaks as
long, and at each moment the same, as the clip does: then frame can be compared with frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from tools.kokoro.backends.interface import DifferentiableBackend
from tools.styletts2_kokoro.style_mel import HOP, style_mel

# Samples of one of Kokoro's frames, in which durations are counted, by those of a mel's.
MEL_PER_FRAME = 600 // HOP
# A transcript is of no use when the clip lasts so many times as long as Kokoro takes, or as short.
FARTHEST = 2.5


@dataclass(frozen=True)
class Alignment:
    """How Kokoro's speech of a text is brought to a clip's time, or the clip to Kokoro's.

    Attributes:
        durations: frames of each phoneme and both ends, int64 ``(phonemes + 2,)``.
        frames: to which the clip's mel is stretched, for want of a transcript that fits; 0 where
            the durations are the clip's own.
    """

    durations: torch.Tensor
    frames: int = 0

    def target(self, mel: torch.Tensor) -> torch.Tensor:
        """What the speech's mel is compared with, of the clip's ``(80, frames)``."""
        return stretched_to(mel, self.frames) if self.frames else mel


def align(
    backend: DifferentiableBackend,
    tokens: Sequence[int],
    style: torch.Tensor,
    clip: torch.Tensor,
    has_text: bool = True,
) -> Alignment:
    """Align Kokoro's speech in a style with a clip.

    Args:
        backend: who speaks.
        tokens: of the clip's text, or of another's where it has none.
        style: ``(1, 256)``.
        clip: mel ``(80, frames)``.
        has_text: whether the tokens are the clip's own.
    """
    with torch.no_grad():
        durations = backend.durations(tokens, style).cpu()
        own = style_mel(backend.waveform(tokens, style, durations)).to(clip)
    times = clip.shape[1] / own.shape[1]
    if not has_text or not 1 / FARTHEST < times < FARTHEST:
        return Alignment(durations, own.shape[1])
    path = warping_path(own.cpu().numpy(), clip.cpu().numpy())
    return Alignment(torch.from_numpy(warped(durations.numpy(), path)))


def stretched_to(mel: torch.Tensor, frames: int) -> torch.Tensor:
    """``(80, frames)``, interpolated along the time."""
    return functional.interpolate(mel[None], frames, mode="linear", align_corners=False)[0]


def warped(durations: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Durations ``(phonemes + 2,)`` along a path, one frame each at least.

    Args:
        durations: Kokoro's own, whose mel has :data:`MEL_PER_FRAME` frames for each.
        path: pairs ``(steps, 2)`` of frames of Kokoro's mel and of the clip's.
    """
    ours, theirs = path.T
    frames, clip_frames = ours[-1] + 1, theirs[-1] + 1
    # Of each of Kokoro's mel frames, the middle of those that the path gives it in the clip.
    middle = np.bincount(ours, theirs) / np.bincount(ours)
    ends = np.cumsum(durations) * MEL_PER_FRAME
    moved = (np.interp(ends - 0.5, np.arange(frames), middle) + 0.5) / MEL_PER_FRAME
    moved[-1] = clip_frames / MEL_PER_FRAME
    bounds = np.concatenate([[0], np.round(moved).astype("int64")])
    for place in range(1, len(bounds)):
        bounds[place] = max(bounds[place], bounds[place - 1] + 1)
    return np.diff(bounds)


def warping_path(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pairs of frames ``(steps, 2)`` from the first of both to the last, with the least distance.

    Frames are compared by the cosine of their mels, each channel brought to zero mean and unit
    variance first: how a recording sounds as a whole has no say in what is spoken when.

    Args:
        one: mel ``(channels, frames)``.
        other: mel ``(channels, its frames)``.
    """
    cost = 1 - _unit(one).T @ _unit(other)
    total = np.full((cost.shape[0] + 1, cost.shape[1] + 1), math.inf)
    total[0, 0] = 0
    for number in range(cost.shape[0] + cost.shape[1] - 1):
        # Cells of one diagonal depend on the two before it alone.
        rows = np.arange(max(0, number - cost.shape[1] + 1), min(number + 1, cost.shape[0]))
        columns = number - rows
        before = np.minimum(total[rows, columns + 1], total[rows + 1, columns])
        # A step along both counts twice, so that it is no short cut.
        both = total[rows, columns] + cost[rows, columns]
        total[rows + 1, columns + 1] = np.minimum(before, both) + cost[rows, columns]
    return _walked_back(total, cost)


def _walked_back(total: np.ndarray, cost: np.ndarray) -> np.ndarray:
    row, column = cost.shape[0] - 1, cost.shape[1] - 1
    path = [(row, column)]
    while row or column:
        choices = (
            (total[row, column] + cost[row, column], row - 1, column - 1),
            (total[row, column + 1], row - 1, column),
            (total[row + 1, column], row, column - 1),
        )
        _, row, column = min(choices)
        path.append((row, column))
    return np.array(path[::-1])


def _unit(mel: np.ndarray) -> np.ndarray:
    """Columns of length one."""
    mel = np.asarray(mel, "float64")
    spread = mel.std(axis=1, keepdims=True) + 1e-6
    centred = (mel - mel.mean(axis=1, keepdims=True)) / spread
    return centred / (np.linalg.norm(centred, axis=0) + 1e-9)
