"""What RTVC's two preparations share: arrays written whole, work in processes, what was refused."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from myxtts.data.speakers import AUDIO_SUFFIXES
from myxtts.errors import DataError
from myxtts.files import replacing

REFUSED = "refused.txt"


def save_array(path: Path, array: np.ndarray) -> None:
    """Write float32 for ``np.load``, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    with replacing(path, DataError, durable=False) as fresh, fresh.open("wb") as file:
        np.save(file, np.ascontiguousarray(array, "float32"), allow_pickle=False)


def load_array(path: Path) -> np.ndarray:
    """What ``np.save`` wrote.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}.") from error


def audio_below(folder: Path, suffixes: Sequence[str] = AUDIO_SUFFIXES) -> list[Path]:
    """Recordings at any depth, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)


def folders_in(folder: Path) -> list[Path]:
    """Visible folders in a folder, sorted."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if path.is_dir() and not path.name.startswith("."))


def in_processes(work: Callable, tasks: Iterable[Any], processes: int, told: str) -> Iterator[Any]:
    """Results of ``work`` in the order of ``tasks``.

    Args:
        work: a function of a module.
        tasks: its arguments.
        processes: at most; with one, everything happens in this one.
        told: by the progress bar.
    """
    tasks = list(tasks)
    if processes < 2 or len(tasks) < 2:
        yield from tqdm(map(work, tasks), told, len(tasks), disable=None)
        return
    # Forked from a process with threads, a child may wait for a lock that nobody holds.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(tasks)), mp_context=context) as pool:
        try:
            yield from tqdm(pool.map(work, tasks), told, len(tasks), disable=None)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Add lines to a text file in one write.

    Raises:
        DataError: it cannot be written.
    """
    if not lines:
        return
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}.") from error


def whole_lines(path: Path) -> list[str]:
    """Lines of a text file; what a killed process left of the last is cut off the file too."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    return whole.decode("utf-8").splitlines()
