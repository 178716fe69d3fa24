"""The calls of xtts-api-server, so that SillyTavern and its like work."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from myxtts.server.service import Order, owner_of, service_of
from myxtts.server.speech import Name, file_chunks, streamed, whole

router = APIRouter()


class XttsRequest(BaseModel):
    """What ``/tts_to_audio/`` takes; ``speaker_wav`` is a voice's name and never a path."""

    text: str
    speaker_wav: Name | None = None
    language: Name | None = Field(None)


def _order(text: str, speaker: str | None, language: str | None) -> Order:
    return Order(text, speaker.removesuffix(".wav") if speaker else None, language)


@router.post("/tts_to_audio/", response_class=Response)
@router.post("/tts_to_audio", response_class=Response, include_in_schema=False)
async def to_audio(given: XttsRequest, request: Request) -> Response:
    """Speak a text into a WAV file."""
    order = _order(given.text, given.speaker_wav, given.language)
    job = await service_of(request).begin(order, owner_of(request), whole=True)
    return await whole(request, job, "wav")


@router.get("/tts_stream", response_class=Response)
async def stream(
    request: Request,
    text: str,
    speaker_wav: Annotated[Name | None, Query()] = None,
    language: Annotated[Name | None, Query()] = None,
) -> Response:
    """Speak a text into a WAV stream."""
    order = _order(text, speaker_wav, language)
    job = await service_of(request).begin(order, owner_of(request), whole=False)
    return await streamed(request, job, file_chunks, "wav")


@router.get("/speakers_list")
def speakers_list(request: Request) -> list[str]:
    """Names of the voices."""
    return [fact.id for fact in service_of(request).voices.facts(owner_of(request))]


@router.get("/speakers")
def speakers(request: Request) -> list[dict]:
    """The voices as SillyTavern lists them."""
    return [{"name": n, "voice_id": n, "preview_url": ""} for n in speakers_list(request)]


@router.get("/languages")
async def languages(request: Request) -> dict:
    """Codes of the languages."""
    return {"languages": {code: code for code in service_of(request).engine.languages}}


@router.post("/set_tts_settings")
async def set_settings(request: Request) -> dict:
    """Taken and not followed: one caller's wishes are not another's."""
    return {"message": "Settings are those of the model; they were not changed."}
