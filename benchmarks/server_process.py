"""A gateway in a process of its own, for the measurements of benchmarks/server.py."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx

from myxtts.errors import ConfigError

START_S, END_S = 600.0, 300.0
# Bounds are for strangers; here a busy machine may take its time.
DECODE_S, DRAIN_S = "120", "240"
# Of a gateway that wants one.
KEY = "a-key-of-the-benchmark"
LOCAL, SERVED = "myxtts.server.local", "myxtts.server.served"


class Gateway:
    """``myxtts serve`` on a free port; a context that ends it.

    Its processes are forked from one that has imported everything, so that a start takes no
    longer than the model does.

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
        words = ["--port", str(port), "--voices", str(self.voices), *self._words]
        words += ["--max-decode-seconds", DECODE_S, "--drain-seconds", DRAIN_S]
        self._process = _begun(words, self.log)
        self.address = f"http://127.0.0.1:{port}"
        while not self.is_ready():
            if not self._process.is_alive() or time.monotonic() - begun > START_S:
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
            self._process.join()

    def end(self) -> int | None:
        """End it as a service manager does; its exit code."""
        self._process.terminate()
        self._process.join(END_S)
        return self._process.exitcode

    def resident_mb(self) -> float:
        """Megabytes of the process in memory; Linux only."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def tracebacks(self) -> int:
        """How often the log has one."""
        return self.log.read_text(encoding="utf-8", errors="replace").count("Traceback")


def _begun(words: list[str], log: Path) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    engine = SERVED if "tf-serving" in words else LOCAL
    context.set_forkserver_preload(["myxtts.server.app", "uvicorn", engine])
    process = context.Process(target=_serve, args=(words, log))
    process.start()
    return process


def _serve(words: list[str], log: Path) -> None:
    from myxtts.programs.entry import main

    # What it leaves behind there is its own, and goes with the folder.
    tempfile.tempdir = str(log.parent / "tmp")
    Path(tempfile.tempdir).mkdir(exist_ok=True)
    with log.open("ab") as told:
        os.dup2(told.fileno(), sys.stderr.fileno())
    sys.argv = ["myxtts", "serve", *words]
    sys.exit(main())


def free_port() -> int:
    """A port at which nothing listens now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
