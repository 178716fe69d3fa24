"""Texts, mels and speaker embeddings in the layout of RTVC's synthesizer.

``train.txt`` has a line an utterance, ``audio file|mel file|embed file|samples|mel frames|text``;
beside it lie ``mels`` (time first, in [-4, 4]), ``embeds`` and, where the corpus knows them,
``durations/duration-<id>.npy``: mel frames of each text id, of the end mark too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

import numpy as np

from myxtts.data.batches import Builder, pad
from myxtts.data.corpus import held_out
from myxtts.data.plan import BatchPlan
from myxtts.data.rtvc_folders import NAMES, array_problem, load_array
from myxtts.data.screening import Report
from myxtts.data.substitutes import Substitutes
from myxtts.errors import DataError, TextError
from myxtts.synthesizer_config import (
    Phase,
    SynthesizerConfig,
    SynthesizerDataConfig,
    TacotronConfig,
)
from myxtts.text.symbols import SymbolTokenizer

TABLE = "train.txt"
MEL_PADDING = -4.0
FRAMES_A_SECOND = 80
UNKNOWN = -1.0
# What arrays of batches are padded with, 0 aside: behind its end an utterance goes on to stop.
PADDING = {"mels": MEL_PADDING, "stops": 1.0, "paths": UNKNOWN}
# A longer number is no count of samples.
MOST_DIGITS = 16


@dataclass(frozen=True)
class Line:
    """An utterance of ``train.txt``."""

    audio: str
    mel: str
    embed: str
    samples: int
    frames: int
    text: str

    @property
    def duration(self) -> str:
        """File of the durations, which need not be there."""
        return self.mel.replace("mel-", "duration-", 1)


def read_table(path: str | Path) -> list[Line]:
    """Utterances of a table, in order; those without frames are left out with all that is theirs.

    Raises:
        DataError: the table cannot be read, or a line has not the six columns.
    """
    try:
        text = Path(path).read_text(**NAMES)
    except OSError as error:
        raise DataError(f"cannot read the table of utterances {path}: {error}.") from error
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        parts = line.rstrip("\r").split("|")
        if parts == [""]:
            continue
        if len(parts) < 6 or not all(map(_is_count, parts[3:5])) or not _is_text(parts[5]):
            raise DataError(
                f"{path}, line {number}: audio file|mel file|embed file|samples|mel frames|text "
                "is wanted, in UTF-8."
            )
        for name in parts[:3]:
            if not _is_within(name):
                raise DataError(f"{path}, line {number}: {name[:80]!r} is no name of a file here.")
        if int(parts[4]):
            found.append(Line(*parts[:3], int(parts[3]), int(parts[4]), parts[5]))
    return found


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) < MOST_DIGITS


def _is_text(text: str) -> bool:
    """Whether it was UTF-8, not other bytes."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _is_within(name: str) -> bool:
    """Whether a name leads to a file in the table's folders, which are written to as well."""
    path = PurePath(name)
    return bool(path.name) and not path.is_absolute() and not {"..", "\0"} & {*path.parts, *name}


