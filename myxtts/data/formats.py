"""Corpus layouts: a folder becomes a list of utterances."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from myxtts.data.tables import Recordings, lines, read_rows
from myxtts.errors import DataError

logger = logging.getLogger(__name__)

# Of Coqui's layout; the second holds what is kept for validation.
TRAINING, VALIDATION = "metadata_train.csv", "metadata_eval.csv"
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")


@dataclass(frozen=True)
class Utterance:
    """One recording and what is said in it.

    Attributes:
        path: audio file; it need not exist yet.
        text: transcript.
        speaker: name, unique within the corpus.
        language: code such as ``en``.
        durations: seconds of each word of the text or of each phoneme, pauses included, which
            add up to the recording; empty where nobody measured them.
        phonemes: how the text is pronounced; empty where nobody wrote it.
        word_phonemes: those of each word of ``text.split()``, which with one space between are
            ``phonemes``; empty where nobody told them apart.
        place: file and line of its metadata, for messages; empty where it has none.
    """

    path: Path
    text: str
    speaker: str
    language: str
    durations: tuple[float, ...] = ()
    phonemes: tuple[str, ...] = ()
    word_phonemes: tuple[str, ...] = ()
    place: str = field(default="", compare=False)

    @property
    def timed_phonemes(self) -> bool:
        """Whether the durations are those of the phonemes."""
        return bool(self.durations) and len(self.durations) == len(self.phonemes)


def require_folder(folder: Path, told: str) -> None:
    """Refuse a path that is no folder.

    Args:
        folder: the path.
        told: what it should be.

    Raises:
        DataError: it is none.
    """
    if not folder.is_dir():
        why = "is no folder" if folder.exists() else "does not exist"
        raise DataError(f"the {told} {folder} {why}.")


def find_utterances(
    folder: str | Path, dataset_format: str = "auto", language: str = "en"
) -> list[Utterance]:
    """List the utterances of a corpus in a fixed order.

    Args:
        folder: top of the corpus, or its metadata of columns between bars.
        dataset_format: ``auto`` or a key of ``LAYOUTS``.
        language: of utterances whose metadata names none.

    Raises:
        DataError: the folder is missing or empty, its layout is unknown, or a metadata
            line is malformed.
    """
    folder = Path(folder)
    if is_file(folder) and folder.suffix.lower() in (".csv", ".txt"):
        return list(_read_table(folder, language, ("", "wavs")))
    require_folder(folder, "corpus folder")
    try:
        empty = not any(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot read the corpus folder {folder}: {error}.") from error
    if empty:
        raise DataError(f"the corpus folder {folder} is empty.")
    name = recognise(folder) if dataset_format == "auto" else dataset_format
    utterances = list(LAYOUTS[name].read(folder, language))
    if not utterances:
        raise DataError(f"{folder} holds no utterance in the {name} layout.")
    return utterances


def recognise(folder: Path) -> str:
    """Name of the layout of ``folder``.

    Raises:
        DataError: it is none of the known ones.
    """
    for name, layout in LAYOUTS.items():
        if layout.matches(folder):
            return name
    inside = [path for path in _visible(folder.glob("*/")) if path.is_dir()]
    inside = [path for path in inside if any(item.matches(path) for item in LAYOUTS.values())]
    hint = f" {inside[0]} is one: name that." if inside else ""
    raise DataError(
        f"{folder} is no corpus of a known layout ({', '.join(LAYOUTS)}); it needs a "
        "metadata.jsonl, a metadata.csv with wavs/, a metadata_train.csv, a txt/ with wav48/, or "
        f"speaker/chapter folders.{hint}"
    )


def _read_ljspeech(folder: Path, language: str) -> Iterator[Utterance]:
    """``metadata.csv`` of ``id|text|normalised text`` beside ``wavs/``."""
    return _read_table(folder / "metadata.csv", language, ("wavs", ""))


def _read_coqui(folder: Path, language: str) -> Iterator[Utterance]:
    """``metadata_train.csv`` of ``audio_file|text|speaker_name``, ``wavs/`` in the first."""
    return _read_table(folder / TRAINING, language, ("", "wavs"))


def _read_table(metadata: Path, language: str, places: tuple[str, ...]) -> Iterator[Utterance]:
    """Rows of columns between bars, their recordings below ``places`` of the folder."""
    folder, recordings = metadata.parent, Recordings(AUDIO_SUFFIXES, is_file)
    for row in read_rows(metadata):
        names = dict.fromkeys((row.audio, row.audio.replace("\\", "/")))
        stems = [folder / place / name for name in names for place in places]
        found = next((path for stem in stems if (path := recordings.find(stem))), None)
        path = found or recordings.expected(stems[0])
        speaker, place = row.speaker or folder.resolve().name, f"{metadata}, line {row.line}"
        yield Utterance(path, row.text, speaker, row.language or language, place=place)


def _read_jsonl(folder: Path, language: str) -> Iterator[Utterance]:
    """``metadata.jsonl`` of objects with ``file_name``, ``text`` and maybe other keys."""
    metadata, recordings = folder / "metadata.jsonl", Recordings(AUDIO_SUFFIXES, is_file)
    for number, line in lines(metadata):
        place = f"{metadata}, line {number}"
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: not valid JSON.") from error
        if not isinstance(item, dict):
            raise DataError(f"{place}: expected a JSON object.")
        for key in ("file_name", "text"):
            if not isinstance(item.get(key), str):
                raise DataError(f"{place}: {key!r} is missing or no string.")
        yield Utterance(
            _named(folder, item["file_name"], recordings),
            item["text"].strip(),
            _field(item, "speaker", folder.resolve().name),
            _field(item, "language", language),
            *_timing(item, place),
            _word_phonemes(item, place),
            place,
        )


def _named(folder: Path, name: str, recordings: Recordings) -> Path:
    """A recording by its name, however the name's capitals and slashes are written."""
    path = folder / name
    if is_file(path) or not path.name:
        return path
    stems = [folder / other for other in dict.fromkeys((name, name.replace("\\", "/")))]
    return next((found for stem in stems if (found := recordings.find(stem))), path)


