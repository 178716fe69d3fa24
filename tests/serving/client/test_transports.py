"""Both ways to a server say in one sentence why there is no answer."""

import json
import socket
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import numpy as np
import pytest

from myxtts.errors import ConfigError
from myxtts.serving.client.speech_client import SpeechClient
from myxtts.serving.client.transports import ServingError
from tests.serving.doors import DOORS, NAME, Served, nowhere
from tests.serving.loopback import serving

requests = pytest.importorskip("requests", reason="REST needs the extra `serving`")


@pytest.mark.parametrize("door", DOORS)
def test_a_server_that_is_away_is_one_clear_sentence(door, reference):
    if door == "grpc":
        pytest.importorskip("tensorflow_serving", reason="gRPC needs the extra `serving`")
    client = nowhere(door).client(connect_retries=1)
    with pytest.raises(ServingError, match=r"^no answer from \S+: the connection failed; is"):
        client.condition(reference)


def test_a_server_that_does_not_answer_is_not_waited_for(reference):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = Served("rest", mute.getsockname()[1]).client(timeout=0.2)
        with pytest.raises(ServingError, match=r"no answer from \S+ within 0\.2 s\.$"):
            client.condition(reference)


class Busy(BaseHTTPRequestHandler):
    """A server whose queue is full at every other request."""

    def do_POST(self) -> None:  # noqa: N802  the name is http.server's
        self.server.asked = getattr(self.server, "asked", 0) + 1
        full = self.server.asked % 2
        reply = {"error": "the queue is full"} if full else {"outputs": {"latents": [[[0.5]]]}}
        self.send_response(503 if full else 200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *words: object) -> None:
        """Nothing."""


@contextmanager
def listening(handler):
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield Served("rest", server.server_port)
        server.shutdown()


def test_a_busy_server_is_asked_again(reference):
    with listening(Busy) as busy:
        found = busy.client(connect_retries=1)._transport.predict("condition", {})
        assert found["latents"].dtype == np.float32
        with pytest.raises(ServingError, match=r"^no answer from \S+: the queue is full; is"):
            busy.client(connect_retries=0).condition(reference)


def test_another_program_at_the_port_is_told_from_a_refusal(reference):
    with (
        listening(BaseHTTPRequestHandler) as other,
        pytest.raises(ServingError, match="HTTP 501 .* is another program listening there"),
    ):
        other.client().condition(reference)


@pytest.mark.parametrize(
    ("door", "module", "package"),
    [
        ("rest", "requests", "requests"),
        ("grpc", "tensorflow_serving.apis.predict_pb2", "tensorflow-serving-api"),
    ],
)
def test_a_missing_extra_is_one_clear_sentence(monkeypatch, door, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ServingError, match=rf"needs the package {package}.* pip install"):
        nowhere(door).client()


@pytest.mark.parametrize("server", ["localhost:8501", "ftp://localhost:8501", "http://"])
def test_an_address_without_a_way_in_is_refused(server):
    with pytest.raises(ConfigError, match=r"must be http://HOST:PORT"):
        SpeechClient(server, NAME)


def test_rest_answers_as_the_server_does(rest):
    model = f"{rest.url}/v1/models/{NAME}"
    state = requests.get(model, timeout=10).json()["model_version_status"][0]
    assert (state["version"], state["state"]) == ("3", "AVAILABLE")
    refused = requests.post(f"{model}:predict", json={"inputs": {"text": ["a"]}}, timeout=10)
    assert refused.status_code == 400
    assert "does not match signature" in refused.json()["error"]


def test_texts_and_files_come_through_rest_as_they_are(rest):
    texts = [["", 'ü\n"', {"b64": "AP8A"}], ["a" * 100, "", "\0"]]
    body = {"signature_name": "echo", "inputs": {"texts": texts}}
    url = f"{rest.url}/v1/models/{NAME}/versions/3:predict"
    reply = requests.post(url, json=body, timeout=10).json()["outputs"]
    assert reply[0] == [{"b64": ""}, {"b64": "w7wKIg=="}, {"b64": "AP8A"}]
    assert reply[1][2] == {"b64": "AA=="}


def test_texts_and_files_of_any_size_come_through_grpc_as_they_are(stand_in):
    pytest.importorskip("tensorflow_serving", reason="gRPC needs the extra `serving`")
    texts = [["", 'ü\n"', b"\0\xff\0"], ["z" * 5_000_000, b"", "\0"]]
    with serving("grpc", stand_in, NAME) as port:
        predict = Served("grpc", port).client()._transport.predict
        (reply,) = predict("echo", {"texts": np.array(texts, object)}).values()
    encoded = np.frompyfunc(lambda item: item if isinstance(item, bytes) else item.encode(), 1, 1)
    assert reply.tolist() == encoded(np.array(texts, object)).tolist()
