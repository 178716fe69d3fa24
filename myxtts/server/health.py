"""Whether the gateway lives and is ready, its numbers, and a page of its calls."""

from __future__ import annotations

import html

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from myxtts.server.service import service_of

router = APIRouter()

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>MyXTTS</title>
<style>body{{font:16px sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}}</style>
<h1>MyXTTS</h1><p>All calls with their fields: <a href="openapi.json">openapi.json</a>.</p>
<table>{rows}</table></html>"""


@router.get("/health/live")
async def live() -> dict:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health")
@router.get("/health/ready")
async def ready(request: Request) -> JSONResponse:
    """Whether a request would be spoken at once; 503 while the model is loaded."""
    is_ready = service_of(request).ready
    told = {"status": "ok" if is_ready else "loading", "live": True, "ready": is_ready}
    return JSONResponse(told, 200 if is_ready else 503)


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    content = service_of(request).metrics.text()
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The calls, without a script from anywhere."""
    rows = [
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(call.get('description', ''))}</td></tr>"
        for path, calls in request.app.openapi()["paths"].items()
        for method, call in calls.items()
    ]
    return HTMLResponse(_PAGE.format(rows="".join(rows)))
