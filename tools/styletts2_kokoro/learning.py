"""Learning the map: ridge from what is heard of Kokoro's voices to their coordinates.

The strength of the ridge, and how loud Resemblyzer is beside ECAPA-TDNN, are those with which
voices left out are told best. No real speaker's voice has a say in that.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from myxtts.errors import DataError
from tools.kokoro.voice_space import SpaceShape, build_space
from tools.styletts2_kokoro.hearing import BOTH, ECAPA, RESEMBLYZER, SIZES, average, split
from tools.styletts2_kokoro.leave_one_out import Fold, Score, predictions, score
from tools.styletts2_kokoro.predictors import ridge, ridge_weights
from tools.styletts2_kokoro.speaker_map import SIGN_ROW, SpeakerMap

STRENGTHS = (0.1, 0.2, 0.3, 0.6, 1.0)
# Of Resemblyzer's part: its embeddings of two speakers are nearer to one another than ECAPA's.
LOUDNESSES = (1.0, 1.4, 2.0)
FEWEST_VOICES = 3


@dataclass(frozen=True)
class Chosen:
    """What leaving voices out has chosen.

    Attributes:
        strength: of the ridge's penalty.
        loudness: what each number of an embedding is multiplied by before, ``(size,)``.
        scores: of either half with these.
    """

    strength: float
    loudness: np.ndarray
    scores: Mapping[str, Score]


def choose(folds: Mapping[str, Sequence[Fold]], embeddings: np.ndarray, hearing: str) -> Chosen:
    """The strength and loudness with the highest mean of both halves' ``r2``.

    Args:
        folds: of each half.
        embeddings: of each voice, ``(voices, size)``.
        hearing: name of what heard them.
    """
    tried = []
    for strength, loudness in itertools.product(STRENGTHS, loudnesses(hearing)):
        louder = embeddings * loudness
        scores = {
            half: score(made, predictions(made, louder, louder, ridge(strength)))
            for half, made in folds.items()
        }
        tried.append(Chosen(strength, loudness, scores))
    return max(tried, key=lambda one: sum(score.r2 for score in one.scores.values()))


def loudnesses(hearing: str) -> list[np.ndarray]:
    """The loudnesses ``(size,)`` that are tried for a hearing."""
    if hearing != BOTH:
        return [np.ones(sum(SIZES[part] for part in hearing.split("+")))]
    return [
        np.repeat([loudness, 1.0], [SIZES[RESEMBLYZER], SIZES[ECAPA]]) for loudness in LOUDNESSES
    ]


def learn(
    hearing: str,
    voices: Mapping[str, np.ndarray],
    heard: Mapping[str, np.ndarray],
    background: np.ndarray,
    chosen: Chosen,
    gain: float,
) -> SpeakerMap:
    """The map from all voices.

    Args:
        hearing: name of what hears.
        voices: packs ``(510, 1, 256)`` by name.
        heard: embeddings ``(clips, size)`` of each of those.
        background: embeddings of real speakers, ``(speakers, size)``.
        chosen: strength and loudness.
        gain: what coordinates are multiplied by.

    Raises:
        DataError: there are fewer than three voices.
    """
    if len(voices) < FEWEST_VOICES:
        raise DataError(f"a map wants {FEWEST_VOICES} voices or more, not {len(voices)}.")
    packs = np.stack(list(voices.values()))
    space = build_space(packs, SpaceShape(components=len(packs)))
    coordinates = np.stack([space.coordinates(pack) for pack in packs])
    embeddings = averages(voices, heard, hearing) * chosen.loudness
    weights = ridge_weights(embeddings, coordinates.astype("float64"), chosen.strength)
    return SpeakerMap(
        hearing,
        (weights * chosen.loudness[:, None]).astype("float32"),
        background.mean(axis=0).astype("float32"),
        np.full(space.components, gain, "float32"),
        {name: pack[SIGN_ROW, 0] for name, pack in voices.items()},
    )


def averages(names, heard: Mapping[str, np.ndarray], hearing: str) -> np.ndarray:
    """One embedding of each voice, float64 ``(voices, size)``."""
    return np.stack([average(heard[name], hearing) for name in names]).astype("float64")


def part_of(heard: Mapping[str, np.ndarray], hearing: str, part: str) -> dict[str, np.ndarray]:
    """Of what a joined hearing heard, one of its parts alone."""
    place = hearing.split("+").index(part)
    return {name: split(rows, hearing)[place] for name, rows in heard.items()}
