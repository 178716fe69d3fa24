"""Metadata of a corpus as lines of columns between bars, as people write them."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from myxtts.errors import DataError

# What columns are called in a first line that names them.
NAMES = {
    "audio": "audio_file audio audio_path file file_name filename id name path utterance wav "
    "wav_file wav_path",
    "text": "text raw raw_text sentence transcript transcription",
    "reading": "normalised normalised_text normalized normalized_text text_normalised "
    "text_normalized cleaned_text reading",
    "speaker": "speaker speaker_id speaker_name",
    "language": "language language_code lang",
}
_ROLES = {name: role for role, names in NAMES.items() for name in names.split()}
# What Coqui's layout may have beside, and nobody reads.
_OTHERS = ("emotion", "emotion_name", "duration", "root_path")
# Rows that are looked at to see what a third column is.
_COMPARED = 500
# As many rows tell by their repeated values that a column names speakers, say.
_REPEATS = 8


@dataclass(frozen=True)
class Row:
    """One line: where it stands, the recording as it is named there, and what is said of it."""

    line: int
    audio: str
    text: str
    speaker: str = ""
    language: str = ""


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a metadata file that are not blank.

    Raises:
        DataError: it cannot be read, or is not UTF-8 (or UTF-16 that says so).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}.") from error
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"cannot read {path}: line {number} is not UTF-8 ({error.reason}); save the file as "
            f"UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
        ) from error
    # Not splitlines(): the other line separators of Unicode may stand inside a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def header_of(line: str) -> list[str] | None:
    """Roles of the columns that a first line names, ``""`` for one of no concern; else None."""
    names = [name.strip().strip('"').lower().replace(" ", "_") for name in line.split("|")]
    known = [_ROLES.get(name, "" if name in _OTHERS else None) for name in names]
    whole = len(names) > 1 and None not in known and "audio" in known
    return known if whole and {"text", "reading"} & set(known) else None


def read_rows(path: Path) -> list[Row]:
    """Rows of ``id|text``, ``id|text|normalised`` or of columns that the first line names.

    Raises:
        DataError: it cannot be read, a line is malformed, or the third column of a file
            without such a line is no reading of the second.
    """
    numbered = lines(path)
    first = next(numbered, None)
    if first is None:
        return []
    if roles := header_of(first[1]):
        return [_named(path, roles, *item) for item in numbered]
    cells = [(number, line.split("|")) for number, line in itertools.chain([first], numbered)]
    for number, columns in cells:
        if len(columns) not in (2, 3):
            raise DataError(
                f"{path}, line {number}: {len(columns)} columns, expected id|text|normalised."
            )
        _require_name(path, number, columns[0])
    _require_reading(path, [(number, *map(str.strip, row[1:])) for number, row in cells])
    return [Row(number, row[0].strip(), row[-1].strip() or row[1].strip()) for number, row in cells]


def _named(path: Path, roles: list[str], number: int, line: str) -> Row:
    """A row of a file whose first line named the columns; texts may stand in quotes."""
    columns = next(csv.reader([line.rstrip("\r")], delimiter="|"), [])
    if len(columns) != len(roles):
        raise DataError(
            f"{path}, line {number}: {len(columns)} columns, the first line has {len(roles)}."
        )
    found = {role: cell.strip() for role, cell in zip(roles, columns, strict=True) if role}
    _require_name(path, number, found["audio"])
    text = found.get("reading") or found.get("text", "")
    others = (found.get(role, "") for role in ("speaker", "language"))
    return Row(number, found["audio"], text, *others)


def _require_name(path: Path, number: int, audio: str) -> None:
    if not Path(audio.strip()).name:
        raise DataError(f"{path}, line {number}: {audio.strip()!r} is no id of a recording.")


def _require_reading(path: Path, rows: Sequence[tuple]) -> None:
    """Raise ``DataError`` where a third column is not how the second is read.

    A speaker, an emotion or a length there would be trained on as the text of every clip.
    """
    pairs = [row for row in rows[:_COMPARED] if len(row) == 3 and row[1] and row[2]]
    others = [row for row in pairs if not is_reading(row[1], row[2])]
    texts, readings = ({row[column] for row in pairs} for column in (1, 2))
    repeats = len(pairs) >= _REPEATS and 4 * len(readings) <= len(texts)
    if 2 * len(others) > len(pairs) or repeats:
        number, text, other = (others or pairs)[0]
        raise DataError(
            f"{path}, line {number}: the third column, {other[:40]!r}, is no reading of the "
            f"second, {text[:40]!r}. Say what the columns are in a first line, such as "
            "id|text|speaker or id|text|normalised, or leave the third out."
        )


def is_reading(text: str, other: str) -> bool:
    """Whether ``other`` can be ``text`` as it is read aloud: they share a word, or a script's
    letters are written in another script.
    """
    words, others = _words(text), _words(other)
    if words & others or not words:
        return True
    return _is_latin(text) != _is_latin(other)


def _words(text: str) -> set[str]:
    """Words of letters, small."""
    letters = "".join(sign if sign.isalpha() else " " for sign in text.lower())
    return set(letters.split())


def _is_latin(text: str) -> bool:
    letters = [sign for sign in text if sign.isalpha()]
    return sum(sign < "\u0250" for sign in letters) * 2 >= len(letters)


class Recordings:
    """Finds audio files by the names that metadata gives them.

    Args:
        suffixes: of audio files, in the order they are looked for.
        is_file: whether a path is a file.
    """

    def __init__(self, suffixes: Sequence[str], is_file: Callable[[Path], bool]):
        self.suffixes, self.is_file = suffixes, is_file
        self._listings: dict[Path, dict[str, Path]] = {}

    def find(self, stem: Path) -> Path | None:
        """The file ``stem``, with a suffix or without; capitals are as good as small letters."""
        names = [stem.name]
        if stem.suffix.lower() not in self.suffixes:
            names = [stem.name + suffix for suffix in self.suffixes]
        for name in names:
            if self.is_file(path := stem.with_name(name)):
                return path
        listing = self._listing(stem.parent)
        others = (listing[name.lower()] for name in names if name.lower() in listing)
        return next((path for path in others if self.is_file(path)), None)

    def expected(self, stem: Path) -> Path:
        """:meth:`find`, and where there is none the path that was looked for."""
        named = stem.suffix.lower() in self.suffixes
        return self.find(stem) or (stem if named else stem.with_name(f"{stem.name}.wav"))

    def _listing(self, folder: Path) -> dict[str, Path]:
        if folder not in self._listings:
            try:
                paths = sorted(folder.iterdir())
            except (OSError, ValueError):
                paths = []
            self._listings[folder] = {path.name.lower(): path for path in paths}
        return self._listings[folder]
