"""The trial list that a speaker encoder is judged by while it is trained."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from myxtts.data.speakers import Recording, SpeakerCorpus
from myxtts.errors import DataError
from myxtts.files import write_whole
from myxtts.verification.trials import read_trials

logger = logging.getLogger(__name__)

# Of one speaker, so many recordings at most take part in target trials.
MOST_RECORDINGS = 40


class TrialCorpus(SpeakerCorpus):
    """The recordings of trials; who speaks in them is not known."""


@dataclass(frozen=True)
class Trials:
    """Pairs of recordings and whether one speaker speaks in both.

    Attributes:
        corpus: each recording once.
        enrol, test: int ``(trials,)``, places in it.
        targets: bool ``(trials,)``.
    """

    corpus: TrialCorpus
    enrol: np.ndarray
    test: np.ndarray
    targets: np.ndarray

    def groups(self) -> np.ndarray:
        """Who speaks in each recording as far as target trials say, int ``(recordings,)``.

        Recordings that a chain of target trials joins are of one speaker.
        """
        count = len(self.corpus)
        pairs = self.enrol[self.targets], self.test[self.targets]
        joined = coo_array((np.ones(len(pairs[0])), pairs), shape=(count, count))
        return connected_components(joined, directed=False)[1]

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Cosine of each trial, of embeddings ``(recordings, dim)`` in the corpus's order."""
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        unit = embeddings / np.maximum(lengths, 1e-12)
        return np.sum(unit[self.enrol] * unit[self.test], axis=1)


def open_trials(path: str | Path) -> Trials:
    """Trials of a list of lines ``label enrol test``.

    Raises:
        DataError: as :func:`myxtts.verification.trials.read_trials` says.
    """
    listed, folder = read_trials(path), Path(path).parent
    names = sorted({name for trial in listed for name in (trial.enrol, trial.test)})
    places = {name: place for place, name in enumerate(names)}
    # Lengths only order the batches; of whom a recording is, only the list knows.
    sizes = [(folder / name).stat().st_size for name in names]
    corpus = TrialCorpus(
        [Recording(folder / name, "", size) for name, size in zip(names, sizes, strict=True)]
    )
    return Trials(
        corpus,
        np.array([places[trial.enrol] for trial in listed]),
        np.array([places[trial.test] for trial in listed]),
        np.array([trial.target for trial in listed]),
    )


def write_trials(path: Path, folder: str, recordings: Sequence[Recording], most: int, seed: int):
    """Draw target and non-target trials of recordings and keep them as a list.

    Args:
        path: of the list.
        folder: the recordings lie in, for the sentences.
        recordings: of at least two speakers, one of whom has two.
        most: trials of a kind.
        seed: of the drawing.

    Raises:
        DataError: they give no trials of a kind, or the list cannot be written.
    """
    rng = np.random.default_rng(seed)
    members: dict[str, list[int]] = {}
    for place, item in enumerate(recordings):
        members.setdefault(item.speaker, []).append(place)
    if len(members) < 2:
        raise DataError(f"{folder} has one speaker; trials for validation need two.")
    targets = _targets(list(members.values()), rng)
    if not targets:
        raise DataError(
            f"{folder}: every speaker has one recording; trials for validation need a speaker with "
            "two."
        )
    chosen = [targets[place] for place in rng.permutation(len(targets))[:most]]
    pairs = [(1, *pair) for pair in chosen]
    pairs += [(0, *pair) for pair in _strangers(recordings, most, rng)]
    lines = [
        f'{label}\t"{recordings[one].path.resolve()}"\t"{recordings[other].path.resolve()}"\n'
        for label, one, other in pairs
    ]
    write_whole(path, "".join(lines), DataError)
    told = "%s: %d target and %d non-target trials of %d speakers"
    logger.info(told, path, len(chosen), len(pairs) - len(chosen), len(members))


def _targets(members: list[list[int]], rng: np.random.Generator) -> list[tuple[int, int]]:
    pairs = []
    for own in members:
        some = sorted(rng.permutation(own)[:MOST_RECORDINGS].tolist())
        pairs += itertools.combinations(some, 2)
    return pairs


def _strangers(
    recordings: Sequence[Recording], most: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Distinct pairs of different speakers, in a drawn order; fewer than ``most`` if need be."""
    count = len(recordings)
    if count * count <= 8 * most:
        pairs = itertools.combinations(range(count), 2)
        different = [(i, j) for i, j in pairs if recordings[i].speaker != recordings[j].speaker]
        return [different[place] for place in rng.permutation(len(different))[:most]]
    found: dict[tuple[int, int], None] = {}
    for _ in range(20 * most):
        one, other = sorted(rng.integers(count, size=2).tolist())
        if recordings[one].speaker != recordings[other].speaker:
            found[one, other] = None
        if len(found) == most:
            break
    return list(found)
