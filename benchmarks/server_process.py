"""A gateway in a process of its own, for the measurements of benchmarks/server.py."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from myxtts.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
START_S, END_S = 600.0, 60.0


class Gateway:
    """``myxtts serve`` on a free port; a context that ends it.

    Args:
        folder: of its voices and its log.
        words: further words of its command line.

    Attributes:
        address: of the running process.
        voices: folder of the uploaded voices.
        log: everything that any process of this gateway wrote to stderr.
    """

    def __init__(self, folder: Path, *words: str):
        self.voices, self.log, self._words = folder / "voices", folder / "log.txt", words
        self.address, self._process = "", None

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def start(self) -> float:
        """Start it, wait until it is ready; the seconds that took.

        Raises:
            ConfigError: it ends, or is not ready in ten minutes.
        """
        port, begun = free_port(), time.monotonic()
        command = [sys.executable, "-m", "myxtts.programs.entry", "serve", "--port", str(port)]
        command += ["--voices", str(self.voices), *self._words]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=_variables(), stderr=log)
        self.address = f"http://127.0.0.1:{port}"
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() - begun > START_S:
                raise ConfigError(f"the gateway does not start; see {self.log}.")
            time.sleep(0.1)
        return time.monotonic() - begun

    def is_ready(self) -> bool:
        """Whether a text would be spoken at once."""
        try:
            return httpx.get(f"{self.address}/health", timeout=10).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End the process with SIGKILL, whatever it has in hand."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> int:
        """End it as a service manager does; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(END_S)

    def resident_mb(self) -> float:
        """Megabytes of the process in memory; Linux only."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def tracebacks(self) -> int:
        """How often the log has one."""
        return self.log.read_text(encoding="utf-8", errors="replace").count("Traceback")


def free_port() -> int:
    """A port at which nothing listens now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _variables() -> dict[str, str]:
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "2"}
