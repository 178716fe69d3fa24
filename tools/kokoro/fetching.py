"""Programs that fetch something: told of, and ended when they take too long."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

logger = logging.getLogger(__name__)

_TELL_S = 5.0


def run_within(seconds: float, command: Sequence[str], folder: Path, what: str) -> None:
    """Run a program in ``folder``, and say now and then that it still runs.

    Args:
        seconds: it may take in all.
        command: the program and its arguments.
        folder: it runs there.
        what: it fetches, for the log.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was ended.
        subprocess.CalledProcessError: it failed.
        OSError: there is no such program.
    """
    with _telling(f"still fetching {what}", seconds):
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
        )


@contextmanager
def _telling(what: str, seconds: float) -> Iterator[None]:
    """Say ``what`` in the log, and for how long already, every few seconds."""
    started, over = time.monotonic(), Event()

    def tell() -> None:
        while not over.wait(_TELL_S):
            logger.info("%s: %.0f of at most %.0f s", what, time.monotonic() - started, seconds)

    Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        over.set()
