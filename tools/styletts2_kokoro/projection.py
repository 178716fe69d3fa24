"""The projection that is trained: the shared map, and a correction that starts at zero.

The correction is as linear as the map and has its inputs, so that both together are a map again;
before the first epoch they are the map that comes with the tools. What it learns of one speaker
or several lies in the span of their embeddings, and says little of other people's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from tools.styletts2_kokoro.speaker_map import SpeakerMap


class Projection(nn.Module):
    """From embeddings to coordinates of the voice space.

    Args:
        speaker_map: where it starts.
        styles: embeddings of the speakers that are trained on, ``(speakers, size)``. They only
            set how large the correction's inputs are, one on average.
        gain: how far from the median voice, in times of what the map says.
    """

    def __init__(self, speaker_map: SpeakerMap, styles: np.ndarray, gain: float = 1.0) -> None:
        super().__init__()
        self.map, self.gain = speaker_map, gain
        away = np.linalg.norm(styles - speaker_map.background, axis=1).mean()
        self.scale = float(away) or 1.0
        self.correction = nn.Parameter(torch.zeros(speaker_map.weights.shape))

    def forward(self, style: np.ndarray) -> torch.Tensor:
        """Coordinates ``(components,)`` of an embedding ``(size,)``."""
        device = self.correction.device
        start = torch.from_numpy(self.gain * self.map.coordinates(style)).float().to(device)
        away = torch.from_numpy((style - self.map.background) / self.scale).float().to(device)
        return start + away @ self.correction

    @torch.no_grad()
    def coordinates(self, style: np.ndarray) -> np.ndarray:
        """As :meth:`forward`, float32 without a gradient."""
        return self(style).cpu().numpy()

    @torch.no_grad()
    def as_map(self) -> SpeakerMap:
        """Map and correction together, with a gain of one."""
        weights = self.gain * self.map.weights * self.map.gain
        weights = weights + self.correction.cpu().numpy() / self.scale
        ones = np.ones_like(self.map.gain)
        return replace(self.map, weights=weights.astype("float32"), gain=ones)
