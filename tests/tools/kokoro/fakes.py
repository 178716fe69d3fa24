"""A small singer in Kokoro's place: pitch and timbre are smooth functions of the style."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tools.kokoro.backends.interface import SAMPLE_RATE, encode

SAMPLES_PER_PHONEME = 600
HARMONICS = 12
VOCABULARY = {symbol: number for number, symbol in enumerate("abcdefghijklmnopqrstuvwxyz", 1)}


class FakeBackend:
    """Sings harmonics; fixed random projections of the style set pitch and timbre."""

    name = "fake"
    differentiable = True
    device = "cpu"
    provenance = "made up"

    def __init__(self, interrupt_after: int | None = None) -> None:
        generator = torch.Generator().manual_seed(7)
        self._to_pitch = torch.randn(256, generator=generator) / 16
        self._to_timbre = torch.randn(256, HARMONICS, generator=generator) / 8
        self.calls = 0
        self.interrupt_after = interrupt_after

    def tokens(self, phonemes: str) -> list[int]:
        return encode(phonemes, VOCABULARY)

    def synthesize(self, tokens: Sequence[int], styles: np.ndarray) -> list[np.ndarray]:
        styles = torch.from_numpy(np.asarray(styles, "float32"))
        return [self.waveform(tokens, style[None]).numpy() for style in styles]

    def waveform(self, tokens, style: torch.Tensor, durations=None) -> torch.Tensor:
        self.calls += 1
        if self.interrupt_after is not None and self.calls > self.interrupt_after:
            raise KeyboardInterrupt
        time = torch.arange(len(tokens) * SAMPLES_PER_PHONEME) / SAMPLE_RATE
        pitch = 140 * torch.exp(0.2 * torch.tanh(style[0] @ self._to_pitch))
        timbre = torch.softmax(2 * style[0] @ self._to_timbre, dim=0)
        orders = torch.arange(1, HARMONICS + 1)
        tones = torch.sin(2 * torch.pi * pitch * orders[:, None] * time)
        return 0.3 * (timbre[:, None] * tones).sum(dim=0)

    def durations(self, tokens, style: torch.Tensor) -> torch.Tensor:
        return torch.full((len(tokens) + 2,), 2)


class BandEmbedder:
    """Log energies of six frequency bands: a judge that costs nothing."""

    name = "bands"

    def embed(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        power = torch.fft.rfft(audio, n=24_000).abs() ** 2
        # Twenty-four thousand points put a bin at every (sample_rate / 24,000) Hz.
        bands = power[: 2400 * 24_000 // sample_rate].reshape(6, -1).sum(dim=1)
        return torch.sqrt(bands / bands.sum())


def fake_voices(count: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """Random voices ``(510, 1, 256)`` that change slowly along their length."""
    rng = np.random.default_rng(seed)
    ends = rng.normal(size=(count, 2, 256)).astype("float32")
    along = np.linspace(0, 1, 510, dtype="float32")[:, None]
    packs = ends[:, :1] * (1 - along) + ends[:, 1:] * along
    return {f"v{number}_a": pack[:, None] for number, pack in enumerate(packs)}
