"""What the projection is trained by, and which half of a style each part may move."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tools.kokoro.backends.interface import HALF
from tools.styletts2_kokoro.style_mel import style_mel


@dataclass(frozen=True)
class Losses:
    """Distances of speech from a clip: of mels (L1) and of speaker embeddings (1 - cosine)."""

    mel: float
    cosine: float


def mel_distance(audio: torch.Tensor, mel: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of mels, frame by frame as far as both go.

    Args:
        audio: ``(samples,)`` at 24 kHz.
        mel: ``(80, frames)``, aligned with it.
    """
    ours = style_mel(audio)
    frames = min(ours.shape[1], mel.shape[1])
    return (ours[:, :frames] - mel[:, :frames].to(ours)).abs().mean()


def style_gradient(
    style: torch.Tensor, mel: torch.Tensor, cosine: torch.Tensor, weights: tuple[float, float]
) -> torch.Tensor:
    """Gradient ``(1, 256)`` of the weighted losses with respect to a style.

    The mel's goes to the timbre half alone: with the frames given, it says next to nothing of
    prosody, and what it says there leads away from the speaker.

    Args:
        style: ``(1, 256)``, a leaf.
        mel: distance of the mels.
        cosine: distance of the speaker embeddings.
        weights: of both; what weighs nothing is not gone back through.
    """
    total = torch.zeros_like(style)
    if weights[0]:
        (of_mel,) = torch.autograd.grad(mel, style, retain_graph=bool(weights[1]))
        total[:, :HALF] += weights[0] * of_mel[:, :HALF]
    if weights[1]:
        (of_cosine,) = torch.autograd.grad(cosine, style)
        total += weights[1] * of_cosine
    return total
