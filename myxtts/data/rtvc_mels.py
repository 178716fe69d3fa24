"""The prepared mels of RTVC's speaker encoder as batches of speakers times utterances."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from myxtts.audio.frontends import RESEMBLYZER
from myxtts.data.batches import Builder
from myxtts.data.formats import require_folder
from myxtts.data.rtvc_encoder import PARTIAL_FRAMES, SOURCES, frames_of
from myxtts.data.rtvc_folders import check_numbers, folders_in, load_array, read_names
from myxtts.data.substitutes import Substitutes
from myxtts.errors import DataError

logger = logging.getLogger(__name__)


class MelCorpus:
    """Utterances of speakers, read when they are wanted.

    Attributes:
        paths: of arrays ``(frames, 40)``.
        speaker_names: of all.
        speakers: int32 ``(utterances,)``, places in ``speaker_names``.
        lengths: int64 ``(utterances,)``, one each: what is taken of all is equally long.
        substitutes: who of the same speaker stands in for utterances that are damaged.
    """

    def __init__(self, paths: list[Path], speakers: np.ndarray, names: list[str]):
        self.paths, self.speaker_names = paths, names
        self.speakers = np.asarray(speakers, "int32")
        self.lengths = np.ones(len(paths), "int64")
        self.substitutes = Substitutes(self._same_speaker)

    def _same_speaker(self, index: int) -> list[int]:
        """The speaker's utterances, those behind the place first."""
        own = np.flatnonzero(self.speakers == self.speakers[index])
        return np.roll(own, -int(np.searchsorted(own, index, side="right"))).tolist()

    def window(self, index: int, rng: np.random.Generator | None) -> np.ndarray:
        """160 frames at a random place, or without ``rng`` the first.

        Raises:
            DataError: the file is missing, damaged or too short, or holds no numbers.
        """
        path = self.paths[index]
        frames = load_array(path, 2, mapped=True)
        spare = len(frames) - PARTIAL_FRAMES
        if frames.shape[1] != RESEMBLYZER.n_mels or spare < 0:
            raise DataError(
                f"{path} has the shape {frames.shape}; ({PARTIAL_FRAMES} or more, "
                f"{RESEMBLYZER.n_mels}) is wanted."
            )
        start = int(rng.integers(spare)) if rng is not None and spare else 0
        window = np.array(frames[start : start + PARTIAL_FRAMES], "float32")
        check_numbers(path, window)
        return window


def open_mels(root: str | Path) -> MelCorpus:
    """All that was prepared below ``root``; speakers without utterances are left out, and told.

    Raises:
        DataError: there are fewer than two speakers with utterances.
    """
    root = Path(root)
    require_folder(root, "folder of prepared mels")
    paths: list[Path] = []
    names: list[str] = []
    places: list[int] = []
    for folder in folders_in(root):
        source = folder / SOURCES
        lines = read_names(source) if source.is_file() else []
        files = [folder / frames_of(line) for line in lines]
        if not files:
            logger.warning("%s has no utterances and is left out.", folder.name)
            continue
        places += [len(names)] * len(files)
        names.append(folder.name)
        paths += files
    if len(names) < 2:
        raise DataError(
            f"{root} has {len(names)} speaker{'s' * (len(names) != 1)} with utterances; two are "
            "needed to tell speakers apart. encoder_preprocess.py makes them."
        )
    return MelCorpus(paths, np.array(places), names)


def first_utterances(corpus: MelCorpus, speakers: int, utterances: int) -> MelCorpus:
    """The first utterances of the first speakers, in batch order; few come several times."""
    members = [np.flatnonzero(corpus.speakers == place) for place in range(speakers)]
    order = np.concatenate([np.resize(own[:utterances], utterances) for own in members])
    paths = [corpus.paths[index] for index in order]
    return MelCorpus(paths, corpus.speakers[order], corpus.speaker_names)


def mel_batches(corpus: MelCorpus, seed: int | None) -> Builder:
    """Builder of ``mels`` ``(batch, 160, 40)`` and ``speakers`` ``(batch,)``.

    Windows are drawn of the seed and the batch's number; without a seed they are the first.
    """

    def build(indices: np.ndarray, step: int, first: int = 0) -> dict[str, np.ndarray]:
        drawn = [
            None if seed is None else np.random.default_rng([seed, step, number])
            for number in range(first, first + len(indices))
        ]
        rows = []
        for index, rng in zip(indices, drawn, strict=True):

            def window(place: int, rng: np.random.Generator | None = rng) -> np.ndarray:
                return corpus.window(place, rng)

            rows.append(corpus.substitutes.read(int(index), window))
        return {"mels": np.stack(rows), "speakers": corpus.speakers[indices]}

    return build
