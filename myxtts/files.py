"""Files and folders that appear whole or not at all, and where they are kept."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from myxtts.errors import CheckpointError, MyXTTSError
from myxtts.locks import locked

__all__ = [
    "abandoned",
    "cache_folder",
    "check_writable",
    "discard_folder",
    "is_full",
    "locked",
    "mend_folder",
    "read_object",
    "refusal_of_disk",
    "remove_abandoned",
    "replacing",
    "replacing_folder",
    "sweep",
    "system_error",
    "writable_folder",
    "write_whole",
]

logger = logging.getLogger(__name__)

# Names of what is not finished yet: who writes it, and a number nobody else draws.
_TOKEN = r"[0-9a-f]+-[0-9a-f]{8}"
# How a system says that a disk, or somebody's share of it, is full.
_FULL = (errno.ENOSPC, errno.EDQUOT)
# How long a reader waits for a folder that another process is about to exchange.
_PATIENCE_S = 1.0
# How often a writer begins again that another one came between.
_TRIES = 20


@contextmanager
def replacing(
    path: str | Path, error: type[MyXTTSError] = CheckpointError, durable: bool = True
) -> Iterator[Path]:
    """A temporary path, renamed to ``path`` once it has been written; folders are made.

    Its permissions are those that the umask gives a new file.

    Args:
        path: of the file.
        error: raised, naming ``path``, when it cannot be written.
        durable: bring the content to the disk before the rename, so that a loss of power leaves
            no name without its bytes; what can be made anew does not need that.
    """
    path = Path(path)
    temporary = None
    try:
        with _refusals_told(path, error):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary, mode = _new_file(path)
            yield temporary
            temporary.chmod(mode)
            if durable:
                _sync_file(temporary)
            temporary.replace(path)
            if durable:
                _sync_folder(path.parent)
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def write_whole(
    path: str | Path,
    content: str | bytes,
    error: type[MyXTTSError] = CheckpointError,
    durable: bool = True,
) -> None:
    """Write text (as UTF-8) or bytes to ``path``, see :func:`replacing`."""
    with replacing(path, error, durable) as fresh:
        fresh.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def read_object(path: Path, error: type[MyXTTSError], told: str) -> dict:
    """The object in a JSON file.

    Args:
        path: of the file.
        error: raised when it cannot be read or holds anything else.
        told: between path and reason in its sentence: ``is missing or damaged``.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise error(f"{path} {told}: {problem}.") from problem
    if not isinstance(values, dict):
        raise error(f"{path} {told}: it holds no JSON object.")
    return values


@contextmanager
def replacing_folder(
    folder: str | Path, error: type[MyXTTSError] = CheckpointError, durable: bool = True
) -> Iterator[Path]:
    """A new folder beside ``folder`` that takes its place once everything is in it.

    What was there before goes only then. The new folder's name begins with a dot, so that
    nobody who looks for finished ones takes it for one. A process that is killed between the
    two renames of an exchange leaves the old folder beside; :func:`mend_folder` puts it back.

    Args:
        folder: to be replaced or made.
        error: raised, naming ``folder``, when it cannot be written.
        durable: as in :func:`replacing`.
    """
    folder = Path(folder).absolute()
    with _refusals_told(folder, error):
        mend_folder(folder)
        with _begun(folder) as fresh:
            yield fresh
            if durable:
                _sync_tree(fresh)
            _swap(folder, fresh)
            if durable:
                _sync_folder(folder.parent)


def mend_folder(folder: str | Path) -> None:
    """Undo an exchange of ``folder`` that was broken off, and sweep up what it left.

    Nothing happens to what another process is writing at this moment.
    """
    folder = Path(folder).absolute()
    deadline = time.monotonic() + _PATIENCE_S
    with suppress(OSError):
        while not folder.exists() and (old := _left_of(folder, "old")):
            writing = any(not abandoned(path) for path in _left_of(folder, "new"))
            if writing and time.monotonic() < deadline:
                # Somebody is between its two renames.
                time.sleep(0.01)
                continue
            max(old, key=lambda path: path.stat().st_mtime).rename(folder)
            logger.warning("%s: its exchange was broken off, the old one is back", folder)
        for path in _left_of(folder, "new") + _left_of(folder, "old"):
            remove_abandoned(path)


def sweep(folder: str | Path) -> None:
    """Take away the files that killed writers had begun in ``folder``, which is locked."""
    for path in Path(folder).glob(".*"):
        if re.fullmatch(rf"\.{_TOKEN}(\..*)?", path.name) and path.is_file():
            path.unlink(missing_ok=True)


def abandoned(path: Path) -> bool:
    """Whether no living process writes the unfinished folder ``path`` any more."""
    try:
        with _in_hand(path):
            return True
    except OSError:
        return False


def remove_abandoned(path: Path) -> None:
    """Remove the unfinished folder ``path``, held until it is gone, unless somebody writes it."""
    with suppress(OSError), _in_hand(path):
        shutil.rmtree(path, ignore_errors=True)


