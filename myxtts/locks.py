"""A folder that one process keeps to itself, and who that is."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from myxtts.errors import CheckpointError, MyXTTSError

logger = logging.getLogger(__name__)

# Says who has a locked folder, as long as somebody has it.
HOLDER = ".lock"


@contextmanager
def locked(folder: str | Path, error: type[MyXTTSError] = CheckpointError) -> Iterator[None]:
    """Keep ``folder`` to this process; another that asks for it meanwhile is refused.

    The lock is the system's, on the folder itself, and ends with the process, however that
    ends. The file ``.lock`` in it says meanwhile who has it: host, process id, and since when.
    What a killed process left of that is taken over. Where the file system knows no locks that
    file decides; on Windows nobody is refused.

    Args:
        folder: that exists.
        error: raised when another process has it; the sentence names that process.
    """
    folder = Path(folder)
    if os.name == "nt":
        yield
        return
    # The folder itself: a file in it could be replaced under the lock.
    handle = os.open(folder, os.O_RDONLY)
    try:
        holder = _read_holder(folder)
        if not _lock(handle, holder):
            raise error(_refusal(folder, _read_holder(folder)))
        if holder:
            logger.warning("%s: taking over from %s, which has ended", folder, _named(holder))
        # Without it the lock holds all the same; only its holder has no name.
        with suppress(OSError):
            (folder / HOLDER).write_text(json.dumps(_this_process()), encoding="utf-8")
        try:
            yield
        finally:
            (folder / HOLDER).unlink(missing_ok=True)
    finally:
        os.close(handle)


def _lock(handle: int, holder: dict) -> bool:
    """Take the lock, unless somebody has it."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError as problem:
        logger.debug("the file system knows no locks: %s", problem)
        return not _may_run(holder)


def _this_process() -> dict:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "started": _start_of(os.getpid()),
    }


def _read_holder(folder: Path) -> dict:
    """Who has, or had, the folder; empty where that is not written down."""
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return holder if {"host", "pid", "since"} <= holder.keys() else {}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def _may_run(holder: dict) -> bool:
    """Whether a holder still runs, as far as this host can know."""
    if not holder:
        return False
    if holder["host"] != socket.gethostname():
        return True
    started = _start_of(holder["pid"])
    # A number may have been given to another process since.
    return started is not None and started == holder.get("started", started)


def _start_of(pid: int) -> str | None:
    """When a process began, in the system's own count; None where there is no such process."""
    try:
        text = Path(f"/proc/{int(pid)}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, ValueError, IndexError):
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def _named(holder: dict) -> str:
    return f"process {holder['pid']} on {holder['host']} (since {holder['since']})"


def _refusal(folder: Path, holder: dict) -> str:
    told = f"{folder} is in use by another process"
    if not holder:
        return f"{told}."
    return f"{told}: {_named(holder)}; wait for its end, or name another folder."
