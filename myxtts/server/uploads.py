"""Recordings that came over the network, before anything else may touch them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from myxtts.errors import AudioError
from myxtts.server.settings import ServerSettings

_PREFIX = "myxtts-upload-"
# An upload that is still in hand is younger.
_OLD_S = 2 * 3600.0
_PACKAGES = str(Path(__file__).resolve().parents[2])


@contextmanager
def decoded(content: bytes, settings: ServerSettings) -> Iterator[Path]:
    """A WAV file of 16 bits of an uploaded recording, gone again at the end.

    Another process decodes it, with little memory and little time; no name of the upload's is
    used anywhere.

    Raises:
        AudioError: it is none, is too long, or takes too much of either.
    """
    if not content:
        raise AudioError("the recording is empty.")
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        source, target = Path(folder, "upload"), Path(folder, "decoded.wav")
        source.write_bytes(content)
        _decode(source, target, settings)
        try:
            yield target
        except AudioError as error:
            # The caller never heard of this file.
            told = str(error).replace(str(target), "the recording")
            raise AudioError(told) from error


def sweep() -> None:
    """Take away the recordings that a gateway had in hand when it was killed, hours ago."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            facts = path.lstat()
        except OSError:
            continue
        # It follows no link, and leaves what is somebody else's.
        if facts.st_uid == os.getuid() and facts.st_mtime < time.time() - _OLD_S:
            shutil.rmtree(path, ignore_errors=True)


def _decode(source: Path, target: Path, settings: ServerSettings) -> None:
    longest, seconds = settings.max_upload_seconds, settings.max_decode_seconds
    words = [str(source), str(target), f"{longest:g}", f"{seconds:g}"]
    # Few threads: each takes address space, which is bounded.
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [_PACKAGES, os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "myxtts.server.decode", *words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            env=variables,
            cwd=source.parent,
        )
    except subprocess.TimeoutExpired as error:
        raise AudioError("the recording takes too long to decode.") from error
    if done.returncode or not target.is_file():
        told = done.stdout.decode("utf-8", "replace").strip()[:300]
        raise AudioError(told or "the recording cannot be decoded.")
