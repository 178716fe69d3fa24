"""SHA-256 of what is written, kept in a record and compared when it is read again."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from myxtts.errors import CheckpointError, MyXTTSError
from myxtts.files import write_whole

logger = logging.getLogger(__name__)

SEAL = "seal"
# Files of hashes, in the form that `sha256sum -c` reads: of one file beside it, of a folder's.
BESIDE = ".sha256"
SUMS = "SHA256SUMS"


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read, or is a pipe, which would be waited for.
    """
    if Path(path).is_fifo():
        raise OSError(errno.EINVAL, "it is a pipe, no file", str(path))
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values with one more at the end: the SHA-256 of all those before it."""
    return {**values, SEAL: _digest_before_seal(values)}


def check_seal(
    values: Mapping[str, Any], name: object, error: type[MyXTTSError] = CheckpointError
) -> bool:
    """Whether ``values`` carry a seal, which then is whole.

    A record from before there were seals is let through, and named in the log.

    Args:
        values: as they were read.
        name: of the file they were read from.
        error: raised, naming the file, when its seal is broken.
    """
    if SEAL not in values:
        tell_unhashed(name)
        return False
    if values[SEAL] != _digest_before_seal(values):
        raise error(f"{name} is damaged or was changed: its content is not what was sealed.")
    return True


def tell_unhashed(name: object) -> None:
    """Say in the log that a file cannot be checked."""
    logger.warning("%s carries no hash of its content: an earlier version wrote it.", name)


@contextmanager
def hashed_beside(path: str | Path, durable: bool = True) -> Iterator[None]:
    """Around the writing of ``path``: its SHA-256 will stand beside it, in ``NAME.sha256``.

    Killed at any moment, the writer leaves a file with its own hash or with none.

    Args:
        path: of the file.
        durable: of its hash, see :func:`myxtts.files.replacing`.

    Raises:
        CheckpointError: it cannot be written.
    """
    path = Path(path)
    try:
        _beside(path).unlink(missing_ok=True)
    except OSError as problem:
        raise CheckpointError(f"cannot replace {_beside(path)}: {problem.strerror}.") from problem
    yield
    write_whole(_beside(path), f"{file_sha256(path)}  {path.name}\n", durable=durable)


def check_beside(
    path: str | Path, error: type[MyXTTSError] = CheckpointError, unhashed: bool = True
) -> None:
    """Compare a file with the hash beside it, see :func:`hashed_beside`.

    Args:
        path: of the file.
        error: raised, naming the file, when they do not belong together.
        unhashed: whether the log names a file that has none.
    """
    beside = _beside(Path(path))
    if not beside.is_file():
        if unhashed:
            tell_unhashed(path)
        return
    try:
        same = beside.read_text(encoding="utf-8", errors="replace")[:64] == file_sha256(path)
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror}.") from problem
    if not same:
        raise error(
            f"{path} is damaged or was changed: its SHA-256 is not the one in {beside.name} "
            "(remove that file if the change is meant)."
        )


def write_sums(folder: str | Path, names: Iterable[str]) -> None:
    """Write the hashes of files of a folder into its ``SHA256SUMS``.

    Raises:
        CheckpointError: it cannot be written.
    """
    folder = Path(folder)
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in sorted(names)]
    write_whole(folder / SUMS, "".join(lines), durable=False)


def check_sums(
    folder: str | Path, names: Iterable[str], error: type[MyXTTSError] = CheckpointError
) -> list[str]:
    """Compare files of a folder with its ``SHA256SUMS``.

    Args:
        folder: of the files.
        names: of those to compare.
        error: raised, naming the file, when one is another than its hash was taken of.

    Returns:
        Those of ``names`` that there is no hash of.
    """
    folder, names = Path(folder), list(names)
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return names
    known = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in names:
        if name not in known:
            continue
        try:
            same = file_sha256(folder / name) == known[name]
        except OSError as problem:
            raise error(f"cannot read {folder / name}: {problem.strerror}.") from problem
        if not same:
            raise error(
                f"{folder / name} is damaged or was changed: its SHA-256 is not the one in {SUMS}."
            )
    return [name for name in names if name not in known]


def _beside(path: Path) -> Path:
    return path.with_name(path.name + BESIDE)


def _digest_before_seal(values: Mapping[str, Any]) -> str:
    # What a newer version adds after the seal is not under it.
    covered = dict(itertools.takewhile(lambda item: item[0] != SEAL, values.items()))
    text = json.dumps(covered, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
