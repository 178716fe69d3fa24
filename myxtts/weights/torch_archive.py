"""The sums in a torch file, which torch itself does not look at.

Since version 1.6 ``torch.save`` writes a ZIP archive without compression, and with the CRC-32 of
each tensor's bytes in it. What an older torch wrote has no sums and cannot be checked.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterable
from pathlib import Path

from myxtts.errors import WeightsError

logger = logging.getLogger(__name__)

_BLOCK = 2**20
# Nobody packs weights; an archive that promises so many times its own size is none of torch.
_LARGEST = 4
_TENSORS = "/data/"


def check_archive(path: Path, tensors: bool = True) -> None:
    """Compare the sums in a torch file with its bytes; a file that is no archive is let through.

    Where the writer was told to leave the sums out (``torch.serialization.set_crc32_options``),
    the log says so.

    Args:
        path: of the file.
        tensors: whether their bytes are read too, which takes about a second a gigabyte.

    Raises:
        WeightsError: something in it is not what was written, or it cannot be read.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            damaged = _first_damaged(path, archive, tensors)
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}.") from error
    # Of no one kind: what a changed header makes of names, sizes, flags and methods.
    except Exception as error:
        raise WeightsError(f"{path} is damaged: it is no whole archive ({error}).") from error
    if damaged:
        raise WeightsError(
            f"{path} is damaged: {damaged} in it is not what was written; fetch or copy it again."
        )


def _first_damaged(path: Path, archive: zipfile.ZipFile, tensors: bool) -> str | None:
    """Name of the first member whose bytes have another sum."""
    members = archive.infolist()
    if not any(member.CRC for member in members if member.file_size):
        logger.warning("%s carries no sums of its content: it was written without.", path)
        return None
    if sum(member.file_size for member in members) > _LARGEST * path.stat().st_size + _BLOCK:
        raise WeightsError(f"{path} unpacks to many times its size, which no torch file does.")
    wanted = (item for item in members if tensors or _TENSORS not in item.filename)
    return _first_unlike(archive, wanted)


def _first_unlike(archive: zipfile.ZipFile, members: Iterable[zipfile.ZipInfo]) -> str | None:
    for member in members:
        try:
            with archive.open(member) as file:
                while file.read(_BLOCK):
                    pass
        except zipfile.BadZipFile:
            return member.filename
    return None
