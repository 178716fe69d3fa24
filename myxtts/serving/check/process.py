"""A session of TensorFlow's C library in a process of its own, as a server is one.

The process imports nothing of TensorFlow's Python, and its end, whatever a request did to
it, is an error of that request alone.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from myxtts.serving.check.c_library import library_paths
from myxtts.serving.check.session import CSession, SessionError, read_signatures

ROOT = Path(__file__).resolve().parents[3]
# Of ``TF_Code``: the process ended.
ABORTED = 10
# Modules that would make it another process than a server's.
FOREIGN = ("tensorflow", "keras")


class SeparateSession:
    """A SavedModel's session in another process; after an end it is loaded again.

    Args:
        folder: of the SavedModel.
        environment: variables of the process beside this one's.

    Raises:
        CheckpointError: the folder is no export.
        LibraryError: the installed TensorFlow has no C library.
        SessionError: the library refuses the model.

    Attributes:
        signatures: as ``signatures.json`` describes them.
        resident: bytes of memory that the process held after the last request.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None):
        # Here, where it is one sentence rather than a process that ends.
        library_paths()
        self.folder, self._environment = Path(folder), dict(environment or {})
        self.signatures = read_signatures(folder)
        self._start()

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of a signature by name, see :meth:`CSession.run`.

        Raises:
            SessionError: the graph refuses the inputs, or the process ended.
        """
        return self.run_at_once(signature, inputs, 1)[0]

    def run_at_once(
        self, signature: str, inputs: Mapping[str, np.ndarray], threads: int
    ) -> list[dict[str, np.ndarray]]:
        """Outputs of as many equal requests, sent by ``threads`` at the same time.

        Raises:
            SessionError: the graph refuses the inputs, or the process ended.
        """
        if self._process.poll() is not None:
            self._start()
        return self._exchange((signature, dict(inputs), threads))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            # What it was not told cannot be told any more.
            with suppress(OSError):
                stream.close()

    def __enter__(self) -> SeparateSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self) -> None:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | self._environment
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "myxtts.serving.check.process", str(self.folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._exchange(None)

    def _exchange(self, request: tuple | None):
        try:
            if request:
                pickle.dump(request, self._process.stdin)
                self._process.stdin.flush()
            reply = pickle.load(self._process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self.close()
            status = self._process.returncode
            message = f"the process of the C library ended with status {status}."
            raise SessionError(message, ABORTED) from error
        self.resident = reply["resident"]
        if reply["foreign"]:
            raise SessionError(f"the process imported {', '.join(reply['foreign'])}.", ABORTED)
        if "error" in reply:
            raise SessionError(*reply["error"])
        return reply["outputs"]


def resident_bytes() -> int:
    """Memory of this process; its peak where the system does not say more."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        # Only where the C library is, not on every system.
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _answer(session: CSession, signature: str, inputs: dict, threads: int) -> dict:
    try:
        with ThreadPoolExecutor(threads) as pool:
            waiting = [pool.submit(session.run, signature, inputs) for _ in range(threads)]
            return {"outputs": [item.result() for item in waiting]}
    except SessionError as error:
        return {"error": (str(error), error.code)}


def _serve(folder: Path, requests, replies) -> None:
    def send(reply: dict) -> None:
        foreign = [name for name in FOREIGN if name in sys.modules]
        pickle.dump(reply | {"resident": resident_bytes(), "foreign": foreign}, replies)
        replies.flush()

    try:
        session = CSession(folder)
    except SessionError as error:
        send({"error": (str(error), error.code)})
        return
    send({"outputs": []})
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        send(_answer(session, *request))


def main(folder: str) -> None:
    """Answer the requests of standard input until it ends."""
    # What a library prints must not come between the replies.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _serve(Path(folder), sys.stdin.buffer, replies)


if __name__ == "__main__":
    main(*sys.argv[1:])
