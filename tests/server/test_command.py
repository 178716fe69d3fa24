"""``myxtts serve`` as a process: where it listens, how it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from myxtts.errors import ConfigError
from myxtts.server.command import parser
from myxtts.server.keys import check_address, read_keys
from myxtts.server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from tests.server.stand_in import HummingEngine, settings
from myxtts.server.command import serve
from pathlib import Path
serve(HummingEngine(pause=0.05), settings(Path(sys.argv[1]), port=int(sys.argv[2])))
"""


@pytest.fixture
def process(tmp_path):
    """A gateway that hums, 50 ms a word, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline and started.poll() is None
        try:
            if httpx.get(f"{address}/health").is_success:
                break
        except httpx.TransportError:
            time.sleep(0.05)
    yield started, address
    started.kill()
    started.communicate()


def test_sigterm_lets_running_requests_end(process):
    started, address = process
    body = {"input": "word " * 30, "response_format": "pcm"}
    found = []

    def call(**changes):
        found.append(httpx.post(f"{address}/v1/audio/speech", json=body | changes, timeout=30))

    threads = [
        threading.Thread(target=call, kwargs=kind) for kind in ({}, {"stream_format": "sse"})
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    started.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{address}/health", timeout=2)
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in found] == [200, 200]
    assert any(len(answer.content) == 30 * 2 * 2400 for answer in found)
    assert started.wait(10) == 0


def test_a_key_in_an_address_is_not_logged(process):
    started, address = process
    secret = "a-key-that-nobody-should-put-there"
    httpx.get(f"{address}/v1/models?key={secret}")
    with connect(f"{address.replace('http', 'ws')}/v1/audio/stream?key={secret}") as opened:
        opened.send('{"type": "end"}')
        for _ in opened:
            pass
    started.terminate()
    log = started.communicate(timeout=20)[1].decode()
    assert '"method": "WS", "route": "/v1/audio/stream", "status": 1000' in log
    assert secret not in log


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_a_public_address_wants_a_key(host, tmp_path):
    with pytest.raises(ConfigError, match="without a key"):
        check_address(ServerSettings(host=host))
    check_address(ServerSettings(host=host, auth=False))
    check_address(ServerSettings(host=host, api_key_file=str(tmp_path)))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_an_own_address_wants_none(host):
    check_address(ServerSettings(host=host))


@pytest.mark.parametrize("content", [b"", b"# none\n", b"short\n", b"\xff\xfe"])
def test_files_without_keys_are_refused(tmp_path, content):
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(ConfigError) as told:
        read_keys(tmp_path / "keys")
    assert "short" not in str(told.value).replace("shorter", "")


def test_the_issues_flags_are_there():
    words = "--preset P --host 127.0.0.1 --port 8020 --backend tf-serving --tf-serving http://x:1"
    words += " --api-key-file F --voices DIR --max-concurrent 2 --queue 3 --no-auth"
    assert parser().parse_args(words.split()).preset == "P"
