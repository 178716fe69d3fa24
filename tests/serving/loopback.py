"""The doors of TensorFlow Serving, REST and gRPC, before a session of the C library.

``python -m tests.serving.loopback rest|grpc FOLDER NAME`` serves a SavedModel as the model
NAME, prints its port and ends when its standard input does. Replies, errors and their
statuses are those of the server; REST imports nothing of TensorFlow's Python.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np

from myxtts.serving.check.session import INVALID_ARGUMENT, CSession, SessionError

ROOT = Path(__file__).resolve().parents[2]
PREDICT = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:predict")
STATUS = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?")
NOT_FOUND = 5
HTTP_CODES = {INVALID_ARGUMENT: 400, NOT_FOUND: 404}
# What JSON numbers a tensor takes, as kinds of NumPy.
NUMBERS = {"float32": "fiu", "int32": "iu", "int64": "iu", "bool": "b"}


@contextmanager
def serving(door: str, folder: Path, name: str) -> Iterator[int]:
    """A process that serves ``folder``; its port on loopback.

    Args:
        door: ``rest`` or ``grpc``.
        folder: of the version, as ``export_saved_model`` writes it.
        name: of the model.
    """
    command = [sys.executable, "-m", "tests.serving.loopback", door, str(folder), name]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        port = process.stdout.readline()
        assert port.strip().isdigit(), f"the {door} server of {folder} did not start"
        yield int(port)
        process.stdin.close()


class ServedModel:
    """One version of a model, as both doors know it.

    Args:
        folder: of the version.
        name: of the model.
    """

    def __init__(self, folder: Path, name: str):
        self.session = CSession(folder)
        self.name = name
        self.version = folder.name if folder.name.isdigit() else "1"

    def require(self, name: str, version: str | None) -> None:
        """Raise ``SessionError`` unless this is the model that was asked for."""
        if name != self.name or version not in (None, self.version):
            wanted = f"Specific({name}, {version})" if version else f"Latest({name})"
            raise SessionError(f"Servable not found for request: {wanted}", NOT_FOUND)

    def answer(self, body: bytes) -> dict:
        """The reply to the body of a REST request in columns."""
        try:
            request = json.loads(body)
            signature = request.get("signature_name", "serving_default")
            columns = request["inputs"]
        except (ValueError, AttributeError, KeyError) as error:
            raise SessionError(f"JSON Parse error: {error}", INVALID_ARGUMENT) from error
        kinds = self.session.signatures.get(signature, {}).get("inputs", {})
        if not _is_named(columns):
            columns = dict.fromkeys(kinds, columns)
        inputs = {
            name: _parsed(value, kinds[name]["dtype"] if name in kinds else "float32")
            for name, value in columns.items()
        }
        outputs = self.session.run(signature, inputs)
        plain = {name: _plain(name, value) for name, value in outputs.items()}
        return {"outputs": plain if len(plain) > 1 else next(iter(plain.values()))}


def _is_named(columns: object) -> bool:
    return isinstance(columns, dict) and columns.keys() != {"b64"}


def _parsed(value: object, kind: str) -> np.ndarray:
    """JSON as a tensor."""
    try:
        if kind == "string":
            return np.array(_bytes(value), object)
        found = np.array(value)
        if found.size and found.dtype.kind not in NUMBERS[kind]:
            raise ValueError(f"{found.ravel()[0]} is not of expected type: {kind}")
        return found.astype(kind)
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise SessionError(f"JSON Value: {error}", INVALID_ARGUMENT) from error


def _bytes(value: object) -> object:
    if isinstance(value, list):
        return [_bytes(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return value.encode() if isinstance(value, str) else bytes(memoryview(value))


def _plain(name: str, value: np.ndarray) -> object:
    """A tensor as JSON; a name that ends in ``_bytes`` is written in base64."""
    if value.dtype != object:
        return value.tolist()
    if name.endswith("_bytes"):
        write = np.frompyfunc(lambda item: {"b64": base64.b64encode(item).decode()}, 1, 1)
    else:
        write = np.frompyfunc(bytes.decode, 1, 1)
    return np.asarray(write(value), object).tolist()


class RestHandler(BaseHTTPRequestHandler):
    """``:predict`` and the status of the model of a :class:`RestServer`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # noqa: N802  the name is http.server's
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(PREDICT, lambda: self.server.model.answer(body))

    def do_GET(self) -> None:  # noqa: N802
        self._answer(STATUS, self._status)

    def _status(self) -> dict:
        state = {"version": self.server.model.version, "state": "AVAILABLE"}
        state["status"] = {"error_code": "OK", "error_message": ""}
        return {"model_version_status": [state]}

    def _answer(self, path: re.Pattern, make) -> None:
        try:
            asked = path.fullmatch(self.path)
            if asked is None:
                raise SessionError(f"Malformed request: {self.command} {self.path}", NOT_FOUND)
            self.server.model.require(*asked.groups())
            code, reply = 200, make()
        except SessionError as error:
            code, reply = HTTP_CODES.get(error.code, 500), {"error": str(error)}
        content = json.dumps(reply).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        """Nothing: a test's output is no place for it."""


def start_rest(model: ServedModel) -> int:
    """Serve over REST in threads; the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), RestHandler)
    server.model = model
    Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def start_grpc(model: ServedModel) -> int:
    """Serve ``PredictionService.Predict`` over gRPC in threads; the port."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_service_pb2_grpc as service
    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    codes = {code.value[0]: code for code in grpc.StatusCode}

    class Door(service.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802  the name is the service's
            asked = request.model_spec
            version = str(asked.version.value) if asked.HasField("version") else None
            reply = PredictResponse(model_spec=asked)
            try:
                model.require(asked.name, version)
                inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
                signature = asked.signature_name or "serving_default"
                _require_kinds(model, signature, inputs)
                outputs = model.session.run(signature, inputs)
            except SessionError as error:
                context.abort(codes[error.code], str(error))
            for name, value in outputs.items():
                reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return reply

    # As the server's own: no bound but that of a message.
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    service.add_PredictionServiceServicer_to_server(Door(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # A server that nothing refers to would stop.
    model.server = server
    return port


def _require_kinds(model: ServedModel, signature: str, inputs: dict[str, np.ndarray]) -> None:
    described = model.session.signatures.get(signature, {}).get("inputs", {})
    for name in described.keys() & inputs.keys():
        kind, own = described[name]["dtype"], inputs[name].dtype.name
        if kind != {"object": "string"}.get(own, own):
            message = f"Expects {name} to be {kind} but {own} is provided"
            raise SessionError(message, INVALID_ARGUMENT)


def main(door: str, folder: str, name: str) -> None:
    start = {"rest": start_rest, "grpc": start_grpc}[door]
    print(start(ServedModel(Path(folder), name)), flush=True)
    sys.stdin.read()
    # Threads that wait for clients would keep the interpreter.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
