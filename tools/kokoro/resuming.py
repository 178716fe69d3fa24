"""States that a training writes on its way, and goes on from."""

from __future__ import annotations

import errno
import hashlib
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from myxtts.errors import CheckpointError, WeightsError
from myxtts.files import replacing
from myxtts.weights.torch_archive import check_archive

# What a damaged state raises, somewhere between its file and its last number.
DAMAGES = (
    OSError,
    LookupError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    EOFError,
    pickle.UnpicklingError,
    WeightsError,
    zipfile.BadZipFile,
)
# What it tells of the machine instead: the file may be whole.
OF_MACHINE = (errno.EIO, errno.ENOMEM, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ESTALE)


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write plain tensors, lists and numbers, whole or not at all.

    Raises:
        CheckpointError: they cannot be written.
    """
    # Through Python's file, a full disk is an OSError that says so.
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def read_state(path: Path) -> dict[str, Any]:
    """What :func:`write_state` wrote, on the CPU.

    Raises:
        CheckpointError: there is no such file.
        Exception: one of ``DAMAGES``, where it is no such file.
    """
    if not path.is_file():
        raise CheckpointError(f"there is nothing to resume: {path} does not exist.")
    check_archive(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def digest(*arrays: np.ndarray) -> str:
    """A few letters that tell arrays from others."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]


def require_same(path: Path, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare what a resumed run must share with its beginning.

    Raises:
        CheckpointError: a value is another.
    """
    for name, value in now.items():
        if earlier.get(name) != value:
            was = f"was {earlier.get(name)!r}, now {value!r}"
            what = was if isinstance(value, str | float | int) else "differ from the present ones"
            raise CheckpointError(f"{path} cannot be resumed: its {name} {what}.")


def resume(path: Path, now: Mapping[str, Any], restore: Callable[[dict[str, Any]], None]) -> None:
    """Go back to a state that was written earlier.

    Args:
        path: of the state, whose ``identity`` is what a run must share with its beginning.
        now: that of the present run.
        restore: takes the state.

    Raises:
        CheckpointError: there is none, it is damaged, or it was run with other settings.
    """
    try:
        state = read_state(path)
        require_same(path, state["identity"], now)
        restore(state)
    except CheckpointError:
        raise
    except DAMAGES as error:
        if isinstance(error, OSError) and error.errno in OF_MACHINE:
            raise CheckpointError(f"{path} cannot be read now: {error.strerror}.") from error
        raise CheckpointError(f"{path} is damaged; start anew without --resume.") from error
