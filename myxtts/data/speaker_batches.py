"""Batches of speakers' recordings: random augmented crops, and beginnings for validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from myxtts.audio.io import padded
from myxtts.data.batches import Builder
from myxtts.data.speaker_crops import CropMaker
from myxtts.data.speakers import SpeakerCorpus
from myxtts.data.workers import Workers
from myxtts.speaker_config import SpeakerDataConfig
from myxtts.timing import SPEAKER_RATE

# Shorter corpora stay in memory and are read by threads: processes take seconds to start.
FEW_S = 600.0


def training_batches(corpus: SpeakerCorpus, data: SpeakerDataConfig, seed: int) -> Builder:
    """Builder of batches of crops, all of one length that is drawn for the batch.

    A recording that is shorter stays whole. ``(indices, step)`` gives ``audio``
    ``(batch, samples)`` at 16 kHz, ``lengths``, ``speakers`` and ``places``, int ``(batch,)``.
    Who makes a crop, a thread or a process, changes nothing in it.
    """

    def crops(indices: np.ndarray, step: int, first: int) -> list:
        drawn = np.random.default_rng([seed, step]).uniform(*data.crop_seconds)
        size = max(int(drawn * SPEAKER_RATE), 1)
        places = enumerate(indices, first)
        return [(int(index), size, [seed, step, place]) for place, index in places]

    seconds = float(corpus.lengths.sum()) / SPEAKER_RATE
    if data.workers < 2 or seconds < FEW_S:
        return _builder(corpus, crops, _in_threads(CropMaker(corpus, data), data.workers))
    workers = Workers(CropMaker(corpus, data, data.workers), data.workers)
    return _builder(corpus, crops, workers.map)


def trial_batches(corpus: SpeakerCorpus, data: SpeakerDataConfig) -> Builder:
    """The same of the beginnings of recordings as they are."""
    size = int(data.validation_seconds * SPEAKER_RATE)
    beginnings = _in_threads(lambda index: corpus.beginning(int(index), size), data.workers)
    return _builder(corpus, lambda indices, step, first: indices, beginnings)


def _in_threads(work: Callable, workers: int) -> Callable[[Iterable], list]:
    pool = ThreadPoolExecutor(workers)
    return lambda tasks: list(pool.map(work, tasks))


def _builder(
    corpus: SpeakerCorpus,
    tasks: Callable[[np.ndarray, int, int], Sequence],
    done: Callable[[Sequence], list],
) -> Builder:
    def build(indices: np.ndarray, step: int, first: int = 0) -> dict[str, np.ndarray]:
        audio, lengths = padded(done(tasks(indices, step, first)))
        return {
            "audio": audio,
            "lengths": lengths,
            "speakers": corpus.speakers[indices],
            "places": np.asarray(indices, "int32"),
        }

    return build
