"""Recordings in folders of speakers, for encoders that learn to tell speakers apart."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from myxtts.audio.decoding import duration
from myxtts.audio.io import ALSO_READ, SUFFIXES, read_audio, read_span, resample
from myxtts.data.formats import find_utterances, require_folder
from myxtts.data.plan import members_of
from myxtts.errors import AudioError, DataError, UnreadableError
from myxtts.timing import SPEAKER_RATE

if TYPE_CHECKING:
    from myxtts.data.screening import Report

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (*SUFFIXES, *ALSO_READ, ".m4a", ".mp4", ".aac")
# Where VCTK has its speakers: the later release, the first, and the one that is often made of it.
VCTK_FOLDERS = ("wav48_silence_trimmed", "wav48", "wav")
# Depth of a recording below its speaker's folder, by ``data.layout``; ``any`` is auto without
# lists.
DEPTHS = {"speakers": (0,), "sessions": (1,), "auto": range(32), "any": range(32)}
# Recordings of fewer seconds are decoded whole, and kept in memory as far as this goes.
WHOLE_S, MEMORY_BYTES = 60.0, 2**30


@dataclass(frozen=True)
class Recording:
    """One recording of a speaker; ``seconds`` is 0 until they are known."""

    path: Path
    speaker: str
    seconds: float = 0.0


def find_recordings(folder: str | Path, layout: str = "auto") -> list[Recording]:
    """Recordings below a folder of speakers, in a fixed order.

    A speaker is a folder in it, or what ``metadata.jsonl`` says. Of VCTK the folder above
    ``wav48`` will do, and of its two microphones the first is taken.

    Args:
        folder: of speakers.
        layout: one of ``DEPTHS``.

    Raises:
        DataError: it is no folder, or has no recordings in folders of speakers.
    """
    folder = Path(folder)
    require_folder(folder, "folder of speakers")
    if layout == "auto" and (folder / "metadata.jsonl").is_file():
        return [Recording(item.path, item.speaker) for item in find_utterances(folder)]
    top = next((folder / name for name in VCTK_FOLDERS if (folder / name).is_dir()), folder)
    found = [
        Recording(path, place.name)
        for place in sorted(path for path in top.iterdir() if _is_visible(path) and path.is_dir())
        for path in recordings_below(place)
        if len(path.relative_to(place).parts) - 1 in DEPTHS[layout]
    ]
    if not found:
        wanted = {"sessions": "SPEAKER/SESSION/FILE"}.get(layout, "SPEAKER/FILE")
        raise DataError(
            f"{folder} holds no recordings of speakers: {wanted} is looked for, with "
            f"{', '.join(AUDIO_SUFFIXES)}.{_elsewhere(top)}"
        )
    return found


def _elsewhere(folder: Path) -> str:
    """What to say where recordings lie deeper or higher than was asked for."""
    if not recordings_below(folder):
        return ""
    return (
        " There are recordings at another depth: multi_rec_session (layout sessions) is for "
        "SPEAKER/SESSION/FILE, layout auto for any."
    )


def recordings_below(folder: Path) -> list[Path]:
    """Audio files at any depth, sorted; hidden ones and second microphones are left out."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    paths = [path for path in paths if all(map(_is_visible, _within(path, folder)))]
    known = set(paths)
    return [path for path in paths if _first_microphone(path) not in known]


def measure(folder: str, found: Sequence[Recording], least: float) -> tuple[list, Report]:
    """Those recordings that last ``least`` seconds, with their lengths, and what became of all.

    Headers are believed; what has none is decoded.

    Raises:
        DataError: none is left.
    """
    # Imported late: with it comes TensorFlow, which the processes of data.workers do without.
    from myxtts.data.screening import Report

    report, kept = Report(folder), []
    with ThreadPoolExecutor() as pool:
        lengths = pool.map(lambda item: _seconds(item.path), found)
        bar = tqdm(lengths, "recordings", len(found), delay=2, disable=None)
        for item, length in zip(found, bar, strict=True):
            if isinstance(length, str) or length < least:
                told = length if isinstance(length, str) else f"too short: {length:.2f} s"
                report.skipped.append((str(item.path), told))
            else:
                kept.append(Recording(item.path, item.speaker, length))
    report.kept, report.seconds = len(kept), sum(item.seconds for item in kept)
    if not kept:
        raise DataError(f"{folder}: no recording can be used ({report.reasons()}).")
    return kept, report