def _read_vctk(folder: Path, language: str) -> Iterator[Utterance]:
    """``txt/SPEAKER/UTTERANCE.txt`` beside ``wav48*/SPEAKER/UTTERANCE[_mic1]``."""
    folders = _vctk_folders(folder)
    if not folders:
        raise DataError(f"{folder} holds no wav48 folder, which the vctk layout needs.")
    whole, any_ = (Recordings(AUDIO_SUFFIXES, fits) for fits in (_has_content, is_file))
    for transcript in _visible(folder.glob("txt/*/*.[tT][xX][tT]")):
        speaker = transcript.parent.name
        # The later release first; a part of one may lie beside the other.
        stems = [
            place / speaker / f"{transcript.stem}{mic}"
            for place in reversed(folders)
            for mic in ("_mic1", "_mic2", "")
        ]
        # Of a download that was broken off, empty files are left.
        tries = ((recordings, stem) for recordings in (whole, any_) for stem in stems)
        found = next((path for recordings, stem in tries if (path := recordings.find(stem))), None)
        path = found or any_.expected(folders[-1] / speaker / transcript.stem)
        yield Utterance(path, _transcript(transcript), speaker, language)


def _read_libritts(folder: Path, language: str) -> Iterator[Utterance]:
    """``SPEAKER/CHAPTER/UTTERANCE`` with ``UTTERANCE.normalized.txt`` beside it."""
    for path in _visible(folder.glob("*/*/*")):
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        transcript = path.with_name(f"{path.stem}.normalized.txt")
        if not transcript.is_file():
            transcript = path.with_name(f"{path.stem}.original.txt")
        text = _transcript(transcript) if transcript.is_file() else ""
        yield Utterance(path, text, path.parts[-3], language)


@dataclass(frozen=True)
class Layout:
    """How to tell a layout and how to read it."""

    matches: Callable[[Path], bool]
    read: Callable[[Path, str], Iterator[Utterance]]


LAYOUTS: dict[str, Layout] = {
    "jsonl": Layout(lambda folder: (folder / "metadata.jsonl").is_file(), _read_jsonl),
    "ljspeech": Layout(lambda folder: (folder / "metadata.csv").is_file(), _read_ljspeech),
    "coqui": Layout(lambda folder: (folder / TRAINING).is_file(), _read_coqui),
    "vctk": Layout(
        lambda folder: (folder / "txt").is_dir() and bool(_vctk_folders(folder)), _read_vctk
    ),
    "libritts": Layout(
        lambda folder: next(folder.glob("*/*/*.normalized.txt"), None) is not None, _read_libritts
    ),
}


def is_file(path: Path) -> bool:
    """Whether ``path`` is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _has_content(path: Path) -> bool:
    return is_file(path) and path.stat().st_size > 0


def _field(item: dict, key: str, default: str) -> str:
    """Value of an optional key; null is as good as absent."""
    value = item.get(key)
    return default if value is None else str(value)


def _timing(item: dict, place: str) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Durations and phonemes of a line, both empty where it has none."""
    phonemes, durations = item.get("phonemes") or (), item.get("durations") or ()
    written = isinstance(phonemes, (str, list, tuple)) and all(isinstance(x, str) for x in phonemes)
    if not written:
        raise DataError(f"{place}: 'phonemes' is neither a string nor a list of strings.")
    if not durations:
        return (), tuple(phonemes)
    if not isinstance(durations, list) or not all(_is_duration(value) for value in durations):
        raise DataError(f"{place}: 'durations' is no list of seconds, all of them 0 or more.")
    words = len(item["text"].split())
    if len(durations) not in (words, len(phonemes)):
        raise DataError(
            f"{place}: {len(durations)} 'durations' for {words} words of 'text' and "
            f"{len(phonemes)} 'phonemes'; one for each word or one for each phoneme is wanted."
        )
    return tuple(float(value) for value in durations), tuple(phonemes)


def _word_phonemes(item: dict, place: str) -> tuple[str, ...]:
    """Phonemes of each word of a line's text, empty where it has none."""
    found = item.get("word_phonemes") or ()
    if not isinstance(found, (list, tuple)) or not all(isinstance(word, str) for word in found):
        raise DataError(f"{place}: 'word_phonemes' is no list of strings.")
    words = len(item["text"].split())
    if found and (len(found) != words or list(" ".join(found)) != list(item.get("phonemes") or ())):
        raise DataError(
            f"{place}: 'word_phonemes' are not the 'phonemes' of the {words} words of 'text'."
        )
    return tuple(found)


def _is_duration(value) -> bool:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and math.isfinite(value) and value >= 0


def _transcript(path: Path) -> str:
    """Text of one utterance; an unreadable file costs that utterance, not the corpus."""
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        logger.warning("cannot read the transcript %s: %s", path, error)
        return ""


def _visible(paths: Iterator[Path]) -> list[Path]:
    """Sorted paths without hidden files, such as macOS leaves beside real ones."""
    return sorted(path for path in paths if not path.name.startswith("."))


def _vctk_folders(folder: Path) -> list[Path]:
    """Audio folders: ``wav48``, or ``wav48_silence_trimmed`` of later releases."""
    return sorted(path for path in folder.glob("wav48*") if path.is_dir())