class SynthesizerCorpus:
    """Utterances of one folder.

    Args:
        folder: of ``mels`` and ``embeds``.
        lines: usable ones, with their ids.

    Attributes:
        lengths: int64 ``(utterances,)``, in mel frames.
        speakers: zeros; no batch asks for them.
        r: frames a decoder step of validation batches, of the phase that the training is in.
        start: steps made before this run.
        substitutes: who stands in for utterances that turn out to be damaged.
    """

    def __init__(self, folder: Path, lines: list[tuple[Line, list[int]]]):
        self.folder, self.lines = folder, lines
        self.lengths = np.array([line.frames for line, _ in lines], "int64")
        self.speakers = np.zeros(len(lines), "int32")
        self.r, self.start = 1, 0
        self.substitutes = Substitutes(self._alike)

    def __len__(self) -> int:
        return len(self.lines)

    def split(self, every: int) -> tuple[SynthesizerCorpus, SynthesizerCorpus]:
        """All but every so many-th utterance, and those; one utterance alone is both."""
        if len(self) < 2:
            return self, self
        rest, held = held_out(self.lines, every)
        return SynthesizerCorpus(self.folder, rest), SynthesizerCorpus(self.folder, held)

    def _alike(self, index: int) -> list[int]:
        """All, those nearest in length first."""
        return np.argsort(np.abs(self.lengths - self.lengths[index]), kind="stable").tolist()

    def ids(self, index: int) -> np.ndarray:
        """Text ids int32."""
        return np.array(self.lines[index][1], "int32")

    def mel(self, index: int) -> np.ndarray:
        """Mel float32 ``(frames, mels)``.

        Raises:
            DataError: it cannot be read or has fewer frames than the table says.
        """
        line = self.lines[index][0]
        mel = load_array(self.folder / "mels" / line.mel, 2)
        if len(mel) < line.frames:
            raise DataError(
                f"{self.folder / 'mels' / line.mel} is of {mel.shape}; {line.frames} frames are "
                "wanted."
            )
        return mel[: line.frames].astype("float32")

    def embedding(self, index: int) -> np.ndarray:
        """Speaker embedding float32 ``(dim,)``."""
        path = self.folder / "embeds" / self.lines[index][0].embed
        return load_array(path, 1).astype("float32")

    def path(self, index: int, r: int) -> np.ndarray:
        """Share of the text that is spoken at each decoder step; -1 where nobody knows."""
        line, ids = self.lines[index]
        steps, file = -(-line.frames // r), self.folder / "durations" / line.duration
        if not file.is_file():
            return np.full(steps, UNKNOWN, "float32")
        durations = load_array(file, 1)
        if durations.shape != (len(ids),) or durations.min() < 0 or not durations.sum():
            raise DataError(f"{file} is of {durations.shape}; {len(ids)} durations are wanted.")
        ends = np.cumsum(durations)
        middles = (np.arange(steps) + 0.5) * r * ends[-1] / (steps * r)
        return (np.searchsorted(ends, middles, side="right") / len(ids)).astype("float32")


def open_synthesizer_data(
    folder: str | Path,
    data: SynthesizerDataConfig,
    tokenizer: SymbolTokenizer,
    sizes: TacotronConfig | None = None,
) -> tuple[SynthesizerCorpus, Report]:
    """Utterances below ``folder`` that can be learned from, by the headers of their arrays.

    Args:
        folder: of the table.
        data: which utterances are learned from.
        tokenizer: of the texts.
        sizes: of the model, which the arrays have to fit; None for any.

    Raises:
        DataError: the table is not as it should be, or no utterance remains.
    """
    folder = Path(folder)
    report, kept = Report(str(folder)), []
    for line in read_table(folder / TABLE):
        try:
            reason = _unfit(folder, line, data, sizes)
            ids = [] if reason else tokenizer.encode(line.text)
        except TextError as error:
            reason = f"no text: {error}"
        if reason:
            report.skipped.append((line.mel, reason))
        else:
            kept.append((line, ids))
    report.kept = len(kept)
    report.seconds = sum(line.frames for line, _ in kept) / FRAMES_A_SECOND
    if not kept:
        told = f" ({report.reasons()}; first {report.skipped[0][1]})" if report.skipped else ""
        raise DataError(f"{folder / TABLE} names no utterance to learn from{told}.")
    return SynthesizerCorpus(folder, kept), report


def _unfit(folder: Path, line: Line, data: SynthesizerDataConfig, sizes) -> str | None:
    if line.frames > data.max_frames:
        return f"too long: {line.frames} frames"
    if not line.text.strip():
        return "no text"
    mel, embed = folder / "mels" / line.mel, folder / "embeds" / line.embed
    channels, dims = (sizes.n_mels, sizes.speaker_dims) if sizes else (None, None)
    return array_problem(mel, 2, line.frames, channels) or array_problem(embed, 1, width=dims)


class Shuffled(BatchPlan):
    """Batches of utterances of any length, as RTVC has them."""

    def epoch(self, number: int) -> list[np.ndarray]:
        """Index arrays of the batches of one epoch."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.lengths))
        return [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]


class PhasePlan:
    """Which utterances meet, phase by phase.

    Args:
        corpus: whose they are; its ``start`` steps lie before the run.
        phases: of the schedule.
        seed: of the order.
        bucketing: utterances of similar length meet.
    """

    def __init__(
        self, corpus: SynthesizerCorpus, phases: tuple[Phase, ...], seed: int, bucketing: bool
    ):
        kind = BatchPlan if bucketing else Shuffled
        self.start, self.phases = corpus.start, phases
        self.plans = [
            kind(corpus.lengths, corpus.speakers, phase.batch_size, seed + number)
            for number, phase in enumerate(phases)
        ]

    def stream(self, start_step: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Endless ``(r, indices)`` from the batch with this number of the run on."""
        step = self.start + start_step
        while True:
            number = place(self.phases, step)
            began = self.phases[number - 1].until if number else 0
            for _, indices in self.plans[number].stream(step - began):
                yield self.phases[number].r, indices
                step += 1
                if place(self.phases, step) != number:
                    break


def place(phases: tuple[Phase, ...], step: int) -> int:
    """Number of the phase that the step behind ``step`` others is in; the last has no end."""
    ended = sum(step >= phase.until for phase in phases)
    return min(ended, len(phases) - 1)


@dataclass(frozen=True)
class Example:
    """An utterance as it is learned: ``ids``, ``mel``, ``embedding`` and ``path``."""

    ids: np.ndarray
    mel: np.ndarray
    embedding: np.ndarray
    path: np.ndarray


def batches(corpus: SynthesizerCorpus, config: SynthesizerConfig) -> Builder:
    """Builder of batches; the number that comes with the indices is r, 0 for the corpus's own.

    It gives ``ids`` and ``characters`` (their counts), ``embedding``, ``mels`` ``(batch, frames,
    mels)`` padded by one frame and to a multiple of ``r``, their ``lengths``, ``stops`` ``(batch,
    frames)``, ``paths`` ``(batch, steps)`` and ``r`` itself. Another utterance stands in for one
    that is damaged.
    """
    sizes = config.model

    def build(indices: np.ndarray, r: int) -> dict[str, np.ndarray]:
        r = r or corpus.r
        read = partial(example, corpus, sizes, r)
        rows = [corpus.substitutes.read(int(index), read) for index in indices]
        ids, mels = [row.ids for row in rows], [row.mel for row in rows]
        lengths = np.array([len(mel) for mel in mels], "int32")
        size = -(-(int(lengths.max()) + 1) // r) * r
        frames = np.arange(size)[None]
        return {
            "ids": pad(ids, 1, 0, "int32"),
            "characters": np.array([len(row) for row in ids], "int32"),
            "embedding": np.stack([row.embedding for row in rows]),
            "mels": pad(mels, 1, MEL_PADDING, size=size),
            "lengths": lengths,
            "stops": (frames >= lengths[:, None] - 1).astype("float32"),
            "paths": pad([row.path for row in rows], 1, UNKNOWN, size=size // r),
            "r": np.array(r, "int32"),
        }

    return build


def example(corpus: SynthesizerCorpus, sizes: TacotronConfig, r: int, row: int) -> Example:
    """Read an utterance for a model of these sizes.

    Raises:
        DataError: a file of it cannot be read, or does not fit.
    """
    mel, embedding = corpus.mel(row), corpus.embedding(row)
    if mel.shape[1] != sizes.n_mels or embedding.shape != (sizes.speaker_dims,):
        raise DataError(
            f"{corpus.folder}, {corpus.lines[row][0].mel}: mels of {mel.shape[1]} channels and "
            f"an embedding of {embedding.shape}; the model wants {sizes.n_mels} and "
            f"({sizes.speaker_dims},)."
        )
    return Example(corpus.ids(row), mel, embedding, corpus.path(row, r))
