"""``POST /v1/audio/speech``."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from myxtts.server.engines import Options
from myxtts.server.failures import as_api_error
from myxtts.server.formats import Encoder, encoded, media_type
from myxtts.server.pool import Job
from myxtts.server.service import Order, begun, joined, owner_of, service_of, while_there
from myxtts.timing import OUTPUT_RATE

router = APIRouter()

Format = Literal["wav", "mp3", "opus", "flac", "aac", "pcm"]
Name = Annotated[str, Field(max_length=1000)]


class VoiceId(BaseModel):
    """A voice as OpenAI's newer clients name one."""

    id: Name


class Sampling(BaseModel):
    """How to speak; what is left out is the model's own."""

    model_config = ConfigDict(allow_inf_nan=False)

    speed: float = Field(1.0, ge=0.25, le=4.0)
    temperature: float | None = Field(None, ge=0, le=100)
    top_k: int | None = Field(None, ge=0, le=2**31 - 1)
    top_p: float | None = Field(None, gt=0, le=1)
    repetition_penalty: float | None = Field(None, ge=0.01, le=1000)
    seed: int | None = Field(None, ge=0, le=2**53)

    def options(self) -> Options:
        """As the engine takes them."""
        return Options(**{name: getattr(self, name) for name in Sampling.model_fields})


class SpeechRequest(Sampling):
    """OpenAI's, and the sampling besides."""

    input: str = Field(description="what to say")
    voice: Name | VoiceId | None = Field(None, description="a name, or a blend a:0.7+b:0.3")
    model: Name = Field("", description="any; there is one model here")
    response_format: Format = "mp3"
    instructions: str | None = Field(None, description="taken and not followed")
    stream_format: Literal["audio", "sse"] | None = Field(
        None, description="how to send it while it is made; without it, whole"
    )
    language: Name | None = None

    def order(self) -> Order:
        """As the service takes it."""
        name = self.voice.id if isinstance(self.voice, VoiceId) else self.voice
        return Order(self.input, name, self.language, self.options())


@router.post("/v1/audio/speech", response_class=Response)
async def speech(given: SpeechRequest, request: Request) -> Response:
    """Speak a text."""
    service = service_of(request)
    job = await service.begin(given.order(), owner_of(request), whole=given.stream_format is None)
    headers = {"X-MyXTTS-Model": service.engine.name.encode("ascii", "replace").decode()}
    if given.instructions:
        headers["X-MyXTTS-Ignored"] = "instructions"
    if given.stream_format == "sse":
        return await streamed(request, job, _events, given.response_format, headers)
    if given.stream_format == "audio":
        return await streamed(request, job, _file, given.response_format, headers)
    return await whole(request, job, given.response_format, headers)


async def whole(request: Request, job: Job, name: str, headers: dict | None = None) -> Response:
    """All of a job's speech in one file."""
    waveform = await while_there(request, joined(job))
    content = await asyncio.to_thread(encoded, waveform, name)
    return Response(content, headers=headers, media_type=media_type(name))


async def streamed(
    request: Request, job: Job, made, name: str, headers: dict | None = None
) -> Response:
    """A job's speech while it is made, as ``made`` sends it."""
    first, chunks = await while_there(request, begun(job))
    kind = "text/event-stream" if made is _events else media_type(name)
    headers = {**(headers or {}), "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    body = made(_all(first, chunks, job), name)
    return StreamingResponse(body, headers=headers, media_type=kind)


async def _all(first: list, chunks: AsyncIterator, job: Job) -> AsyncIterator[np.ndarray]:
    try:
        for chunk in first:
            yield chunk
        async for chunk in chunks:
            yield chunk
    finally:
        job.give_up()


async def _file(chunks: AsyncIterator[np.ndarray], name: str) -> AsyncIterator[bytes]:
    encoder = Encoder(name)
    async for chunk in chunks:
        if content := encoder.push(chunk):
            yield content
    yield encoder.end()


async def _events(chunks: AsyncIterator[np.ndarray], name: str) -> AsyncIterator[bytes]:
    """OpenAI's events; an error in the middle is one, too."""
    encoder, samples = Encoder(name), 0
    try:
        async for chunk in chunks:
            samples += len(chunk)
            if content := encoder.push(chunk):
                yield _delta(content)
    except Exception as error:  # noqa: BLE001  the status has been sent
        yield _event(as_api_error(error).body() | {"type": "error"})
        return
    if content := encoder.end():
        yield _delta(content)
    yield _event({"type": "speech.audio.done", "seconds": round(samples / OUTPUT_RATE, 3)})


def _delta(content: bytes) -> bytes:
    return _event({"type": "speech.audio.delta", "audio": base64.b64encode(content).decode()})


def _event(value: dict) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode("ascii")


file_chunks = _file
