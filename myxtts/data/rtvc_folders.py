"""What RTVC's two preparations share: arrays written whole, work in processes, what was refused."""

from __future__ import annotations

import errno
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from myxtts.children import begin, without_interrupts
from myxtts.data.speakers import AUDIO_SUFFIXES
from myxtts.errors import ConfigError, DataError
from myxtts.files import locked, replacing, sweep

REFUSED = "refused.txt"
# What mels, embeddings, durations and waves never reach; beyond it is damage.
LARGEST = 2.0**31
# Errors of the machine, which tell nothing of the file; a read is tried again after these seconds.
OF_MACHINE = (errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT)
PAUSES_S = (0.05, 0.5)
# A file's name need not be UTF-8, and is written and read as it is.
NAMES = {"encoding": "utf-8", "errors": "surrogateescape"}


def save_array(path: Path, array: np.ndarray) -> None:
    """Write float32 for ``np.load``, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    with replacing(path, DataError, durable=False) as fresh, fresh.open("wb") as file:
        np.save(file, np.ascontiguousarray(array, "float32"), allow_pickle=False)


def load_array(path: Path, axes: int, mapped: bool = False) -> np.ndarray:
    """Real numbers that ``np.save`` wrote.

    Args:
        path: of the file.
        axes: how many the array has to have.
        mapped: leave it on the disk, and the look at its values to :func:`check_numbers`.

    Raises:
        DataError: it cannot be read, or holds anything else. Of an error that :func:`is_of_machine`
            it was tried three times.
    """
    array = _read(path, mapped)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim != axes:
        told = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "several arrays"
        raise DataError(f"{path} holds {told}; numbers along {axes} axes are wanted.")
    if not mapped:
        check_numbers(path, array)
    return array


def _read(path: Path, mapped: bool) -> Any:
    for pause in (*PAUSES_S, None):
        try:
            if path.is_fifo():
                raise OSError("it is a pipe, no file")
            return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        # Damaged headers are read by Python's own parser, which raises what it likes.
        except Exception as error:
            told = " ".join(str(error).split())[:200] or type(error).__name__
            refused = DataError(f"{path} cannot be read: {told.rstrip('.')}.")
            refused.__cause__ = error
            if pause is None or not is_of_machine(refused):
                raise refused from error
        time.sleep(pause)
    raise AssertionError("the last try ends by a return or an error")


def is_of_machine(error: DataError) -> bool:
    """Whether an error of :func:`load_array` tells of the machine, not of the file."""
    cause = error.__cause__
    return isinstance(cause, MemoryError) or getattr(cause, "errno", None) in OF_MACHINE


def check_numbers(path: Path, array: np.ndarray) -> None:
    """Refuse values that no mel, embedding, duration or wave has.

    Raises:
        DataError: there is NaN, infinity or a number beyond :data:`LARGEST`.
    """
    if not array.size:
        return
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{path} holds NaN or infinite values; prepare it anew.")
    if max(-low, high) > LARGEST:
        raise DataError(f"{path} holds values up to {max(-low, high):.3g}; prepare it anew.")


def array_problem(path: Path, axes: int, least: int = 0, width: int | None = None) -> str | None:
    """Why a file is of no use, by its header and size; None for no reason.

    Args:
        path: of the file.
        axes: as of :func:`load_array`.
        least: how long the first axis has to be.
        width: how long the last axis has to be; None for any.
    """
    if not path.is_file():
        return f"unreadable: there is no {path}"
    try:
        array = load_array(path, axes, mapped=True)
    except DataError as error:
        return f"unreadable: {error}"
    if width is not None and array.shape[-1] != width:
        return f"of another width: {path} is of {array.shape}; the model wants {width}"
    short = len(array) < least
    return f"unreadable: {path} is of {array.shape}; {least} are wanted" if short else None


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
    check_processes(processes)
    if processes < 2 or len(tasks) < 2:
        yield from tqdm(map(work, tasks), told, len(tasks), disable=None)
        return
    # Forked from a process with threads, a child may wait for a lock that nobody holds.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(tasks)), context, begin) as pool:
        try:
            with without_interrupts():
                results = pool.map(work, tasks)
            yield from tqdm(results, told, len(tasks), disable=None)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, BrokenExecutor):
                raise broken(processes) from error
            raise


def check_processes(processes: int) -> None:
    """Refuse a number of processes that is none."""
    if processes < 1:
        raise ConfigError(f"the number of processes must be at least 1, not {processes}.")


def broken(processes: int) -> DataError:
    """What to raise where the system ended a process, as it does for want of memory."""
    return DataError(
        f"one of {processes} processes ended abruptly; fewer (-n) want less memory, and what is "
        "done stays."
    )


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Add lines to a text file in one write.

    Raises:
        DataError: it cannot be written.
    """
    if not lines:
        return
    try:
        with path.open("a", newline="\n", **NAMES) as file:
            file.write("".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}.") from error


@contextmanager
def preparing(out: Path, *parts: str) -> Iterator[None]:
    """Keep a folder to this process, without what killed ones had begun in it.

    Args:
        out: that exists.
        parts: folders in it that are written to.

    Raises:
        DataError: another process writes to it.
    """
    with locked(out, DataError):
        for folder in (out, *(out / part for part in parts)):
            sweep(folder)
        yield


class Refusals:
    """``refused.txt`` of a folder, which is not told again what it says.

    Args:
        out: the folder.
        goes_on: whether what another run refused stays; else the file begins anew.
    """

    def __init__(self, out: Path, goes_on: bool):
        self._path = out / REFUSED
        if not goes_on:
            self._path.unlink(missing_ok=True)
        self._told = set(whole_lines(self._path))

    def add(self, lines: Sequence[str]) -> None:
        append_lines(self._path, [line for line in lines if line not in self._told])
        self._told.update(lines)


def whole_lines(path: Path) -> list[str]:
    """Lines of a text file; what a killed process left of the last is cut off the file too."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    return [line.rstrip("\r") for line in whole.decode(**NAMES).split("\n")[:-1]]


def read_names(path: Path) -> list[str]:
    """Lines of a text file of names that are not empty.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return [line for line in path.read_text(**NAMES).split("\n") if line]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from error
