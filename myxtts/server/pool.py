"""Worker threads that speak, a queue before them, and jobs that can be given up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from myxtts.server.failures import ApiError, busy
from myxtts.server.metrics import Metrics
from myxtts.timing import OUTPUT_RATE


class Job:
    """A text being spoken; its chunks come by iterating, on the loop that made it.

    What is made and not yet fetched is kept: a slow reader holds no worker.
    """

    def __init__(self, work: Callable[[], Iterator[np.ndarray]], seconds: float):
        self.asked, self.started = time.perf_counter(), None
        self.samples = 0
        self._work, self._seconds = work, seconds
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue = asyncio.Queue()
        self._given_up = threading.Event()

    @property
    def is_gone(self) -> bool:
        """Whether it was given up before a worker began with it."""
        return self.started is None and self._given_up.is_set()

    def give_up(self) -> None:
        """Stop at the next chunk; nobody listens any more. On the loop that made the job."""
        self._given_up.set()
        # Whoever waits for a job that has not even begun waits no more.
        self._chunks.put_nowait(StopAsyncIteration())

    def run(self, metrics: Metrics) -> None:
        """Speak; called in a worker thread."""
        self.started, end = time.perf_counter(), None
        try:
            self._speak(metrics)
        # Whatever it was, whoever waits has to hear of it.
        except BaseException as error:  # noqa: BLE001
            end = error
        if self.samples and not self._given_up.is_set():
            metrics.spoken(self.samples / OUTPUT_RATE, time.perf_counter() - self.started)
        self._tell(end or StopAsyncIteration())

    def _speak(self, metrics: Metrics) -> None:
        if self._given_up.is_set():
            return
        for chunk in self._work():
            if self._given_up.is_set():
                return
            if time.perf_counter() - self.started > self._seconds:
                raise ApiError(503, f"the speech took more than {self._seconds:g} s.", "too_long")
            if len(chunk):
                if not self.samples:
                    metrics.first_audio.observe(time.perf_counter() - self.asked)
                self.samples += len(chunk)
                self._tell(chunk)

    def _tell(self, item: np.ndarray | BaseException) -> None:
        # The loop has ended where the process is about to.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, item)

    async def chunks(self) -> AsyncIterator[np.ndarray]:
        """Chunks of speech, float32 ``(samples,)``; gives the job up when it is left early."""
        try:
            while True:
                item = await self._chunks.get()
                if isinstance(item, StopAsyncIteration):
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.give_up()


class Pool:
    """So many jobs at once, so many that wait; the rest is refused.

    Args:
        concurrent: worker threads.
        queue: jobs that may wait.
        seconds: that one job may take.
        metrics: are told how it goes.
    """

    def __init__(self, concurrent: int, queue: int, seconds: float, metrics: Metrics):
        self._places, self._most = concurrent, concurrent + queue
        self._seconds, self._metrics = seconds, metrics
        self._threads = ThreadPoolExecutor(concurrent, thread_name_prefix="speaker")
        self._lock = threading.Lock()
        self._jobs: set[Job] = set()

    def submit(self, work: Callable[[], Iterator[np.ndarray]]) -> Job:
        """Begin to speak, now or when a worker is free.

        Raises:
            ApiError: 429, all places are taken.
        """
        job = Job(work, self._seconds)
        with self._lock:
            # Who gave up before its turn takes no place, though no worker has seen that yet.
            if sum(not job.is_gone for job in self._jobs) >= self._most:
                self._metrics.refusals.labels("busy").inc()
                raise busy(self._patience())
            self._jobs.add(job)
        self._threads.submit(self._run, job)
        self._count()
        return job

    async def call(self, work: Callable):
        """What a short work returns, made by a worker in its turn; raises as :meth:`submit`."""
        found = []

        def once() -> Iterator[np.ndarray]:
            found.append(work())
            return iter(())

        async for _ in self.submit(once).chunks():
            pass
        if not found:
            raise ApiError(503, "the server is about to end.", "ending")
        return found[0]

    def stop(self) -> None:
        """Give every job up and let the threads end."""
        with self._lock:
            for job in self._jobs:
                job.give_up()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, job: Job) -> None:
        try:
            job.run(self._metrics)
        finally:
            with self._lock:
                self._jobs.discard(job)
            self._count()

    def _patience(self) -> int:
        """Seconds until a place may be free: what the running ones take, at a guess."""
        return max(1, min(60, round(self._metrics.mean_seconds() * self._most / self._places)))

    def _count(self) -> None:
        with self._lock:
            jobs = len(self._jobs)
        self._metrics.running.set(min(jobs, self._places))
        self._metrics.waiting.set(max(0, jobs - self._places))
