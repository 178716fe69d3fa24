"""Models and voices: what there is, and voices of recordings."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import FormData, UploadFile

from myxtts.server.failures import ApiError
from myxtts.server.service import owner_of, service_of
from myxtts.server.uploads import decoded

router = APIRouter()

Id = Annotated[str, Path(max_length=200)]

# Names that programs give to the recording.
FILES = ("audio_sample", "audio", "file")
_YES = ("true", "yes", "1", "on")
_LONGEST_ABOUT = 200
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["name", "consent", "audio"],
                    "properties": {
                        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"},
                        "consent": {"type": "string", "enum": list(_YES)},
                        "about": {"type": "string", "maxLength": _LONGEST_ABOUT},
                        "audio": {"type": "string", "format": "binary"},
                    },
                }
            }
        },
    }
}


@router.get("/v1/models")
async def models(request: Request) -> dict:
    """The one model, in OpenAI's shape."""
    return {"object": "list", "data": [_model(request)]}


@router.get("/v1/models/{name}")
async def model(name: Id, request: Request) -> dict:
    """The one model, by its name."""
    if name != service_of(request).engine.name:
        raise ApiError(404, "there is no such model.", "model_not_found", "model")
    return _model(request)


@router.get("/v1/voices")
@router.get("/v1/audio/voices", include_in_schema=False)
def voices(request: Request) -> dict:
    """Voices that may be named, the model's own first."""
    found = service_of(request).voices.facts(owner_of(request))
    return {"object": "list", "data": [_voice(fact) for fact in found]}


@router.get("/v1/voices/{name}")
def voice(name: Id, request: Request) -> dict:
    """One voice."""
    return _voice(service_of(request).voices.fact(name, owner_of(request)))


@router.delete("/v1/voices/{name}")
def remove(name: Id, request: Request) -> dict:
    """Forget an uploaded voice."""
    service_of(request).voices.remove(name, owner_of(request))
    return {"id": name, "object": "voice", "deleted": True}


@router.post("/v1/voices", status_code=201, openapi_extra=_FORM)
async def add(request: Request) -> Response:
    """Make a voice of a recording whose speaker agrees (``consent``)."""
    service, owner = service_of(request), owner_of(request)
    if not service.ready:
        raise ApiError(503, "the model is being loaded; try again.", "loading", None, 2)
    async with request.form(max_files=1, max_fields=8, max_part_size=4096) as form:
        name, about = _text(form, "name"), _text(form, "about")
        if _text(form, "consent").strip().lower() not in _YES:
            told = "consent=true is needed: the speaker of the recording agrees to this use."
            raise ApiError(400, told, "consent", "consent")
        content = await _recording(form).read()
    if len(content) > service.settings.max_upload_bytes:
        raise ApiError(413, "the recording is too large.", "too_large", "audio")
    service.voices.check_new(name, owner)

    with ExitStack() as opened:
        room = decoded(content, service.settings)
        path = await service.decoding(lambda: opened.enter_context(room))
        fact = await service.pool.call(
            lambda: service.voices.add(name, about[:_LONGEST_ABOUT], owner, path)
        )
    return JSONResponse(_voice(fact), 201)


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    if not isinstance(value, str):
        raise ApiError(400, f"{name} must be a text, not a file.", "invalid_value", name)
    # What is no character of any text would not be written to JSON either.
    return value.encode("utf-8", "ignore").decode("utf-8")


def _recording(form: FormData) -> UploadFile:
    for name in FILES:
        if isinstance(form.get(name), UploadFile):
            return form[name]
    raise ApiError(400, "the recording is missing: a file called audio.", "missing", "audio")


def _model(request: Request) -> dict:
    engine = service_of(request).engine
    facts = {"id": engine.name, "object": "model", "created": 0, "owned_by": "myxtts"}
    return facts | {"languages": engine.languages}


def _voice(fact) -> dict:
    return {"object": "voice", "name": fact.id, **asdict(fact)}
