"""Processes that make examples, so that a training step waits neither for them nor for Python."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from myxtts.children import begin, without_interrupts
from myxtts.errors import DataError

# In a worker: what it does.
_work: Callable[[Any], Any] | None = None


class Workers:
    """Runs one function over tasks in processes, which end with whoever holds this object.

    The processes are started afresh, not forked: of a process with threads a fork may wait for a
    lock that nobody holds. Each gets the function once, and what that keeps it keeps for itself.

    Args:
        work: can be pickled; what it gives depends on its task alone.
        processes: how many.
    """

    def __init__(self, work: Callable[[Any], Any], processes: int):
        self.processes = processes
        self._pool = ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), begin, (_keep, work)
        )

    def map(self, tasks: Sequence[Any]) -> list:
        """What the function gives for each of the tasks, in their order.

        Raises:
            DataError: a process was killed.
        """
        parts = [tasks[start :: self.processes] for start in range(self.processes)]
        try:
            with without_interrupts():
                begun = [self._pool.submit(_do, part) for part in parts]
            done = [future.result() for future in begun]
        except BrokenProcessPool as error:
            raise DataError(
                "a process that reads and augments recordings was killed, or could not start "
                "(too little memory, say; data.workers is how many there are); add --resume to "
                "go on from the last checkpoint."
            ) from error
        return [
            done[place % self.processes][place // self.processes] for place in range(len(tasks))
        ]

    def close(self) -> None:
        """End the processes, without what they have not yet begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _keep(work: Callable[[Any], Any]) -> None:
    global _work  # noqa: PLW0603 - a process has one work
    _work = work


def _do(tasks: Sequence[Any]) -> list:
    return [_work(task) for task in tasks]
