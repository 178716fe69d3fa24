"""What a fitted Kokoro voice is held against, and the judging of both.

The searches here take no gradient and no strategy: the stock voices, mixtures of two of
them, and a walk at random. Each reports a trace, a row ``(syntheses, seconds, similarity)``
for every time its best became better.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from myxtts.audio.io import read_audio
from myxtts.timing import SPEAKER_RATE
from tools import judges
from tools.kokoro.backends.interface import SAMPLE_RATE, Backend, speak
from tools.kokoro.phonemes import phonemize
from tools.kokoro_voice.objective import Measurement, Objective

# Mixtures are made of the voices that came first on their own.
BLENDED_VOICES = 8
RATIOS = (0.25, 0.5, 0.75)
# Standard deviation of a random step, in standard deviations of the voices.
WALK_STEP = 0.1


@dataclass
class Search:
    """A best point and how it was come by.

    Attributes:
        best: lowest loss so far.
        trace: rows ``(syntheses, seconds, similarity of the best)``.
        name: of the best, where it has one.
    """

    best: Measurement | None = None
    trace: list[tuple[int, float, float]] = field(default_factory=list)
    name: str = ""

    def offer(self, point: Measurement, syntheses: int, seconds: float, name: str = "") -> bool:
        """Keep a point if it is better; tell whether it was."""
        if self.best is not None and not point.loss < self.best.loss:
            return False
        self.best, self.name = point, name
        self.trace.append((syntheses, round(seconds, 1), round(point.similarity, 4)))
        return True

    def similarity_within(self, syntheses: int | None) -> float | None:
        """Similarity of the best point of so many syntheses, or of all; None before the first."""
        reached = [row[2] for row in self.trace if syntheses is None or row[0] <= syntheses]
        return reached[-1] if reached else None

    def syntheses_to(self, similarity: float) -> int | None:
        """Syntheses until the best was as similar as this; None if it never was."""
        return next((row[0] for row in self.trace if row[2] >= similarity), None)


def best_of(objective: Objective, points: dict[str, np.ndarray]) -> tuple[Search, list[str]]:
    """The best of named coordinates ``(components,)``, and all names from the best on."""
    began, first = time.monotonic(), objective.syntheses
    losses, search = {}, Search()
    for name, point in points.items():
        (measured,) = objective.measure(point[None])
        losses[name] = measured.loss
        spoken = objective.syntheses - first
        search.offer(measured, spoken, time.monotonic() - began, name)
    return search, sorted(losses, key=losses.get)


def blends(points: dict[str, np.ndarray], ranked: Sequence[str]) -> dict[str, np.ndarray]:
    """Mixtures of two of the first voices in ``ranked``, each in three proportions."""
    pairs = itertools.combinations(ranked[:BLENDED_VOICES], 2)
    return {
        f"{share:.2f} {one} + {1 - share:.2f} {other}": share * points[one]
        + (1 - share) * points[other]
        for one, other in pairs
        for share in RATIOS
    }


def random_walk(objective: Objective, start: np.ndarray, seconds: float, seed: int) -> Search:
    """From ``start`` on, a random step at a time; those that do not help are taken back."""
    began, first = time.monotonic(), objective.syntheses
    draw, search = np.random.default_rng(seed), Search()
    point = start
    while time.monotonic() - began < seconds:
        (measured,) = objective.measure(point[None])
        spoken = objective.syntheses - first
        search.offer(measured, spoken, time.monotonic() - began)
        step = draw.normal(scale=WALK_STEP, size=len(start)).astype("float32")
        point = search.best.coordinates + step
    return search


class Speaker:
    """Recordings of one speaker, and how like them speech is.

    Args:
        recordings: of the speaker; the longest is the target, the others are heard by no fit.
    """

    def __init__(self, recordings: Sequence[Path]) -> None:
        read = [(path, read_audio(path, SPEAKER_RATE)) for path in recordings]
        (self.target, target), *others = sorted(read, key=lambda item: -len(item[1][0]))
        self.name = self.target.parent.name
        self._clips = [clip for _, clip in others]
        self._target = judges.resemblyzer_embedding(target)
        self._others = np.stack([judges.ecapa_embedding(clip) for clip in self._clips])

    def likeness(self, clip: judges.Clip) -> dict[str, float]:
        """``resemblyzer``: cosine to the target; ``ecapa``: to the mean of the others."""
        return {
            "resemblyzer": float(judges.resemblyzer_embedding(clip) @ self._target),
            "ecapa": _to_mean(judges.ecapa_embedding(clip), self._others),
        }

    def judged(self, backend: Backend, voice: np.ndarray, text: str) -> dict[str, float]:
        """Likeness, word error rate, DNSMOS and seconds of a voice ``(510, 1, 256)``."""
        clip = (speak(backend, voice, phonemize(text)), SAMPLE_RATE)
        figures = self.likeness(clip)
        figures["wer"] = judges.word_error_rate(text, judges.transcribe(*clip))
        figures["dnsmos"] = judges.dnsmos(*clip)
        figures["seconds"] = len(clip[0]) / SAMPLE_RATE
        return {key: round(value, 4) for key, value in figures.items()}

    def own(self) -> dict[str, float]:
        """What the speaker's other recordings get, each beside the rest of them, on average."""
        to_target = [judges.resemblyzer_embedding(clip) @ self._target for clip in self._clips]
        to_rest = [
            _to_mean(clip, np.delete(self._others, place, axis=0))
            for place, clip in enumerate(self._others)
        ]
        figures = {"resemblyzer": np.mean(to_target), "ecapa": np.mean(to_rest)}
        return {key: round(float(value), 4) for key, value in figures.items()}


def _to_mean(embedding: np.ndarray, others: np.ndarray) -> float:
    mean = others.mean(axis=0)
    return float(embedding @ mean / np.linalg.norm(mean))