def discard_folder(folder: Path) -> None:
    """Remove a folder; at no time does a half of it stand under its name."""
    gone = folder.with_name(f".{folder.name}.{_token()}.gone")
    with suppress(OSError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def _begun(folder: Path) -> Iterator[Path]:
    """An empty folder in hand beside ``folder``; neither it nor its ``.old`` is left."""
    with ExitStack() as stack:
        for left in reversed(range(_TRIES)):
            fresh = folder.with_name(f".{folder.name}.{_token()}.new")
            for path in (fresh.with_suffix(".old"), fresh):
                stack.callback(shutil.rmtree, path, ignore_errors=True)
            fresh.mkdir(parents=True)
            # Before it is in hand, another writer may look whether it is, or sweep it up.
            try:
                stack.enter_context(_in_hand(fresh))
            except (FileNotFoundError, BlockingIOError):
                if not left:
                    raise
                continue
            if fresh.exists():
                break
        yield fresh


def _swap(folder: Path, fresh: Path) -> None:
    """Put ``fresh`` in the place of ``folder``; the old one goes only once the new one stands."""
    old = fresh.with_suffix(".old")
    for left in reversed(range(_TRIES)):
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            # A second writer may have taken it away, to put its own there.
            with suppress(FileNotFoundError):
                folder.rename(old)
        try:
            fresh.rename(folder)
            return
        except OSError as problem:
            # A reader may have put the old one back, or a second writer its own there.
            if not left or problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                with suppress(OSError):  # which is what a folder that stands there raises, too
                    old.rename(folder)
                raise


def _left_of(folder: Path, kind: str) -> list[Path]:
    """What unfinished exchanges of ``folder`` left beside it: ``new`` or ``old`` folders."""
    pattern = re.compile(rf"\.{re.escape(folder.name)}(\.{_TOKEN})?\.{kind}")
    if not folder.parent.is_dir():
        return []
    return [path for path in folder.parent.iterdir() if pattern.fullmatch(path.name)]


@contextmanager
def _in_hand(path: Path) -> Iterator[None]:
    """Mark an unfinished folder as being written; ``OSError`` where another process does.

    The mark ends with the process, however that ends.
    """
    if os.name == "nt":
        yield
        return
    import fcntl

    handle = os.open(path, os.O_RDONLY)
    try:
        with _where_supported():
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextmanager
def _where_supported() -> Iterator[None]:
    """Let pass that the file system knows no locks or no synchronisation of folders."""
    try:
        yield
    except OSError as problem:
        unknown = (errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.ENOLCK, errno.EBADF)
        if problem.errno not in unknown:
            raise
        logger.debug("not supported here: %s", problem)


def _token() -> str:
    return f"{os.getpid():x}-{secrets.token_hex(4)}"


def _new_file(path: Path) -> tuple[Path, int]:
    """An empty file beside ``path``, and its permissions: some writers give it others."""
    temporary = path.with_name(f".{_token()}{path.suffix}")
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        return temporary, stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    if os.name != "nt":
        with _where_supported():
            _sync_file(path)


def _sync_tree(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            if not (path := Path(place, name)).is_symlink():
                _sync_file(path)
        _sync_folder(Path(place))


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


def check_writable(path: str | Path, error: type[MyXTTSError] = CheckpointError) -> None:
    """See that a file could be written to ``path``; no file and no folder is made.

    Args:
        path: of the file; its folder need not be there yet.
        error: raised, naming ``path``, where it could not.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise error(f"cannot write {path}: it is a folder; name a file in it.")
        folder = path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as problem:
        raise error(f"cannot write {path}: {_reason(problem)}.") from problem


def cache_folder() -> Path:
    """Folder of what is fetched or made once: ``MYXTTS_CACHE``, else ``~/.cache/myxtts``."""
    return Path(os.environ.get("MYXTTS_CACHE") or Path.home() / ".cache" / "myxtts")


def is_full(problem: BaseException) -> bool:
    """Whether an error says that a disk, or somebody's share of it, is full."""
    if isinstance(problem, OSError) and problem.errno:
        return problem.errno in (*_FULL, errno.EFBIG)
    # Of writers that are no Python: TensorFlow, and Rust.
    signs = [os.strerror(number) for number in _FULL] + [f"(os error {errno.EFBIG})"]
    return any(sign in str(problem) for sign in signs)


def refusal_of_disk(folder: str | Path) -> OSError | None:
    """What the system says when something is written into ``folder`` now, if it refuses."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(2**16))
    except OSError as problem:
        return problem
    return None


def system_error(path: Path, problem: Exception) -> Exception | None:
    """The system's error behind one of whoever wrote ``path``; None where there is none."""
    if isinstance(problem, MyXTTSError):
        return None
    link: BaseException | None = problem
    while link is not None:
        # torch raises another of its own while that of a full disk is under way.
        if isinstance(link, Exception) and is_full(link):
            return link
        link = link.__context__
    if not isinstance(problem, OSError):
        return None
    # NumPy counts what was written and keeps the reason to itself.
    return problem if problem.errno else refusal_of_disk(path.parent) or problem


@contextmanager
def _refusals_told(path: Path, error: type[MyXTTSError]) -> Iterator[None]:
    """Raise ``error``, naming ``path``, where the system refuses to write it."""
    try:
        yield
    except Exception as problem:
        if (reason := system_error(path, problem)) is None:
            raise
        raise error(f"cannot write {path}: {_reason(reason)}.") from problem


def _reason(problem: Exception) -> str:
    if isinstance(problem, FileExistsError):
        # Of mkdir, where a file has the name of a folder.
        return f"{problem.filename} is a file"
    told = getattr(problem, "strerror", None) or str(problem).rstrip(".")
    return f"{told} (there is no space on its disk)" if is_full(problem) else told
