"""A bound on the whole of something that waits for a network."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, work: Callable[[Event], Result]) -> Result:
    """What ``work`` returns, if it does so in time.

    The time-outs of a connection begin anew with every byte, so that a server that drips would
    be waited for without end. What waits for it is a thread, which is left behind and ends with
    the process at the latest.

    Args:
        seconds: that it may take in all.
        work: function from an event, which is set once nobody waits any more.

    Raises:
        TimeoutError: it took longer.
    """
    found: Queue = Queue()
    left_behind = Event()

    def run() -> None:
        try:
            found.put((work(left_behind), None))
        except BaseException as error:
            found.put((None, error))

    Thread(target=run, daemon=True).start()
    try:
        result, error = found.get(timeout=seconds)
    except Empty as late:
        raise TimeoutError(f"nothing within {seconds:g} s") from late
    finally:
        left_behind.set()
    if error is not None:
        raise error
    return result
