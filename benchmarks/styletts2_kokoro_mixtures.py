"""Mixtures of Kokoro's voices as more voices to learn the map from, leaving one voice out.

The corpus is one of ``tools/make_voice_corpus.py``: its ``speakers.json`` says which voices a
speaker is mixed of, and with which shares. A mixture that the hidden voice has a share in is
nothing to learn from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myxtts.data.formats import find_utterances
from myxtts.errors import DataError
from tools.styletts2_kokoro.hearing import read_reference
from tools.styletts2_kokoro.leave_one_out import Fold
from tools.styletts2_kokoro.map_corpus import Clip


@dataclass(frozen=True)
class Mixtures:
    """Voices mixed of others.

    Attributes:
        shares: of each of Kokoro's voices, ``(mixtures, voices)``; each row adds up to one.
        embeddings: what is heard of each, ``(mixtures, size)``.
    """

    shares: np.ndarray
    embeddings: np.ndarray


def mixture_shares(folder: str | Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Shares ``(voices,)`` of each mixed speaker.

    Raises:
        DataError: the folder tells of no mixture.
    """
    path = Path(folder) / "speakers.json"
    if not path.is_file():
        raise DataError(f"{path} is missing; it says what the speakers are mixed of.")
    told = json.loads(path.read_text(encoding="utf-8"))
    found = {}
    for speaker, record in told.items():
        if len(record.get("voices", [])) > 1:
            row = np.zeros(len(names))
            row[[names.index(voice) for voice in record["voices"]]] = record["weights"]
            found[speaker] = row
    if not found:
        raise DataError(f"{path} tells of no mixture.")
    return found


def mixture_clips(folder: str | Path, speakers: Mapping) -> Iterator[Clip]:
    """The longest clip of each mixed speaker."""
    longest: dict[str, Path] = {}
    for item in find_utterances(Path(folder) / "train", "jsonl"):
        kept = longest.get(item.speaker)
        if item.speaker in speakers and (
            kept is None or item.path.stat().st_size > kept.stat().st_size
        ):
            longest[item.speaker] = item.path
    for speaker, path in sorted(longest.items()):
        yield f"{speaker}/{path.name}", lambda path=path: read_reference(path)


def ridge_with_mixtures(
    made: Sequence[Fold],
    learned: np.ndarray,
    mixtures: Mixtures,
    strength: float,
    weight: float,
) -> Iterator[np.ndarray]:
    """Coordinates of every fold's hidden voice, by ridge from the voices and mixtures.

    Args:
        made: folds of one half.
        learned: embedding of each voice, ``(voices, size)``.
        mixtures: of the voices.
        strength: of the penalty.
        weight: of a mixture's square beside a voice's.
    """
    for fold in made:
        usable = mixtures.shares[:, fold.hidden] == 0
        mean = learned[fold.others].mean(axis=0)
        shares = mixtures.shares[usable][:, fold.others]
        inputs = np.concatenate(
            [learned[fold.others] - mean, weight**0.5 * (mixtures.embeddings[usable] - mean)]
        )
        wanted = np.concatenate([fold.coordinates, weight**0.5 * (shares @ fold.coordinates)])
        products = inputs @ inputs.T + strength * np.eye(len(inputs))
        yield (learned[fold.hidden] - mean) @ inputs.T @ np.linalg.solve(products, wanted)
