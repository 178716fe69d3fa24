"""Speaker embeddings beside a synthesizer's mels: ``embeds/embed-<id>.npy`` of each utterance."""

from __future__ import annotations

import functools
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from myxtts.audio.silences import has_detector, raised_volume, trim_silences
from myxtts.children import begin, without_interrupts
from myxtts.data.rtvc_folders import broken, check_processes, load_array, preparing
from myxtts.data.synthesizer import TABLE, Line, read_table
from myxtts.digests import file_sha256
from myxtts.errors import AudioError, DataError
from myxtts.files import writable_folder, write_whole
from myxtts.weights.rtvc_encoder import open_encoder, read_encoder

logger = logging.getLogger(__name__)

# Beside the embeddings: of which encoder they are.
MADE_BY = "embeds.sha256"


@dataclass(frozen=True)
class Embedded:
    """What became of a folder's utterances: how many have an embedding, and who has none."""

    written: int
    there: int
    refused: list[tuple[str, str]] = field(default_factory=list)


def embed_utterances(
    folder: str | Path, encoder: str | Path, processes: int = 4, trim: bool | None = None
) -> Embedded:
    """Write the embedding of every utterance of ``train.txt`` that has none yet.

    Those of another encoder, as ``embeds.sha256`` says, are made anew.

    Args:
        folder: of ``train.txt`` and ``audio``.
        encoder: RTVC's ``encoder.pt``.
        processes: at work; each has an encoder.
        trim: cut long silences out first; None: where ``webrtcvad`` is installed.

    Raises:
        DataError: the table cannot be read or no utterance has an embedding in the end.
        WeightsError: the encoder cannot be read.
    """
    folder = Path(folder)
    check_processes(processes)
    lines = read_table(folder / TABLE)
    # Refused once, not in every process.
    read_encoder(encoder)
    trim = has_detector() if trim is None else trim
    if not trim:
        logger.warning("webrtcvad is not installed: silences stay in what is embedded.")
    writable_folder(folder / "embeds", DataError)
    work = functools.partial(_embed, folder, Path(encoder), trim)
    refused = []
    with preparing(folder, "embeds"):
        _begin(folder, lines, encoder)
        tasks = [line for line in lines if not (folder / "embeds" / line.embed).is_file()]
        for line, reason in tqdm(
            _in_processes(work, tasks, processes), "embeddings", len(tasks), disable=None
        ):
            if reason:
                logger.warning("%s is left out: %s", line.audio, reason)
                refused.append((line.audio, reason))
    if len(refused) == len(lines):
        raise DataError(f"no utterance of {folder / TABLE} could be embedded.")
    return Embedded(len(tasks) - len(refused), len(lines) - len(tasks), refused)


def _begin(folder: Path, lines: list[Line], encoder: str | Path) -> None:
    """Say of which encoder the embeddings are; those of another go."""
    mark, digest = folder / MADE_BY, file_sha256(encoder)
    said = mark.read_text("utf-8", "replace").strip() if mark.is_file() else digest
    if said != digest:
        logger.warning("the embeddings are of another encoder than %s: made anew.", encoder)
        for line in lines:
            (folder / "embeds" / line.embed).unlink(missing_ok=True)
    write_whole(mark, digest + "\n", DataError)


def _in_processes(work, tasks: list[Line], processes: int) -> Iterable[tuple[Line, str]]:
    processes = min(processes, len(tasks))
    if processes <= 1:
        return map(work, tasks)
    return _mapped(work, tasks, processes)


def _mapped(work, tasks: list[Line], processes: int) -> Iterator[tuple[Line, str]]:
    pool = ProcessPoolExecutor(processes, get_context("spawn"), begin)
    try:
        with without_interrupts():
            results = pool.map(work, tasks, chunksize=8)
        yield from results
    except BrokenExecutor as error:
        raise broken(processes) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _embed(folder: Path, encoder: Path, trim: bool, line: Line) -> tuple[Line, str]:
    try:
        wave = load_array(folder / "audio" / line.audio, 1).astype("float32")
        if not np.any(wave):
            return line, "it is empty or silent"
        wave = raised_volume(wave)
        wave = trim_silences(wave) if trim else wave
        if not len(wave):
            return line, "it has no speech"
        embedding = np.asarray(_encoder(encoder)(wave[None]))[0].astype("float32")
    except (DataError, AudioError) as error:
        return line, str(error)
    target = folder / "embeds" / line.embed
    write_whole(target, npy_bytes(embedding), durable=False)
    return line, ""


def npy_bytes(array: np.ndarray) -> bytes:
    """``array`` as ``numpy.save`` writes it."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@functools.cache
def _encoder(path: Path) -> Callable:
    encoder = open_encoder(path)
    # As one graph for all lengths: operation by operation its LSTMs take twenty times as long.
    spec = tf.TensorSpec((1, None), "float32")
    return tf.function(lambda wave: encoder(wave), input_signature=[spec], autograph=False)
