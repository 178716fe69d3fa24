"""Files and folders that appear whole or not at all, and where they are kept."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from myxtts.errors import CheckpointError, MyXTTSError

logger = logging.getLogger(__name__)


@contextmanager
def replacing(path: str | Path, error: type[MyXTTSError] = CheckpointError) -> Iterator[Path]:
    """A temporary path, renamed to ``path`` once it has been written; folders are made.

    Args:
        path: of the file.
        error: raised, naming ``path``, when it cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        yield Path(temporary)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as problem:
        raise error(f"cannot write {path}: {_reason(problem)}.") from problem
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def write_whole(
    path: str | Path, content: str | bytes, error: type[MyXTTSError] = CheckpointError
) -> None:
    """Write text (as UTF-8) or bytes to ``path``, see :func:`replacing`."""
    with replacing(path, error) as fresh:
        fresh.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def replacing_folder(
    folder: str | Path, error: type[MyXTTSError] = CheckpointError
) -> Iterator[Path]:
    """A new folder beside ``folder`` that takes its place once everything is in it.

    What was there before goes only then. The new folder's name begins with a dot, so that
    nobody who looks for finished ones takes it for one.

    Args:
        folder: to be replaced or made.
        error: raised, naming ``folder``, when it cannot be written.
    """
    folder = Path(folder).absolute()
    fresh = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        yield fresh
        _swap(folder, fresh)
    except OSError as problem:
        raise error(f"cannot write {folder}: {_reason(problem)}.") from problem
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _swap(folder: Path, fresh: Path) -> None:
    """Put ``fresh`` in the place of ``folder``; the old one goes only once the new one stands."""
    old = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def locked(folder: str | Path, error: type[MyXTTSError] = CheckpointError) -> Iterator[None]:
    """Keep ``folder`` to this process; another that asks for it meanwhile is refused.

    The lock ends with the process, however that ends. Where the system knows none (Windows),
    nobody is refused.

    Args:
        folder: that exists.
        error: raised when another process has it.
    """
    if os.name == "nt":
        yield
        return
    # The folder itself, so that no file is left in it.
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, folder, error)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: str | Path, error: type[MyXTTSError]) -> None:
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        raise error(f"{folder} is in use by another process.") from problem
    except (ImportError, OSError) as problem:
        logger.debug("%s is not locked: %s", folder, problem)


def writable_folder(path: str | Path, error: type[MyXTTSError] = CheckpointError) -> Path:
    """``path``, made if it was not there, after a file could be written in it.

    Args:
        path: of the folder.
        error: raised, naming ``path``, when nothing can be written there.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as problem:
        raise error(f"cannot write to the folder {folder}: {_reason(problem)}.") from problem


def cache_folder() -> Path:
    """Folder of what is fetched or made once: ``MYXTTS_CACHE``, else ``~/.cache/myxtts``."""
    return Path(os.environ.get("MYXTTS_CACHE") or Path.home() / ".cache" / "myxtts")


def _reason(problem: OSError) -> str:
    if isinstance(problem, FileExistsError):
        # Of mkdir, where a file has the name of a folder.
        return f"{problem.filename} is a file"
    return problem.strerror or str(problem)
