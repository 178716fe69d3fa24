"""Hundreds of unfit requests: no error of the server's, no traceback, still healthy after."""

import json
import random

import pytest

VALUES = [
    None, True, -1, 0, 1e308, 2**70, "", "x", "\0", "\ud800", "é" * 300, [], {}, [[]],
    {"id": None}, "../../x", "hana:1e999", "a+" * 50, float("nan"), float("inf"), "x" * 9000,
]  # fmt: skip
FIELDS = [
    "input", "voice", "model", "response_format", "speed", "stream_format", "language",
    "temperature", "top_k", "top_p", "repetition_penalty", "seed", "instructions", "other",
]  # fmt: skip
PATHS = [
    "/v1/audio/speech", "/tts_to_audio/", "/tts_stream", "/v1/voices", "/v1/voices/x",
    "/v1/voices/%2e%2e%2fx", "/v1/voices/%00", "/v1/models/%ff", "/languages", "//", "/%",
    "/v1/audio/stream", "/set_tts_settings", "/health", "/metrics", "/docs", "/openapi.json",
]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "ODD"]


def fine(answer) -> None:
    assert answer.status_code < 500, (answer.request.url, answer.text)
    assert "Traceback" not in answer.text and "site-packages" not in answer.text
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize("seed", range(4))
def test_mutated_bodies_of_speech(client, seed):
    rng = random.Random(seed)
    for _ in range(60):
        body = {"input": "Hi.", "response_format": "pcm"}
        for _ in range(rng.randint(1, 3)):
            body[rng.choice(FIELDS)] = rng.choice(VALUES)
        content = json.dumps(body).encode()
        if rng.random() < 0.3:
            content = bytearray(content)
            for _ in range(rng.randint(1, 4)):
                content[rng.randrange(len(content))] = rng.randrange(256)
        kinds = ["application/json", "text/plain", "multipart/form-data", "application/json; x=é"]
        kind = {"content-type": rng.choice(kinds).encode()}
        fine(client.post("/v1/audio/speech", content=bytes(content), headers=kind))
    assert client.get("/health").json()["ready"]


@pytest.mark.parametrize("seed", range(2))
def test_odd_methods_and_paths(client, seed):
    rng = random.Random(seed)
    for _ in range(100):
        path, method = rng.choice(PATHS), rng.choice(METHODS)
        query = rng.choice(["", "?text=" + "a" * 5000, "?text=%00&language=%ff", "?text=Hi.", "?%"])
        content = rng.choice([b"", b"{", b"[" * 100_000, b'{"text": "Hi."}', bytes(100)])
        fine(client.request(method, path + query, content=content))
    assert client.get("/health").json()["ready"]


def test_mutated_forms(client):
    rng = random.Random(0)
    good = (
        b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n'
        b'--b\r\nContent-Disposition: form-data; name="consent"\r\n\r\ntrue\r\n'
        b'--b\r\nContent-Disposition: form-data; name="audio"; filename="../a.wav"\r\n\r\n'
        b"RIFF\r\n--b--\r\n"
    )
    for number in range(80):
        content = bytearray(good)
        for _ in range(number % 5):
            content[rng.randrange(len(content))] = rng.randrange(256)
        if number % 7 == 0:
            del content[rng.randrange(len(content)) :]
        kind = rng.choice(["multipart/form-data; boundary=b", "multipart/form-data", "x"])
        fine(client.post("/v1/voices", content=bytes(content), headers={"content-type": kind}))
    assert client.get("/health").json()["ready"]


def test_other_pages_may_not_call(client):
    answer = client.get("/v1/voices", headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    own = {"Origin": str(client.base_url).rstrip("/")}
    assert client.get("/v1/voices", headers=own).status_code == 200
