"""How requests reach a TensorFlow Serving: REST or gRPC.

Both packages are extras (``pip install 'myxtts[serving]'``), imported by the transport that
needs them. ``tensorflow-serving-api`` brings TensorFlow along; REST does without.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
from collections.abc import Mapping
from threading import Event
from types import ModuleType
from typing import Protocol
from urllib.parse import quote, urlsplit

import numpy as np

from myxtts.deadlines import within
from myxtts.errors import ConfigError, MyXTTSError

# Seconds before the first try again; each further one waits twice as long.
BACKOFF = 0.2
# Of one answer: two minutes of speech as numbers in JSON, ten over gRPC.
MOST_BYTES = 2**26
_PART = 2**16
# What a graph's assertion says, without the places in the graph that follow.
_ASSERTION = re.compile(r"assertion failed: \[(.*?)\](?=\s|$)", re.DOTALL)

Tensors = Mapping[str, np.ndarray]


class ServingError(MyXTTSError, RuntimeError):
    """A server cannot be reached, or refuses a request."""


class Transport(Protocol):
    """A way to one model on one server."""

    def predict(self, signature: str, inputs: Tensors) -> dict[str, np.ndarray]:
        """Outputs of a signature; texts are arrays of ``str``, files of ``bytes`` objects.

        Raises:
            ServingError: no answer came, or the server refused the request.
        """


def connect(
    server: str, model: str, version: int | None, timeout: float, retries: int
) -> Transport:
    """The transport that the scheme of ``server`` asks for.

    Raises:
        ConfigError: the scheme is none of http, https, grpc and grpcs, or the host is missing.
        ServingError: the package that the transport needs is missing.
    """
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https", "grpc", "grpcs") or not parts.netloc:
        raise ConfigError(
            f"the server {server!r} must be http://HOST:PORT for REST or grpc://HOST:PORT for "
            "gRPC (https:// and grpcs:// with TLS)."
        )
    kind = RestTransport if parts.scheme.startswith("http") else GrpcTransport
    return kind(server.rstrip("/"), model, version, timeout, retries)


class RestTransport:
    """Columnar JSON requests to ``/v1/models/NAME:predict``, over ``requests``.

    Args:
        server: ``http://HOST:PORT``, maybe with a path before ``/v1``.
        model: its name on the server.
        version: of the model; None for the latest.
        timeout: seconds to wait for an answer, whole, with all that is tried again.
        retries: tries again when the server cannot be reached or is too busy.
    """

    def __init__(self, server: str, model: str, version: int | None, timeout: float, retries: int):
        self._requests = _needed("requests", "requests", "REST")
        self.server, self.model, self.timeout = server, model, timeout
        part = "" if version is None else f"/versions/{version}"
        self.url = f"{server}/v1/models/{quote(model, safe='')}{part}:predict"
        self._http = self._requests.Session()
        adapters = self._requests.adapters
        # A request that was read is not sent again; 503 is a queue that was full.
        policy = adapters.Retry(
            total=retries,
            read=False,
            status_forcelist=(503,),
            allowed_methods=None,
            backoff_factor=BACKOFF,
            raise_on_status=False,
            # The server's word on that could be a year.
            respect_retry_after_header=False,
        )
        for scheme in ("http://", "https://"):
            self._http.mount(scheme, adapters.HTTPAdapter(max_retries=policy))

    def predict(self, signature: str, inputs: Tensors) -> dict[str, np.ndarray]:
        """See :class:`Transport`."""
        columns = {name: _as_json(value) for name, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns})
        return self._outputs(*self._answer(body))

    def _answer(self, body: str) -> tuple[int, bytes]:
        """Status and content of the answer, which is waited for ``timeout`` seconds in all."""
        try:
            return within(self.timeout, lambda left_behind: self._posted(body, left_behind))
        except MyXTTSError:
            raise
        except (TimeoutError, self._requests.Timeout) as error:
            raise _too_late(self) from error
        # Of no one kind: what a hostile answer does to the packages that read it.
        except Exception as error:
            raise _unreachable(self, "the connection failed") from error

    def _posted(self, body: str, left_behind: Event) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        given = {"data": body, "headers": headers, "timeout": self.timeout}
        parts, size = [], 0
        # Nobody serves a model by sending its users elsewhere.
        with self._http.post(self.url, **given, stream=True, allow_redirects=False) as answer:
            for part in answer.iter_content(_PART):
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    raise ServingError(
                        f"{self.server} answers with more than {MOST_BYTES >> 20} MiB; speech of "
                        "one request has less."
                    )
                if left_behind.is_set():
                    break
            return answer.status_code, b"".join(parts)

    def _outputs(self, status: int, content: bytes) -> dict[str, np.ndarray]:
        if 300 <= status < 400:
            raise ServingError(
                f"{self.server} answers HTTP {status}, which sends to another address; give that "
                "as the server."
            )
        try:
            reply = json.loads(content)
            outputs = reply["outputs"] if status < 300 else str(reply["error"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ServingError(
                f"{self.server} answers HTTP {status} without a word of TensorFlow "
                "Serving; is another program listening there?"
            ) from error
        if status == 404:
            raise _unknown_model(self, outputs)
        if status == 503:
            raise _unreachable(self, _sentence(outputs))
        if status >= 300:
            raise _refused(self, outputs)
        try:
            return {name: _from_json(value) for name, value in outputs.items()}
        except (AttributeError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ServingError(
                f"{self.server} answers with other outputs than named arrays; is it a model of "
                "MyXTTS?"
            ) from error


class GrpcTransport:
    """``PredictionService.Predict`` over ``grpc``, with the stubs of ``tensorflow-serving-api``.

    Args:
        server: ``grpc://HOST:PORT``, or ``grpcs://HOST:PORT`` with TLS.
        model, version, timeout, retries: as for :class:`RestTransport`.
    """

    def __init__(self, server: str, model: str, version: int | None, timeout: float, retries: int):
        need = ("tensorflow-serving-api", "gRPC")
        self._grpc = _needed("grpc", *need)
        self._messages = _needed("tensorflow_serving.apis.predict_pb2", *need)
        service = _needed("tensorflow_serving.apis.prediction_service_pb2_grpc", *need)
        # The stubs have imported it already.
        self._tensorflow = _needed("tensorflow", *need)
        self.server, self.model, self.version = server, model, version
        self.timeout = timeout
        self._channel = self._open(urlsplit(server), retries)
        self._stub = service.PredictionServiceStub(self._channel)

    def predict(self, signature: str, inputs: Tensors) -> dict[str, np.ndarray]:
        """See :class:`Transport`."""
        request = self._messages.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self.model, signature
        if self.version is not None:
            request.model_spec.version.value = self.version
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(self._tensorflow.make_tensor_proto(value))
        try:
            reply = self._stub.Predict(request, timeout=self.timeout)
        except self._grpc.RpcError as error:
            raise self._failure(error.code(), error.details() or "") from error
        try:
            made = {n: self._tensorflow.make_ndarray(item) for n, item in reply.outputs.items()}
        except (TypeError, ValueError, MemoryError) as error:
            raise ServingError(f"{self.server} answers with arrays that are none.") from error
        return made

    def _open(self, parts, retries: int):
        # Speech is longer than the four megabytes that gRPC takes by itself.
        options = [
            ("grpc.max_receive_message_length", MOST_BYTES),
            ("grpc.max_send_message_length", -1),
            ("grpc.service_config", json.dumps(_retry_policy(retries))),
        ]
        if parts.scheme == "grpc":
            return self._grpc.insecure_channel(parts.netloc, options)
        return self._grpc.secure_channel(
            parts.netloc, self._grpc.ssl_channel_credentials(), options
        )

    def _failure(self, code, details: str) -> ServingError:
        codes = self._grpc.StatusCode
        if code == codes.DEADLINE_EXCEEDED:
            return _too_late(self)
        if code == codes.UNAVAILABLE:
            refused = "failed to connect" in details.lower() or not details
            return _unreachable(self, "the connection failed" if refused else _sentence(details))
        if code == codes.NOT_FOUND:
            return _unknown_model(self, details)
        return _refused(self, details)


def _retry_policy(retries: int) -> dict:
    """gRPC's service configuration; it knows no policy of a single try."""
    if not retries:
        return {}
    policy = {
        "maxAttempts": retries + 1,
        "initialBackoff": f"{BACKOFF}s",
        "maxBackoff": "5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}


def _needed(module: str, package: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ServingError(
            f"{what} needs the package {package}, which is not installed or does not load: "
            f"pip install 'myxtts[serving]'."
        ) from error


def _as_json(value: np.ndarray) -> object:
    if value.dtype != object:
        return value.tolist()
    return [
        {"b64": base64.b64encode(item).decode()} if isinstance(item, bytes) else item
        for item in value
    ]


def _from_json(value: object) -> np.ndarray:
    """JSON as float32, int32 or bool: it does not say which, but the decimal point does."""
    found = np.array(value)
    if found.dtype.kind in "iu" and found.size and np.max(np.abs(found)) >= 2**31:
        raise OverflowError("a whole number beyond 32 bits")
    narrow = {"f": "float32", "i": "int32"}.get(found.dtype.kind)
    return found.astype(narrow) if narrow else found


def _sentence(message: str) -> str:
    """What a server's error says to a person."""
    found = _ASSERTION.search(message)
    told = found.group(1) if found else message.strip().partition("\n")[0]
    return told.strip().rstrip(".")


def _refused(transport, message: str) -> ServingError:
    return ServingError(f"{transport.server} refuses the request: {_sentence(message)}.")


def _unreachable(transport, why: str) -> ServingError:
    return ServingError(f"no answer from {transport.server}: {why}; is the server up?")


def _too_late(transport) -> ServingError:
    return ServingError(f"no answer from {transport.server} within {transport.timeout:g} s.")


def _unknown_model(transport, message: str) -> ServingError:
    return ServingError(
        f"{transport.server} serves no such model as {transport.model!r}: {_sentence(message)}."
    )
