"""What the gateway says when it refuses or fails, in OpenAI's shape."""

from __future__ import annotations

import json
import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from myxtts.errors import MyXTTSError
from myxtts.serving.client.transports import ServingError

logger = logging.getLogger(__name__)

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(HTTPException):
    """A request that is refused with a sentence.

    Args:
        status: of HTTP.
        message: the sentence.
        code: a word for programs.
        param: the field at fault.
        retry_after: seconds after which another try may go better.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ):
        headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
        super().__init__(status, message, headers)
        self.code, self.param = code, param

    def body(self) -> dict:
        """The ``error`` object of OpenAI's answers."""
        kind = _TYPES.get(self.status_code)
        kind = kind or ("server_error" if self.status_code >= 500 else "invalid_request_error")
        told = {"message": str(self.detail), "type": kind, "param": self.param, "code": self.code}
        return {"error": told}


def busy(seconds: int) -> ApiError:
    """All places are taken, those for waiting too."""
    return ApiError(429, "all places are taken; try again later.", "busy", None, seconds)


def as_api_error(error: BaseException) -> ApiError:
    """Any error as an answer; one that nobody foresaw tells nothing of its inside."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ServingError):
        logger.warning("the served model failed: %s", error)
        return ApiError(503, "the model behind this server does not answer.", "backend", None, 5)
    if isinstance(error, MyXTTSError):
        return ApiError(400, str(error), "invalid_value")
    logger.error("unforeseen: %s", type(error).__name__, exc_info=error)
    return ApiError(500, "the server failed; its log says why.", "internal")


def answer(error: ApiError) -> Response:
    """An error as a response; ASCII, so that a lone surrogate breaks nothing."""
    headers = dict(error.headers or {})
    content = json.dumps(error.body()).encode("ascii")
    return Response(content, error.status_code, headers, media_type="application/json")


def _of_validation(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    return answer(ApiError(400, f"{where}: {first['msg']}.", "invalid_value", where))


def _of_http(request: Request, error: HTTPException) -> Response:
    if not isinstance(error, ApiError):
        told = ApiError(error.status_code, f"{error.detail}.")
        told.headers = error.headers
        error = told
    return answer(error)


def add_handlers(app: FastAPI) -> None:
    """Answer every error in one shape."""
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(MyXTTSError, lambda request, error: answer(as_api_error(error)))
    app.add_exception_handler(Exception, lambda request, error: answer(as_api_error(error)))
