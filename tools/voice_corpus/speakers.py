"""Who speaks: pseudo-speakers of one voice, by pitch, formants and manner."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Steps of a Kronecker sequence (powers of the root of x**7 = x + 1): it fills six dimensions
# evenly for any number of speakers, and speaker k is the same however many there are.
_ROOT = 1.1127756842787055
_STEPS = np.array([_ROOT**-power for power in range(1, 7)])


@dataclass(frozen=True)
class PseudoSpeaker:
    """What is done to the one voice.

    Attributes:
        name: of the speaker.
        pitch: factor of the fundamental frequency.
        formants: factor of the formants: the vocal tract is that much shorter.
        pace: speed of speaking, 1 is the voice's own.
        intonation: exponent of how far the pitch leaves its mean, 1 is the voice's own.
        breath: gain of the noise in the voice, in decibels.
        tilt: of the spectrum, in decibels an octave.
    """

    name: str
    pitch: float = 1.0
    formants: float = 1.0
    pace: float = 1.0
    intonation: float = 1.0
    breath: float = 0.0
    tilt: float = 0.0


def pseudo_speakers(count: int, seed: int) -> list[PseudoSpeaker]:
    """``count`` speakers that fill the space of voices evenly; one seed gives the same ones."""
    start = np.random.default_rng([seed, 6]).random(6)
    return [_speaker(f"h{k:04d}", (start + k * _STEPS) % 1) for k in range(count)]


def _speaker(name: str, point: np.ndarray) -> PseudoSpeaker:
    """A speaker at ``(6,)`` in [0, 1)."""
    pitch = math.exp(_between(math.log(0.5), math.log(1.35), point[0]))
    # Deep voices come with long vocal tracks, loosely.
    formants = pitch**0.25 * math.exp(_between(-0.15, 0.15, point[1]))
    return PseudoSpeaker(
        name,
        pitch=round(pitch, 4),
        formants=round(min(max(formants, 0.82), 1.22), 4),
        pace=round(_between(0.9, 1.2, point[2]), 4),
        intonation=round(_between(0.7, 1.4, point[3]), 4),
        breath=round(_between(-6, 5, point[4]), 4),
        tilt=round(_between(-2, 2, point[5]), 4),
    )


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * float(share)
