"""Files that are there whole or not at all, where they are kept, and the device to work on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from myxtts.errors import CheckpointError, ConfigError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path, renamed to ``path`` once it has been written.

    Raises:
        CheckpointError: it cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        yield Path(temporary)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def writable_folder(path: str | Path) -> Path:
    """``path``, made if it was not there, after a file could be written in it.

    Raises:
        CheckpointError: nothing can be written there.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise CheckpointError(
            f"cannot write to the folder {folder}: {error.strerror or error}."
        ) from error


def cache_folder() -> Path:
    """Folder of what is fetched or built once: ``MYXTTS_CACHE``, else ``~/.cache/myxtts``."""
    return Path(os.environ.get("MYXTTS_CACHE") or Path.home() / ".cache" / "myxtts")


def usable_device(name: str) -> str:
    """The device that ``name`` stands for, ``auto`` being CUDA where there is any.

    Raises:
        ConfigError: torch does not know it, or this machine does not have it.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (":" in name and not number.isdecimal()):
        raise ConfigError(f"there is no device {name!r}; use auto, cpu, cuda, cuda:N or mps.")
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": torch.backends.mps.is_available()}
    if int(number or 0) >= found[kind]:
        raise ConfigError(
            f"there is no device {name!r} on this machine that torch {torch.__version__} can use; "
            "take --device cpu."
        )
    return name
