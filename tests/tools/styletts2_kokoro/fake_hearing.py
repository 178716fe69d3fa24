"""Hearing that costs nothing: energies of frequency bands, in the sizes of the real encoders."""

from __future__ import annotations

import numpy as np

from tests.tools.kokoro.fakes import fake_voices
from tools.kokoro.voice_space import SpaceShape, build_space
from tools.styletts2_kokoro.hearing import SIZES
from tools.styletts2_kokoro.speaker_map import SIGN_ROW, SpeakerMap

RATE = 16_000


class FakeHearing:
    """Hears by a name; equal audio gives an equal vector of parts of length one."""

    def __init__(self, name: str = "resemblyzer") -> None:
        self.name, self.provenance = name, {part: "made up" for part in name.split("+")}

    def embed(self, audio: np.ndarray) -> np.ndarray:
        parts = []
        for number, part in enumerate(self.name.split("+")):
            power = np.abs(np.fft.rfft(audio, n=RATE)[: 30 * SIZES[part] // 2]) ** 2
            bands = np.sqrt(power.reshape(SIZES[part], -1).sum(axis=1)) + 1e-3 * number
            parts.append(bands / np.linalg.norm(bands))
        return np.concatenate(parts).astype("float32")


def tone(pitch: float, seconds: float = 2.0) -> np.ndarray:
    """A voice with overtones, ``(samples,)`` at 16 kHz."""
    time = np.arange(int(seconds * RATE)) / RATE
    tones = [np.sin(2 * np.pi * pitch * order * time) / order for order in (1, 2, 3, 4)]
    return (0.2 * sum(tones)).astype("float32")


def fake_map(hearing: str = "resemblyzer", voices=None) -> SpeakerMap:
    """A map of random weights for voices that are made up."""
    voices = voices or fake_voices()
    size = sum(SIZES[part] for part in hearing.split("+"))
    components = build_space(np.stack(list(voices.values())), SpaceShape()).components
    weights = np.random.default_rng(1).normal(size=(size, components)).astype("float32")
    return SpeakerMap(
        hearing,
        weights,
        np.zeros(size, "float32"),
        np.ones(components, "float32"),
        {name: pack[SIGN_ROW, 0] for name, pack in voices.items()},
    )
