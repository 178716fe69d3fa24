"""Recordings of real people: which there are, whose, and who of them validation hears."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from myxtts.data.formats import AUDIO_SUFFIXES, LAYOUTS, Utterance, find_utterances, is_file
from myxtts.errors import DataError
from tools.voice_corpus.kokoro_speech import HELD_OUT
from tools.voice_corpus.texts import PARTS, read_lines

LANGUAGE = "en"  # of everything that hears and reads here
FEW_SPEAKERS = 10  # of fewer, none is kept for validation


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        path: of the audio file; it need not exist.
        speaker: who speaks.
        text: what is said; empty where nobody wrote it.
    """

    path: Path
    speaker: str
    text: str


@dataclass(frozen=True)
class RecordedSpeaker:
    """Somebody who was recorded.

    Attributes:
        name: of the speaker.
        part: ``train`` or ``val``, which has all that the speaker says.
        recordings: how many there are.
    """

    name: str
    part: str
    recordings: int


@dataclass(frozen=True)
class Recordings:
    """All recordings of a corpus.

    Attributes:
        parts: those of ``train`` and ``val``; a speaker is in one of them.
        counts: how many were found, left out, and in another language.
        folders: that were given.
    """

    parts: Mapping[str, Sequence[Recording]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    folders: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(self.parts.values())

    @property
    def digest(self) -> str | None:
        """SHA-256 of speakers, names of files and texts, in order; None without recordings."""
        if not self:
            return None
        rows = [(part, item) for part in PARTS for item in self.parts[part]]
        lines = [f"{part}\t{item.speaker}\t{item.path.name}\t{item.text}\n" for part, item in rows]
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def speakers(self) -> list[RecordedSpeaker]:
        """Who speaks, by name."""
        counts: dict[tuple[str, str], int] = {}
        for part, found in self.parts.items():
            for item in found:
                counts[item.speaker, part] = counts.get((item.speaker, part), 0) + 1
        return [RecordedSpeaker(*which, count) for which, count in sorted(counts.items())]


def find_recordings(
    folders: Sequence[Path], leave_out: Sequence[str], val_share: float, seed: int
) -> Recordings:
    """The recordings of some folders.

    Args:
        folders: each in a layout of ``myxtts.data.formats``, or with one folder of audio files
            for each speaker. One name in two of them is one speaker.
        leave_out: speakers that must not be heard, or files with their names, one a line.
            Kokoro's test voices never are.
        val_share: share of the speakers for validation; none of fewer than ten.
        seed: decides which.

    Raises:
        DataError: a folder is missing, empty or of no known layout, nothing in it may be heard,
            or nobody has a name that is to be left out.
    """
    if not folders:
        if leave_out:
            raise DataError("--leave-out names speakers of --recordings, and there are none.")
        return Recordings()
    listed = {item.path: item for folder in folders for item in _utterances(Path(folder))}
    unheard = _unheard(leave_out, {item.speaker for item in listed.values()})
    others = [item for item in listed.values() if item.speaker not in unheard]
    usable = [item for item in others if item.language.lower().startswith(LANGUAGE)]
    if not usable:
        raise DataError(
            f"none of the {len(listed)} recordings may be heard: {len(listed) - len(others)} are "
            f"left out, {len(others)} are not in English."
        )
    counts = {
        "found": len(listed),
        "left_out": len(listed) - len(others),
        "other_language": len(others) - len(usable),
    }
    return Recordings(_parts(usable, val_share, seed), counts, tuple(map(str, folders)))


def check_names(recorded: Iterable[RecordedSpeaker], others: Iterable) -> None:
    """Refuse a recorded speaker that has the name of one of the ``others``.

    Raises:
        DataError: there is one.
    """
    taken = {speaker.name for speaker in others}
    for speaker in recorded:
        if speaker.name in taken:
            raise DataError(
                f"a speaker of --recordings is called {speaker.name}, as one of this program's: "
                "rename the folder, or leave the speaker out by --leave-out."
            )


def _parts(
    utterances: Sequence[Utterance], val_share: float, seed: int
) -> dict[str, list[Recording]]:
    parts: dict[str, list[Recording]] = {part: [] for part in PARTS}
    validation = _validation({item.speaker for item in utterances}, val_share, seed)
    for item in utterances:
        part = "val" if item.speaker in validation else "train"
        parts[part].append(Recording(item.path, item.speaker, " ".join(item.text.split())))
    return parts


def _validation(speakers: Collection[str], val_share: float, seed: int) -> set[str]:
    """Speakers of validation, drawn by their names."""
    if len(speakers) < FEW_SPEAKERS:
        return set()
    drawn = sorted(speakers, key=lambda name: (zlib.crc32(f"{seed} {name}".encode()), name))
    return set(drawn[: math.ceil(val_share * len(drawn))])


def _unheard(leave_out: Sequence[str], known: Collection[str]) -> set[str]:
    """Names of the speakers that must not be heard."""
    names = set(HELD_OUT)
    for item in leave_out:
        if item in known:
            names.add(item)
        elif is_file(Path(item)):
            names.update(read_lines(Path(item)))
        else:
            raise DataError(
                f"--leave-out {item}: no recording is of a speaker of that name, and no file "
                "has it."
            )
    return names


def _utterances(folder: Path) -> list[Utterance]:
    """Utterances of a corpus, or of folders of speakers, without texts."""
    try:
        return find_utterances(folder, language=LANGUAGE)
    except DataError as error:
        # A corpus that is known and broken, or lies one folder deeper, says so itself.
        if any(map(_is_corpus, (folder, *_folders(folder)))):
            raise
        found = list(_speakers(folder))
        if not found and _folders(folder):
            suffixes = ", ".join(AUDIO_SUFFIXES)
            raise DataError(
                f"{folder} is no corpus of a known layout ({', '.join(LAYOUTS)}), and none of its "
                f"folders holds audio files ({suffixes}) of a speaker."
            ) from error
        if not found:
            raise
        return found


def _speakers(folder: Path) -> Iterator[Utterance]:
    """Audio files below the folder of each speaker."""
    for place in _folders(folder):
        for path in sorted(place.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.suffix.lower() in AUDIO_SUFFIXES and not hidden:
                yield Utterance(path, "", place.name, LANGUAGE)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _is_corpus(folder: Path) -> bool:
    return any(layout.matches(folder) for layout in LAYOUTS.values())
