"""The page to try the gateway on: one file, which asks nothing of any other server."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import re
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from myxtts.server.service import service_of
from myxtts.server.settings import ServerSettings

router = APIRouter()

PATH = "/"
FILE = Path(__file__).with_name("page.html")
_HEADERS = {
    "Cache-Control": "no-cache",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@functools.cache
def source() -> str:
    """The file as it lies in the package."""
    return FILE.read_text(encoding="utf-8")


@functools.cache
def policy() -> str:
    """What a browser lets the page do: its own script and style, calls of this server."""
    rules = {
        "default-src": "'none'",
        "script-src": _hashes("script"),
        "style-src": _hashes("style"),
        "connect-src": "'self'",
        "img-src": "data:",
        # What was recorded, from memory.
        "media-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hashes(tag: str) -> str:
    """Of the contents of every element ``tag``, as the policy names them."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", source(), re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found]
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def limits(settings: ServerSettings, is_locked: bool) -> str:
    """What the page tells before the server would refuse it, as an attribute of HTML."""
    told = {
        "key": is_locked,
        "characters": settings.max_characters_of_input,
        "bytes": settings.max_upload_bytes,
        "seconds": settings.max_upload_seconds,
    }
    return html.escape(json.dumps(told))


@router.get(PATH, include_in_schema=False)
async def page(request: Request) -> HTMLResponse:
    """The page."""
    told = limits(service_of(request).settings, request.app.state.is_locked)
    content = source().replace("{limits}", told, 1)
    return HTMLResponse(content, headers={"Content-Security-Policy": policy(), **_HEADERS})
