"""How the processes of a pool meet Ctrl-C, and the death of whoever started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Start processes in here that Ctrl-C does not reach before :func:`begin` has run in them.

    A terminal gives Ctrl-C to all its processes, and one that still imports what it needs would
    end by it with a traceback, and take the pool with it. In this process it only waits. Windows
    cannot hold it back.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It starts with the first process, and lets Ctrl-C through again where it does.
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin(then: Callable[..., None] | None = None, *arguments: object) -> None:
    """The initializer of a pool's processes.

    Ctrl-C is left to the process that started this one, and this one ends with that.

    Args:
        then: called last, with ``arguments``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    if then:
        then(*arguments)


def end_with_parent() -> None:
    """Let this process end when the one that started it does.

    One that was killed can end nobody, and its children would wait for ever, or write beside the
    next run.
    """
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
