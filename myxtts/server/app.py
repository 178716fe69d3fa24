"""The application: every route around one service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from myxtts.server import catalogue, health, page, socket, speech, xtts_dialect
from myxtts.server.engines import Engine
from myxtts.server.failures import add_handlers
from myxtts.server.guard import Guard
from myxtts.server.keys import Keys, read_keys
from myxtts.server.service import Service
from myxtts.server.settings import ServerSettings

_ABOUT = "Speech in OpenAI's dialect, and in that of xtts-api-server."


def make_app(engine: Engine, settings: ServerSettings, keys: Keys | None = None) -> FastAPI:
    """The ASGI application of a gateway.

    Args:
        engine: who speaks.
        settings: limits and places.
        keys: of those who may call; those of ``settings.api_key_file`` when None.

    Raises:
        ConfigError: the file of keys cannot be used.
    """
    keys = read_keys(settings.api_key_file) if keys is None else keys
    service = Service(engine, settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(service.warm_up())
        yield
        warming.cancel()
        service.pool.stop()

    app = FastAPI(
        title="MyXTTS",
        description=_ABOUT,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service, app.state.is_locked = service, bool(keys)
    for room in (page, speech, catalogue, socket, xtts_dialect, health):
        app.include_router(room.router)
    add_handlers(app)
    app.add_middleware(
        Guard,
        keys=keys,
        origins=settings.allow_origins,
        metrics=service.metrics,
        most_bytes=settings.max_upload_bytes,
        most_characters=settings.max_characters_of_input,
    )
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allow_origins,
            allow_methods=["*"],
            allow_headers=["*"],
        )
    return app
