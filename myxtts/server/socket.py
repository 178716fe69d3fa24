"""``WS /v1/audio/stream``: text in pieces, speech as sentences become whole.

The client sends JSON: ``{"type": "start", ...}`` with the fields of ``/v1/audio/speech`` (once,
before a text, or never), ``{"type": "text", "text": "..."}``, ``{"type": "flush"}`` at the end of
a paragraph, ``{"type": "cancel"}`` to be silent at once, ``{"type": "end"}``. The server sends
speech as binary messages and events as JSON: ``started``, ``sentence``, ``done``, ``cancelled``,
``error``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import Field, ValidationError

from myxtts.errors import MyXTTSError
from myxtts.server.failures import ApiError, as_api_error
from myxtts.server.formats import media_type
from myxtts.server.pool import Job
from myxtts.server.service import Order, owner_of, service_of
from myxtts.server.speech import Format, SpeechRequest, file_chunks
from myxtts.text.cleaners import is_speakable
from myxtts.text.split import sentences_end
from myxtts.timing import OUTPUT_RATE

router = APIRouter()

# Seconds before a sentence that found no place is tried again, and how often.
_PAUSE_S, _TRIES = 0.5, 60


class Start(SpeechRequest):
    """What a session begins with; the text comes later."""

    input: str = Field("", max_length=0)
    response_format: Format = "pcm"


class Session:
    """One socket: what was not yet spoken, and the sentence that is."""

    def __init__(self, socket: WebSocket):
        self._socket, self._service = socket, service_of(socket)
        self._start, self._text = Start(), ""
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue()
        self._waiting, self._number, self._turn = 0, 0, 0
        self._job: Job | None = None

    async def run(self) -> None:
        """Serve until the client ends it or goes away."""
        await self._socket.accept()
        speaker = asyncio.create_task(self._speak_all())
        try:
            while await self._take(await self._socket.receive_text()):
                pass
            await speaker
            await self._socket.close()
        except WebSocketDisconnect:
            return
        # KeyError: a binary message where a text is wanted.
        except (RuntimeError, KeyError):
            with contextlib.suppress(RuntimeError):
                await self._socket.close(1003)
        finally:
            speaker.cancel()
            self._silence()
            await asyncio.gather(speaker, return_exceptions=True)

    async def _take(self, message: str) -> bool:
        """Obey a message; False for the last one."""
        try:
            value = json.loads(message)
            kind = value["type"]
            return await self._obey(kind, value)
        except (ValueError, KeyError, TypeError, RecursionError, MyXTTSError) as error:
            await self._send(_refusal(error).body() | {"type": "error"})
        except ApiError as error:
            await self._send(error.body() | {"type": "error"})
        return True

    async def _obey(self, kind: str, value: dict) -> bool:
        if kind == "start":
            self._start = Start(**{k: v for k, v in value.items() if k in Start.model_fields})
            name = self._start.response_format
            told = {"type": "started", "format": name, "sample_rate": OUTPUT_RATE}
            await self._send(told | {"media_type": media_type(name)})
        elif kind == "text":
            self._add(value["text"])
        elif kind == "flush":
            self._flush()
        elif kind == "cancel":
            await self._cancel()
        elif kind == "end":
            self._flush()
            self._sentences.put_nowait(None)
            return False
        else:
            raise ValueError("unknown type")
        return True

    def _add(self, piece: str) -> None:
        """More text; whole sentences are spoken."""
        if not isinstance(piece, str):
            raise TypeError("a text is wanted")
        if len(self._text) + self._waiting + len(piece) > self._most:
            raise ApiError(429, "so much text waits already; let it be spoken.", "busy", "text", 1)
        self._text += piece
        language = self._start.language or self._service.default_language
        if end := sentences_end(self._text, language):
            self._put(self._text[:end])
            self._text = self._text[end:]

    def _flush(self) -> None:
        self._put(self._text)
        self._text = ""

    def _put(self, text: str) -> None:
        if is_speakable(text):
            self._waiting += len(text)
            self._sentences.put_nowait(text)

    @property
    def _most(self) -> int:
        return self._service.settings.max_characters_of_input

    async def _cancel(self) -> None:
        """Barge-in: what is being spoken stops, what waits is forgotten."""
        self._turn += 1
        self._text, self._waiting = "", 0
        while not self._sentences.empty():
            self._sentences.get_nowait()
        self._silence()
        await self._send({"type": "cancelled"})

    def _silence(self) -> None:
        if self._job:
            self._job.give_up()

    async def _speak_all(self) -> None:
        while (text := await self._sentences.get()) is not None:
            self._waiting = max(0, self._waiting - len(text))
            try:
                await self._speak(text, self._turn)
            except (WebSocketDisconnect, RuntimeError):
                return
            except Exception as error:  # noqa: BLE001  told to whoever listens
                await self._send(as_api_error(error).body() | {"type": "error"})
        await self._send({"type": "done"})

    async def _speak(self, text: str, turn: int) -> None:
        job = self._job = await self._begin(text.strip())
        if turn != self._turn:
            job.give_up()
            return
        self._number += 1
        await self._send({"type": "sentence", "number": self._number, "text": text.strip()})
        async for content in file_chunks(job.chunks(), self._start.response_format):
            if turn != self._turn:
                return
            await self._socket.send_bytes(content)

    async def _begin(self, text: str) -> Job:
        """A job for a sentence; a stream that was let in waits for its turn."""
        start = self._start.order()
        order = Order(text, start.voice, start.language, start.options)
        for _ in range(_TRIES):
            try:
                return await self._service.begin(order, owner_of(self._socket), whole=False)
            except ApiError as error:
                if error.status_code != 429:
                    raise
            await asyncio.sleep(_PAUSE_S)
        return await self._service.begin(order, owner_of(self._socket), whole=False)

    async def _send(self, value: dict) -> None:
        await self._socket.send_text(json.dumps(value))


def _refusal(error: Exception) -> ApiError:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return ApiError(400, f"{where}: {first['msg']}.", "invalid_value", where)
    if isinstance(error, MyXTTSError):
        return as_api_error(error)
    return ApiError(400, 'a JSON object {"type": ...} of a known type is wanted.', "invalid_value")


@router.websocket("/v1/audio/stream")
async def stream(socket: WebSocket) -> None:
    """A conversation, see the module."""
    await Session(socket).run()
