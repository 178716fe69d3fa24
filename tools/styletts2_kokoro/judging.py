"""How like the speakers a projection's voices are, by sentences that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from myxtts.audio.io import resample
from myxtts.timing import SPEAKER_RATE
from tools.kokoro.backends.interface import Backend
from tools.kokoro.voice_space import VoiceSpace
from tools.styletts2_kokoro.dataset import Clip, Speaker
from tools.styletts2_kokoro.hearing import Hearing, average, split
from tools.styletts2_kokoro.style_mel import SAMPLE_RATE, trimmed

SCORE = "likeness"


class Judges:
    """Speak the texts of validation clips and compare with how those clips sound.

    Args:
        backend: who speaks.
        space: of the coordinates.
        hearing: speaker encoders that hear.
        speakers: whose voices are judged.
    """

    def __init__(
        self, backend: Backend, space: VoiceSpace, hearing: Hearing, speakers: Sequence[Speaker]
    ) -> None:
        self.backend, self.space, self.hearing = backend, space, hearing
        self._tokens = [[self._read(clip) for clip in one.validation] for one in speakers]
        self._wanted = [
            average(np.stack([self._heard(clip.audio) for clip in one.validation]), hearing.name)
            for one in speakers
        ]

    def scores(self, points: Sequence[np.ndarray]) -> dict[str, float]:
        """Mean cosine of each encoder over speakers and texts, and the mean of those.

        Args:
            points: coordinates ``(components,)`` of each speaker.
        """
        each = self.by_speaker(points)
        means = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
        return {**means, SCORE: float(np.mean(list(means.values())))}

    def by_speaker(self, points: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """Mean cosine of each encoder over a speaker's texts, for each speaker."""
        found = []
        for point, texts, wanted in zip(points, self._tokens, self._wanted, strict=True):
            cosines = [self._cosines(point, tokens, wanted) for tokens in texts]
            means = np.mean(cosines, axis=0)
            found.append(dict(zip(self.hearing.name.split("+"), map(float, means), strict=True)))
        return found

    def _cosines(self, point: np.ndarray, tokens: list[int], wanted: np.ndarray) -> list[float]:
        style = self.space.styles(point[None], len(tokens) - 1)
        (audio,) = self.backend.synthesize(tokens, style)
        name = self.hearing.name
        pairs = zip(split(self._heard(audio), name), split(wanted, name), strict=True)
        return [float(ours @ theirs) for ours, theirs in pairs]

    def _heard(self, audio: np.ndarray) -> np.ndarray:
        return self.hearing.embed(resample(trimmed(audio), SAMPLE_RATE, SPEAKER_RATE))

    def _read(self, clip: Clip) -> list[int]:
        return self.backend.tokens(clip.phonemes)


def best_epoch(history: Sequence[Mapping[str, float]], judges: Sequence[str]) -> int:
    """The epoch with the highest likeness among those in which no encoder fell below epoch 0's.

    One of the encoders is trained by. A voice that pleases it alone has learned to please it, and
    that shows in the others.

    Args:
        history: a row for each epoch, the first of which is epoch 0.
        judges: names of the encoders.
    """
    first = history[0]
    later = [row for row in history[1:] if all(row[name] >= first[name] for name in judges)]
    return int(max([first, *later], key=lambda row: (row[SCORE], -row["epoch"]))["epoch"])
