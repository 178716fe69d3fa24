"""What every request passes before anything of it is read: key, origin, size; and the log."""

from __future__ import annotations

import json
import logging
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from myxtts.server.failures import ApiError, answer
from myxtts.server.keys import Keys
from myxtts.server.metrics import Metrics

logger = logging.getLogger(__name__)

# The page tells nothing; it asks for a key where one is needed.
OPEN_PATHS = ("/", "/health", "/health/live", "/health/ready")
# Of a body that is no upload; text is four bytes a character at most, six as JSON's escapes.
_JSON_ROOM = 2**16


class Guard:
    """Refuses strangers, pages of other servers and large bodies; logs what is answered.

    Args:
        app: what is guarded.
        keys: of those who may call.
        origins: of pages of other servers that may.
        metrics: are told of every answer.
        most_bytes: of the body of an upload.
        most_characters: of a text.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        origins: tuple[str, ...],
        metrics: Metrics,
        most_bytes: int,
        most_characters: int,
    ):
        self._app, self._keys, self._origins, self._metrics = app, keys, origins, metrics
        self._most_upload = most_bytes + _JSON_ROOM
        self._most_json = 6 * most_characters + _JSON_ROOM

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, refusal)
            return
        seen = _Seen(send)
        if refusal is None:
            receive = self._counted(receive, headers)
            await self._logged(self._app, scope, receive, seen)
        else:
            self._metrics.refusals.labels(refusal.code).inc()
            await self._logged(answer(refusal), scope, receive, seen)

    async def _logged(self, app: ASGIApp, scope: Scope, receive: Receive, seen: _Seen) -> None:
        started = time.perf_counter()
        try:
            await app(scope, receive, seen)
        finally:
            # The route and not the path, which is whatever somebody sent.
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(route, str(seen.status)).inc()
            told = {
                "method": scope.get("method", "WS"),
                "route": route,
                "status": seen.status,
                "seconds": round(time.perf_counter() - started, 3),
                "bytes": seen.bytes,
            }
            logger.info("%s", json.dumps(told))

    async def _socket(
        self, scope: Scope, receive: Receive, send: Send, refusal: ApiError | None
    ) -> None:
        seen = _Seen(send)
        if refusal is None:
            await self._logged(self._app, scope, receive, seen)
        else:
            self._metrics.refusals.labels(refusal.code).inc()
            await self._logged(_closing(refusal), scope, receive, seen)

    def _refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        """Why a request is refused, and who it is of where it is not."""
        if scope["path"] in OPEN_PATHS:
            return None
        if not self._is_own(headers):
            return ApiError(403, "pages of other servers may not call.", "origin")
        scheme, _, key = headers.get("authorization", "").partition(" ")
        owner = self._keys.owner(key.strip() if scheme.lower() == "bearer" else None)
        if owner is None:
            return ApiError(401, "a valid key is needed: Authorization: Bearer KEY.", "key")
        scope.setdefault("state", {})["owner"] = owner
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self._most(headers):
            return _too_large(self._most(headers))
        return None

    def _is_own(self, headers: Headers) -> bool:
        """Whether a browser's page, if it is one, came from here."""
        origin = headers.get("origin")
        if origin is None or origin in self._origins:
            return True
        try:
            return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        except ValueError:
            return False

    def _most(self, headers: Headers) -> int:
        kind = headers.get("content-type", "").lower()
        return self._most_upload if kind.startswith("multipart/") else self._most_json

    def _counted(self, receive: Receive, headers: Headers) -> Receive:
        """``receive`` that refuses a body once it is too large, whatever its header says."""
        most, count = self._most(headers), 0

        async def counted() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > most:
                raise _too_large(most)
            return message

        return counted


def _closing(refusal: ApiError) -> ASGIApp:
    """Closes a socket that is refused."""

    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.detail[:100]})

    return close


class _Seen:
    """``send`` that remembers the status and the bytes, of a socket those of its speech."""

    def __init__(self, send: Send):
        self.status, self.bytes, self._send = 0, 0, send

    async def __call__(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        # A socket's closing code stands for its status.
        self.status = message.get("code", self.status)
        self.bytes += len(message.get("body") or message.get("bytes") or b"")
        await self._send(message)


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is too large; at most {most} bytes are taken.", "too_large")
