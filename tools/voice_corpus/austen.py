"""Jane Austen's six novels out of Debian's package of the R package janeaustenr.

The novels are in the public domain. The package holds them as ``Rdata.rdb``, a row of
compressed blocks of R's serialisation (R Internals, 1.8 and 1.11), read here without R.
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from myxtts.errors import DataError
from myxtts.files import cache_folder
from tools.kokoro.fetching import run_within

PACKAGE = "r-cran-janeaustenr"
# Without a byte for so long, apt-get gives up; in all, this program does.
_APT_PATIENCE = ("-o", "Acquire::http::Timeout=15", "-o", "Acquire::Retries=1")
PATIENCE_S = 120.0
_BOOKS = "janeaustenr/data/Rdata.rdb"
_STRING = b"\x00\x04\x00\x09"  # the flags of a string of ASCII letters; its length follows
_LONGEST_LINE = 500  # bytes; what claims to be longer is no line of a book
_XZ = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}]

SHORTEST, LONGEST = 12, 110  # letters of a sentence
_ALLOWED = re.compile(r"[A-Z][A-Za-z ,;:.!?'-]*[.!?]")
_TITLE = re.compile(r"\b(Mr|Mrs|Dr|St|Messrs|Esq)\.\s")
_END = re.compile(r"(?<=[.!?])['\"]*\s+(?=['\"]*[A-Z])")
_CLEANING = (
    (r"[_\"]|(?<!\w)'|'(?!\w)", ""),  # emphasis and quotation marks, apostrophes stay
    (r"\s*--+\s*", ", "),
    (r"\s+([,;:.!?])", r"\1"),
    (r"([,;:])(?:\s*[,;:])+", r"\1"),
    (r",\s*(?=[.!?])", ""),
    (r"\s+", " "),
)


def package(given: Path | None = None) -> Path:
    """The .deb file: the given one, the one fetched before, or ``apt-get download``'s.

    Raises:
        DataError: it is not there and apt-get does not bring it.
    """
    if given:
        if not given.is_file():
            raise DataError(f"there is no file {given}.")
        return given
    folder = cache_folder() / "voice_corpus"
    found = sorted(folder.glob(f"{PACKAGE}_*.deb"))
    return found[-1] if found else _fetch(folder)


def _fetch(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            command = ["apt-get", *_APT_PATIENCE, "download", PACKAGE]
            run_within(PATIENCE_S, command, Path(fresh), f"Debian's package {PACKAGE}")
            (deb,) = Path(fresh).glob("*.deb")
            return Path(shutil.move(deb, folder / deb.name))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise DataError(
            f"Debian's package {PACKAGE}, whose texts are read, is not here and 'apt-get download "
            f"{PACKAGE}' fails (run 'apt-get update' first); fetch the .deb from a Debian mirror "
            "and give it by --austen-package, or do without by --no-austen."
        ) from error


def sentences(deb: Path) -> list[str]:
    """Distinct sentences of 12 to 110 letters, in the order of the books.

    Raises:
        DataError: ``deb`` is no such package.
    """
    found = {
        sentence: None
        for book in _books(_database(deb))
        for paragraph in re.split(r"\n\s*\n", book)
        for sentence in split(paragraph)
    }
    if not found:
        raise DataError(f"{deb} holds no sentence; it should be Debian's {PACKAGE}.")
    return list(found)


def split(paragraph: str) -> Iterator[str]:
    """Clean sentences of a paragraph; what is too short, too long or odd is left out.

    A sentence that is too long gives the parts between its semicolons.
    """
    text = _TITLE.sub("\\1.\x00", " ".join(paragraph.split()))
    for sentence in map(_clean, _END.split(text)):
        parts = [sentence] if len(sentence) <= LONGEST else map(_whole, sentence.split(";"))
        for part in parts:
            if SHORTEST <= len(part) <= LONGEST and _ALLOWED.fullmatch(part):
                yield part


def _clean(sentence: str) -> str:
    sentence = sentence.replace("\x00", " ")
    for pattern, new in _CLEANING:
        sentence = re.sub(pattern, new, sentence)
    return sentence.strip()


def _whole(part: str) -> str:
    """A part of a sentence with the capital and the point of one."""
    part = part.strip()
    return part[:1].upper() + part[1:] + ("" if part.endswith((".", "!", "?")) else ".")


def _database(deb: Path) -> bytes:
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    try:
        archive = subprocess.run(command, check=True, capture_output=True, timeout=300).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            (member,) = [item for item in tar if item.name.endswith(_BOOKS)]
            return tar.extractfile(member).read()
    except FileNotFoundError as error:
        raise DataError(f"{deb} is unpacked by dpkg-deb, which is not installed.") from error
    except (OSError, ValueError, subprocess.SubprocessError, tarfile.TarError) as error:
        raise DataError(f"{deb} cannot be unpacked, or has no {_BOOKS}.") from error


def _books(database: bytes) -> Iterator[str]:
    """Text of every book, line by line as it was printed."""
    for block in blocks(database):
        yield "\n".join(strings(block))


def blocks(database: bytes) -> Iterator[bytes]:
    """Decompressed blocks of an ``Rdata.rdb``.

    Each is its length when decompressed (four bytes), then a zlib stream, or ``2`` and a bzip2
    stream, or ``Z`` and a raw LZMA2 stream.

    Raises:
        DataError: the bytes are none.
    """
    while database:
        kind = database[4:5]
        if kind == b"2":
            reader, start = bz2.BZ2Decompressor(), 5
        elif kind == b"Z":
            reader, start = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_XZ), 5
        else:
            reader, start = zlib.decompressobj(), 4
        try:
            block = reader.decompress(database[start:])
        except (OSError, lzma.LZMAError, zlib.error) as error:
            raise DataError("an Rdata.rdb is damaged or of an unknown compression.") from error
        if len(block) != int.from_bytes(database[:4], "big"):
            raise DataError("an Rdata.rdb is damaged: a block has another length than it says.")
        yield block
        database = reader.unused_data


def strings(block: bytes) -> Iterator[str]:
    """ASCII strings of a block of R's serialisation."""
    at = block.find(_STRING)
    while at >= 0:
        size = int.from_bytes(block[at + 4 : at + 8], "big")
        if size < _LONGEST_LINE:
            yield block[at + 8 : at + 8 + size].decode("ascii", "replace")
            at += 8 + size
        else:
            at += 4
        at = block.find(_STRING, at)
