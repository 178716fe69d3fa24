"""Batches of speakers' recordings: random augmented crops, and beginnings for validation."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from myxtts.audio.io import padded
from myxtts.data.augmentation import Augmenter
from myxtts.data.batches import Builder
from myxtts.data.speakers import SpeakerCorpus
from myxtts.speaker_config import SpeakerDataConfig
from myxtts.timing import SPEAKER_RATE


def training_batches(corpus: SpeakerCorpus, data: SpeakerDataConfig, seed: int) -> Builder:
    """Builder of batches of crops, all of one length that is drawn for the batch.

    A recording that is shorter stays whole. ``(indices, step)`` gives ``audio``
    ``(batch, samples)`` at 16 kHz, ``lengths``, ``speakers`` and ``places``, int ``(batch,)``.
    """
    augment = Augmenter(data.augmentation)

    def row(index: int, size: int, entropy: list[int]) -> np.ndarray:
        rng = np.random.default_rng(entropy)
        return augment(corpus.crop(index, size, rng), rng)

    def rows(indices: np.ndarray, step: int, first: int) -> list[Callable[[], np.ndarray]]:
        drawn = np.random.default_rng([seed, step]).uniform(*data.crop_seconds)
        size = max(int(drawn * SPEAKER_RATE), 1)
        return [
            partial(row, int(index), size, [seed, step, number])
            for number, index in enumerate(indices, first)
        ]

    return _builder(corpus, rows, data.workers)


def trial_batches(corpus: SpeakerCorpus, data: SpeakerDataConfig) -> Builder:
    """The same of the beginnings of recordings as they are."""
    size = int(data.validation_seconds * SPEAKER_RATE)

    def rows(indices: np.ndarray, step: int, first: int) -> list[Callable[[], np.ndarray]]:
        return [partial(corpus.beginning, int(index), size) for index in indices]

    return _builder(corpus, rows, data.workers)


def _builder(corpus: SpeakerCorpus, rows: Callable[..., list], workers: int) -> Builder:
    pool = ThreadPoolExecutor(workers)

    def build(indices: np.ndarray, step: int, first: int = 0) -> dict[str, np.ndarray]:
        made = pool.map(lambda make: make(), rows(indices, step, first))
        audio, lengths = padded(list(made))
        return {
            "audio": audio,
            "lengths": lengths,
            "speakers": corpus.speakers[indices],
            "places": np.asarray(indices, "int32"),
        }

    return build
