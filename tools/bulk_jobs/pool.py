"""Items of work, given one by one to workers here or, through Ray, anywhere.

A job is opened once in every worker and then called with items. An item may be done twice, and
what it leaves appears whole or not at all: so what a dead worker had begun is done again.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from myxtts.children import begin, without_interrupts
from myxtts.errors import ConfigError, DataError, MyXTTSError

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
# An item during which so many workers died is refused.
MOST_DEATHS = 3
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True)
class Job:
    """What is done with every item.

    Attributes:
        opener: ``module:function``; the function makes, of ``settings``, what is called with items.
        settings: plain values.
    """

    opener: str
    settings: Mapping[str, Any]

    def open(self) -> Callable[[dict], None]:
        """The function of an item, made anew."""
        module, name = self.opener.split(":")
        return getattr(importlib.import_module(module), name)(**self.settings)


@dataclass(frozen=True)
class Outcome:
    """What became of an item.

    Attributes:
        item: as it was given.
        refused: why it could not be done; None where it was.
        seconds: it took.
    """

    item: dict
    refused: str | None
    seconds: float


class Dead(Exception):
    """A worker has ended in the middle of an item."""


class Pool(Protocol):
    """Workers behind one interface; ``worker`` is whatever the pool knows one by."""

    workers: int

    def start(self, job: Job) -> Any:
        """A new worker."""

    def give(self, worker: Any, item: dict) -> None:
        """Let a free worker begin with an item."""

    def finished(self) -> tuple[Any, Outcome | None]:
        """The next worker that is done with its item; with None, one that has died."""

    def close(self) -> None:
        """End all workers."""


def do_all(pool: Pool, job: Job, items: Sequence[dict]) -> Iterator[Outcome]:
    """Outcomes of all items, in the order in which they are done.

    Raises:
        MyXTTSError: the job cannot be opened.
    """
    waiting = deque((item, 0) for item in items)
    busy: dict[Any, tuple[dict, int]] = {}
    free: list = []
    try:
        while waiting or busy:
            while waiting and (free or len(busy) < pool.workers):
                worker = free.pop() if free else pool.start(job)
                busy[worker] = waiting.popleft()
                pool.give(worker, busy[worker][0])
            worker, outcome = pool.finished()
            item, deaths = busy.pop(worker)
            if outcome is not None:
                free.append(worker)
                yield outcome
                continue
            logger.warning("a worker has died at %s", item.get("name", item))
            if deaths + 1 < MOST_DEATHS:
                waiting.append((item, deaths + 1))
            else:
                yield Outcome(item, f"{MOST_DEATHS} workers died of it", 0.0)
    finally:
        pool.close()


class Processes:
    """Workers that are processes of this machine.

    Args:
        workers: how many; 0 for one a processor.
        threads: of each; 0 shares the processors evenly.
    """

    def __init__(self, workers: int = 0, threads: int = 0):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.workers = workers or cores
        self.threads = threads or max(cores // self.workers, 1)
        # A forked process would have this one's threads, but stopped.
        self._context = multiprocessing.get_context("spawn")
        self._known: dict[int, tuple[Any, Connection]] = {}
        self._busy: set[int] = set()

    def start(self, job: Job) -> int:
        here, there = self._context.Pipe()
        arguments = there, job, self.threads
        process = self._context.Process(target=_serve, args=arguments, daemon=True)
        with without_interrupts():
            process.start()
        # The last copy of its end is the worker's: it closes when that dies.
        there.close()
        self._known[process.pid] = process, here
        return process.pid

    def give(self, worker: int, item: dict) -> None:
        self._busy.add(worker)
        try:
            self._known[worker][1].send(item)
        except OSError:
            logger.debug("worker %d has died before its item", worker)

    def finished(self) -> tuple[int, Outcome | None]:
        ends = {self._known[worker][1]: worker for worker in self._busy}
        end = wait(list(ends))[0]
        worker = ends[end]
        self._busy.discard(worker)
        try:
            told = end.recv()
        except (EOFError, OSError):
            self._forget(worker)
            return worker, None
        if isinstance(told, MyXTTSError):
            raise told
        return worker, told

    def close(self) -> None:
        for worker in list(self._known):
            self._forget(worker)

    def _forget(self, worker: int) -> None:
        process, end = self._known.pop(worker)
        end.close()
        process.terminate()
        process.join()


class Rays:
    """Workers that are actors of a Ray cluster, which may be many machines.

    Args:
        address: of the cluster; ``auto`` finds the one of this machine.
        workers: how many; 0 for one a processor of the cluster.
        threads: of each; 0 for one.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, address: str, workers: int = 0, threads: int = 0):
        try:
            import ray
        except ImportError as error:
            raise ConfigError(
                "--address needs Ray: pip install 'myxtts[ray]'; without --address the work is "
                "done by processes of this machine."
            ) from error
        variables = {"PYTHONPATH": str(ROOT)}
        try:
            ray.init(address=address, runtime_env={"env_vars": variables}, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"there is no Ray cluster at {address} ({error}).") from error
        self._ray, self.threads = ray, threads or 1
        self.workers = workers or max(int(ray.cluster_resources().get("CPU", 1)) // self.threads, 1)
        self._actor = ray.remote(num_cpus=self.threads)(Worker)
        self._pending: dict[Any, Any] = {}

    def start(self, job: Job) -> Any:
        return self._actor.remote(job, self.threads)

    def give(self, worker: Any, item: dict) -> None:
        self._pending[worker.do.remote(item)] = worker

    def finished(self) -> tuple[Any, Outcome | None]:
        done = self._ray.wait(list(self._pending), num_returns=1)[0][0]
        worker = self._pending.pop(done)
        try:
            told = self._ray.get(done)
        except self._ray.exceptions.RayActorError:
            return worker, None
        if isinstance(told, MyXTTSError):
            raise told
        return worker, told

    def close(self) -> None:
        self._ray.shutdown()


class Worker:
    """What a worker is, wherever it runs.

    Args:
        job: opened with the first item.
        threads: that libraries may use.
    """

    def __init__(self, job: Job, threads: int):
        self.job, self._do = job, None
        for name in THREADS:
            os.environ.setdefault(name, str(threads))

    def do(self, item: dict) -> Outcome | MyXTTSError:
        """Do an item; an error is returned only where the job cannot be opened."""
        try:
            self._do = self._do or self.job.open()
        except MyXTTSError as error:
            return DataError(str(error))
        began = time.perf_counter()
        try:
            self._do(item)
            refused = None
        except MyXTTSError as error:
            refused = str(error)
        except Exception as error:  # of whatever kind: the other items are not to suffer
            refused = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return Outcome(item, refused, time.perf_counter() - began)


def _serve(end: Connection, job: Job, threads: int) -> None:
    """A process's life: items in, outcomes out, until the other end is closed."""
    begin()
    worker = Worker(job, threads)
    while True:
        try:
            item = end.recv()
        except EOFError:
            return
        end.send(worker.do(item))
