"""Resampling that passes gradients."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch.nn import functional

# Zero crossings of the sinc on either side, and the cut-off as a share of the lower Nyquist.
CROSSINGS = 32
CUTOFF = 0.95
KAISER_BETA = 9.0


def resample(audio: torch.Tensor, from_rate: int, to_rate: int) -> torch.Tensor:
    """Resample ``(samples,)`` to ``(ceil(samples * to_rate / from_rate),)`` with its gradient.

    A Kaiser-windowed sinc in polyphase form (Smith, "Digital Audio Resampling"): one
    convolution whose channels are the phases of the output.
    """
    if from_rate == to_rate:
        return audio
    divisor = math.gcd(from_rate, to_rate)
    old, new = from_rate // divisor, to_rate // divisor
    kernel, reach = _phases(old, new)
    kernel = torch.from_numpy(kernel).to(audio)
    padded = functional.pad(audio[None, None], (reach, reach + old))
    phases = functional.conv1d(padded, kernel, stride=old)[0]
    return phases.T.reshape(-1)[: -(-audio.shape[0] * new // old)]


@functools.cache
def _phases(old: int, new: int) -> tuple[np.ndarray, int]:
    """Filters ``(new, 1, taps)`` float32 and how far they reach to the left, in samples."""
    cutoff = CUTOFF * min(1.0, new / old)
    reach = math.ceil(CROSSINGS / cutoff)
    taps = np.arange(-reach, reach + old)
    # Phase p of the output lies p * old / new input samples after the frame's first.
    distance = taps[None] - np.arange(new)[:, None] * old / new
    inside = np.clip(1 - (distance / reach) ** 2, 0, None)
    window = np.i0(KAISER_BETA * np.sqrt(inside)) / np.i0(KAISER_BETA) * (inside > 0)
    filters = cutoff * np.sinc(cutoff * distance) * window
    return filters[:, None].astype("float32"), reach
