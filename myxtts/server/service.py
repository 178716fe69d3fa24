"""What every dialect of the gateway drives: voices, checks, workers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
from starlette.requests import HTTPConnection, Request

from myxtts.server.engines import Engine, Options
from myxtts.server.failures import ApiError
from myxtts.server.metrics import Metrics
from myxtts.server.pool import Job, Pool
from myxtts.server.settings import ServerSettings
from myxtts.server.uploads import sweep
from myxtts.server.voices import VoiceStore

logger = logging.getLogger(__name__)

# Recordings that are decoded at once, and that may wait for that.
_DECODERS, _WAITING = 2, 4


@dataclass(frozen=True)
class Order:
    """A text to be spoken, by whatever dialect it came."""

    text: str
    voice: str | None = None
    language: str | None = None
    options: Options = field(default_factory=Options)


class Service:
    """A gateway's parts.

    Args:
        engine: who speaks.
        settings: limits and places.

    Attributes:
        ready: whether the first request would not wait for graphs to be built.
    """

    def __init__(self, engine: Engine, settings: ServerSettings):
        self.engine, self.settings = engine, settings
        self.metrics = Metrics()
        self.voices = VoiceStore(engine, settings)
        self.pool = Pool(
            settings.max_concurrent, settings.queue, settings.max_seconds, self.metrics
        )
        self.ready = False
        sweep()
        self._decoders, self._uploads = asyncio.Semaphore(_DECODERS), 0

    async def warm_up(self) -> None:
        """Build the graphs; the gateway is ready then."""
        try:
            await self.pool.call(self.engine.warm_up)
            self.ready = True
        except asyncio.CancelledError:
            raise
        # It lives on and says that it is not ready; the log says why.
        except Exception as error:  # noqa: BLE001
            logger.error("the model cannot speak: %s", error, exc_info=error)

    @property
    def default_language(self) -> str:
        """English where the model speaks it."""
        languages = self.engine.languages
        return "en" if "en" in languages else languages[0]

    async def begin(self, order: Order, owner: str, whole: bool) -> Job:
        """Check an order and begin to speak.

        Raises:
            ApiError: it is refused, or all places are taken.
            MyXTTSError: the text, the language or a voice cannot be used.
        """
        most = self.settings.max_characters_of_input
        if len(order.text) > most:
            told = f"the text has {len(order.text)} characters; at most {most} are spoken."
            raise ApiError(400, told, "too_long", "input")
        if not self.ready:
            raise ApiError(503, "the model is being loaded; try again.", "loading", None, 2)
        language = order.language or self.default_language
        voice = await asyncio.to_thread(self.voices.voice, order.voice, owner)
        await asyncio.to_thread(self.engine.check, order.text, language, order.options)
        if self.settings.log_text:
            logger.info("%s", json.dumps({"text": order.text}))
        speak = self.engine.speak
        return self.pool.submit(lambda: speak(order.text, voice, language, order.options, whole))

    async def decoding(self, work):
        """What ``work`` returns, run in a thread beside few others.

        Raises:
            ApiError: 429, too many wait already.
        """
        if self._uploads >= _DECODERS + _WAITING:
            self.metrics.refusals.labels("busy").inc()
            raise ApiError(429, "too many recordings come at once.", "busy", None, 2)
        self._uploads += 1
        try:
            async with self._decoders:
                return await asyncio.to_thread(work)
        finally:
            self._uploads -= 1


def service_of(connection: HTTPConnection) -> Service:
    """The gateway that a request or socket came to."""
    return connection.app.state.service


def owner_of(connection: HTTPConnection) -> str:
    """Who has the key that a request or socket came with."""
    return connection.scope["state"]["owner"]


async def while_there(request: Request, work):
    """What the awaitable ``work`` gives, unless the client goes away first.

    Raises:
        ApiError: 499, which nobody reads; ``work`` has been cancelled.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "the client has gone.", "gone")
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def joined(job: Job) -> np.ndarray:
    """All chunks of a job, float32 ``(samples,)``."""
    parts = [chunk async for chunk in job.chunks()]
    return np.concatenate([np.zeros(0, "float32"), *parts])


async def begun(job: Job) -> tuple[list[np.ndarray], AsyncIterator[np.ndarray]]:
    """The first chunk, if there is one, and the iterator over the others.

    What is wrong is mostly so before the first chunk, and can still be answered with a status.
    """
    chunks = job.chunks()
    try:
        return [await anext(chunks)], chunks
    except StopAsyncIteration:
        return [], chunks
    except asyncio.CancelledError:
        job.give_up()
        raise