def without_short_speakers(
    folder: str, recordings: Sequence[Recording], utterances: int, repeat: bool
) -> list[Recording]:
    """Recordings of speakers that have as many as their share of a batch.

    Args:
        folder: they lie in, for the sentences.
        recordings: of all.
        utterances: of a speaker in a batch.
        repeat: keep the others too; of their recordings several crops are taken.

    Raises:
        DataError: fewer than two speakers are left.
    """
    counts = Counter(item.speaker for item in recordings)
    short = {name for name, count in counts.items() if count < utterances}
    if short:
        done = "several crops of one are taken" if repeat else "left out"
        told = "%s: %d of %d speakers have fewer than %d recordings: %s"
        logger.warning(told, folder, len(short), len(counts), utterances, done)
    kept = [item for item in recordings if repeat or item.speaker not in short]
    left = len(counts) - (0 if repeat else len(short))
    if left < 2:
        why = "" if repeat or not short else f" with {utterances} recordings or more"
        raise DataError(
            f"{folder} has {left} speaker{'s' * (left != 1)}{why}; two are needed to tell "
            "speakers apart."
        )
    return kept


class SpeakerCorpus:
    """Recordings as examples, each once for every speed.

    Args:
        recordings: with their lengths.
        speeds: of the copies; every copy of a speaker is a speaker of its own.

    Attributes:
        speakers: int32 ``(examples,)``, places in ``speaker_names``.
        lengths: int64 ``(examples,)``, samples at 16 kHz.
        memory_bytes: of recordings that are kept at most.
    """

    def __init__(self, recordings: Sequence[Recording], speeds: Sequence[float] = (1.0,)):
        self.recordings, self.speeds = list(recordings), tuple(speeds)
        names, numbers = np.unique([item.speaker for item in recordings], return_inverse=True)
        self.speaker_names = [
            name if speed == 1 else f"{name} x{speed:g}" for speed in speeds for name in names
        ]
        copies = range(len(self.speeds))
        self.speakers = np.concatenate([numbers + len(names) * copy for copy in copies])
        self.speakers = self.speakers.astype("int32")
        seconds = np.array([item.seconds for item in recordings])
        lengths = [np.ceil(seconds / speed * SPEAKER_RATE) for speed in self.speeds]
        self.lengths = np.concatenate(lengths).astype("int64")
        self._memory: dict[int, np.ndarray] = {}
        self._memory_bytes = 0
        self.memory_bytes = MEMORY_BYTES
        self._told: set[int] = set()

    def __len__(self) -> int:
        return len(self.lengths)

    def crop(self, index: int, samples: int, rng: np.random.Generator) -> np.ndarray:
        """A crop at a random place, float32 ``(samples,)``; of a shorter recording the whole.

        In the place of a file that turns out to be damaged or silent stands the next of its
        speaker, and the log names it once.

        Raises:
            DataError: no recording of the speaker can be used.
            UnreadableError: the machine does not give a file.
        """
        for own in self._in_turn(index):
            try:
                audio = self._crop(own, samples, rng)
            except UnreadableError:
                raise
            except AudioError as error:
                self._tell(own, str(error))
                continue
            if audio.any():
                return audio
        name = self.speaker_names[self.speakers[index]]
        raise DataError(f"no recording of the speaker {name} can be used; the last is "
                        f"{self._recording(index).path}.")  # fmt: skip

    def beginning(self, index: int, samples: int) -> np.ndarray:
        """The first samples, float32 ``(samples,)`` or fewer."""
        return read_span(self._recording(index).path, 0.0, samples / SPEAKER_RATE, SPEAKER_RATE)

    def _in_turn(self, index: int) -> Iterator[int]:
        yield index
        members = np.flatnonzero(self.speakers == self.speakers[index])
        start = int(np.searchsorted(members, index))
        yield from np.roll(members, -start)[1:].tolist()

    def _tell(self, index: int, reason: str) -> None:
        if index not in self._told:
            self._told.add(index)
            logger.warning("%s It is passed over.", reason)

    def _recording(self, index: int) -> Recording:
        return self.recordings[index % len(self.recordings)]

    def _crop(self, index: int, samples: int, rng: np.random.Generator) -> np.ndarray:
        speed = self.speeds[index // len(self.recordings)]
        wanted, place = round(samples * speed), rng.random()
        item = self._recording(index)
        # By the file, not by what memory holds: a resumed run must hear the same.
        if item.seconds < WHOLE_S:
            whole = self._whole(index % len(self.recordings))
            start = int(place * max(len(whole) - wanted + 1, 1))
            audio = whole[start : start + wanted]
        else:
            seconds = wanted / SPEAKER_RATE
            start = place * max(item.seconds - seconds, 0.0)
            audio = read_span(item.path, start, seconds, SPEAKER_RATE)
        if speed != 1:
            audio = resample(audio, round(SPEAKER_RATE * speed), SPEAKER_RATE)
        if not audio.any():
            self._tell(index, f"{item.path} is silent, at one place at least.")
        return audio[:samples]

    def _whole(self, place: int) -> np.ndarray:
        if place in self._memory:
            return self._memory[place]
        audio, _ = read_audio(self.recordings[place].path, SPEAKER_RATE)
        if self._memory_bytes + audio.nbytes <= self.memory_bytes:
            self._memory[place] = audio
            self._memory_bytes += audio.nbytes
        return audio


class SpeakerPlan:
    """Batches of speakers times utterances, a pure function of seed and number.

    Speakers are drawn in cycles: none comes again before all have come, but for those that do
    not fill a batch at a cycle's end. So are the utterances of each speaker. A speaker is never
    twice in a batch.

    Args:
        speakers: int ``(utterances,)``.
        speakers_per_batch, utterances: of a batch, and of each speaker in it. A speaker with
            fewer has some of them several times.
        seed: of the order.

    Raises:
        DataError: there are too few speakers for a batch.
    """

    def __init__(self, speakers: np.ndarray, speakers_per_batch: int, utterances: int, seed: int):
        self.names = np.unique(speakers)
        if len(self.names) < speakers_per_batch:
            raise DataError(
                f"a batch is to have {speakers_per_batch} speakers, and there are "
                f"{len(self.names)}; lower data.speakers_per_batch."
            )
        self.members = dict(zip(self.names, members_of(speakers), strict=True))
        self.speakers_per_batch, self.utterances, self.seed = speakers_per_batch, utterances, seed
        size = speakers_per_batch * utterances
        cycle = len(self.names) // speakers_per_batch
        self.steps_per_epoch = max(len(speakers) // size, cycle)

    def epoch(self, number: int) -> list[np.ndarray]:
        """Index arrays of one epoch's batches, a speaker's utterances side by side."""
        rng = np.random.default_rng([self.seed, number])
        utterances = {name: self._cycle(name, rng) for name in self.names}
        speakers = self._speakers(rng)
        return [
            np.concatenate([next(utterances[name]) for name in next(speakers)])
            for _ in range(self.steps_per_epoch)
        ]

    def stream(self, start_step: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Endless ``(step, indices)`` from the batch with this number on.

        A builder that is seeded with the step draws anew for every example of every epoch.
        """
        step = start_step
        epoch, skipped = divmod(start_step, self.steps_per_epoch)
        while True:
            for indices in self.epoch(epoch)[skipped:]:
                yield step, indices
                step += 1
            epoch, skipped = epoch + 1, 0

    def _speakers(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        size = self.speakers_per_batch
        while True:
            order = rng.permutation(self.names)
            for start in range(0, len(order) - size + 1, size):
                yield order[start : start + size]

    def _cycle(self, name: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        members, size = self.members[name], self.utterances
        while True:
            order = rng.permutation(members)
            order = np.resize(order, size) if len(order) < size else order
            for start in range(0, len(order) - size + 1, size):
                yield order[start : start + size]


def hold_out(
    recordings: Sequence[Recording], folder: str, seed: int, every: int = 10
) -> tuple[list[Recording], list[Recording]]:
    """Recordings of most speakers, and of those held out: every tenth, and two at least.

    Raises:
        DataError: there are fewer than four speakers.
    """
    names = sorted({item.speaker for item in recordings})
    if len(names) < 4:
        raise DataError(
            f"{folder} has {len(names)} speaker{'s' * (len(names) != 1)}, too few to hold two of "
            "them out for validation; name a folder of others (data.val_data)."
        )
    count = max(2, len(names) // every)
    held = set(np.random.default_rng([seed, len(names)]).permutation(names)[:count].tolist())
    logger.info("no validation folder: %d of %d speakers are held out", count, len(names))
    return [r for r in recordings if r.speaker not in held], [
        r for r in recordings if r.speaker in held
    ]


def _seconds(path: Path) -> float | str:
    """Length of a recording by its header, else of what is decoded; or why there is none."""
    if length := duration(path):
        return length
    try:
        return len(read_audio(path, SPEAKER_RATE)[0]) / SPEAKER_RATE
    except UnreadableError:
        raise
    except AudioError as error:
        return f"unreadable: {error}"


def _first_microphone(path: Path) -> Path | None:
    """The recording of the first microphone beside one of VCTK's second."""
    stem = path.stem
    return path.with_name(f"{stem[:-1]}1{path.suffix}") if stem.endswith("_mic2") else None


def _within(path: Path, folder: Path) -> Iterable[Path]:
    return (Path(part) for part in path.relative_to(folder).parts)


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")
