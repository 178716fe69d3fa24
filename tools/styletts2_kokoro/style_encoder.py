"""StyleTTS2's two style encoders (Li et al. 2023): mel spectrogram to a style of two halves.

``style_encoder`` hears timbre, ``predictor_encoder`` prosody; one class, two sets of weights.
Spectral norm is folded into the weights when they are loaded: in use the reference divides
by u W v with the u and v of its checkpoint, so there is nothing left to iterate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from myxtts.audio.io import read_audio
from myxtts.errors import AudioError
from tools.styletts2_kokoro.style_mel import HOP, SAMPLE_RATE, style_mel, trimmed

MIN_FRAMES = 65
MIN_SAMPLES = (MIN_FRAMES - 1) * HOP
SLOPE = 0.2


class StyleBlock(nn.Module):
    """Residual block that halves height and width; ``(batch, in, h, w)`` in."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width_in, 3, padding=1)
        self.downsample_res = nn.ModuleDict(
            {"conv": nn.Conv2d(width_in, width_in, 3, stride=2, padding=1, groups=width_in)}
        )
        self.conv2 = nn.Conv2d(width_in, width_out, 3, padding=1)
        if width_in != width_out:
            self.conv1x1 = nn.Conv2d(width_in, width_out, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self._shortcut(x) + self._residual(x)) / math.sqrt(2)

    def _residual(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(functional.leaky_relu(x, SLOPE))
        x = self.downsample_res["conv"](x)
        return self.conv2(functional.leaky_relu(x, SLOPE))

    def _shortcut(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1x1(x) if hasattr(self, "conv1x1") else x
        return functional.avg_pool2d(even_width(x), 2)


class StyleEncoder(nn.Module):
    """One style encoder: mels ``(batch, 1, 80, frames)`` to styles ``(batch, style_dim)``.

    There is no masking, so a batch holds clips of equal length.

    Args:
        widths: channels after the first convolution and after each of the four blocks.
        style_dim: size of the style.

    Raises:
        AudioError: a mel has fewer than 65 frames (0.8 s).
    """

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512, 512), style_dim: int = 128):
        super().__init__()
        blocks = [StyleBlock(*pair) for pair in zip(widths[:-1], widths[1:], strict=True)]
        self.shared = nn.Sequential(
            nn.Conv2d(1, widths[0], 3, padding=1),
            *blocks,
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(widths[-1], widths[-1], 5),
            nn.AdaptiveAvgPool2d(1),
            nn.LeakyReLU(SLOPE),
        )
        self.unshared = nn.Linear(widths[-1], style_dim)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        check_frames(mel.shape[-1])
        return self.unshared(self.shared(mel).flatten(1))


class StylePair(nn.Module):
    """Both encoders: timbre ``[:, :128]`` and prosody ``[:, 128:]``, as Kokoro's rows have them."""

    def __init__(self, timbre: StyleEncoder, prosody: StyleEncoder) -> None:
        super().__init__()
        self.timbre, self.prosody = timbre, prosody
        self.eval().requires_grad_(False)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Styles ``(batch, 2 * style_dim)`` of mels ``(batch, 1, 80, frames)``."""
        return torch.cat([self.timbre(mel), self.prosody(mel)], dim=1)

    @torch.no_grad()
    def embed(self, audio: np.ndarray) -> np.ndarray:
        """Style ``(2 * style_dim,)`` of a clip ``(samples,)`` at 24 kHz, silent ends cut off.

        Raises:
            AudioError: less than 0.8 s is left between the silences.
        """
        audio = trimmed(audio)
        if len(audio) < MIN_SAMPLES:
            check_frames(len(audio) // HOP + 1)
        device = self.timbre.unshared.weight.device
        mel = style_mel(torch.from_numpy(audio).to(device))
        return self(mel[None, None])[0].cpu().numpy()


def even_width(x: torch.Tensor) -> torch.Tensor:
    """``(..., w)`` with its last column repeated where w is odd."""
    return torch.cat([x, x[..., -1:]], dim=-1) if x.shape[-1] % 2 else x


def check_frames(frames: int) -> None:
    """Refuse what the last convolution cannot span.

    Raises:
        AudioError: fewer than 65 frames.
    """
    if frames < MIN_FRAMES:
        raise AudioError(
            f"a clip of {frames} frames is too short for StyleTTS2's style encoders; they take "
            f"{MIN_FRAMES} or more, {MIN_SAMPLES / SAMPLE_RATE:.1f} s."
        )


def read_clip(path: str | Path) -> np.ndarray:
    """A recording ``(samples,)`` at the encoders' 24 kHz.

    Raises:
        AudioError: the file is missing or no audio.
    """
    return read_audio(path, SAMPLE_RATE)[0]


def encoder_of(state: Mapping[str, np.ndarray]) -> StyleEncoder:
    """An empty encoder of the sizes that folded weights have.

    Raises:
        KeyError: the weights lack one that tells a size.
    """
    blocks = [state[f"shared.{number}.conv2.weight"] for number in range(1, 5)]
    widths = [len(state["shared.0.weight"]), *map(len, blocks)]
    return StyleEncoder(widths, len(state["unshared.weight"]))
