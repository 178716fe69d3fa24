"""Batches as ``tf.data`` streams that can begin at any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from myxtts.data.plan import BatchPlan
from myxtts.errors import MyXTTSError

# Arrays of a batch that are one vector a row: their second axis is no time and never changes.
VECTORS = ("embedding",)

# Makes arrays, by name, of the indices of utterances and the number of the epoch.
Builder = Callable[[np.ndarray, int], dict[str, np.ndarray]]

# What builders raised lately, in whatever thread; TensorFlow hands on no more than its text.
_raised: list[MyXTTSError] = []


def make_dataset(plan: BatchPlan, build: Builder, start_step: int = 0) -> tf.data.Dataset:
    """Endless stream of batches that begins at the batch numbered ``start_step``.

    Args:
        plan: which utterances meet.
        build: a pure function, so that a stream can begin anywhere.
        start_step: global number of the first batch.
    """
    return _dataset(build, lambda: plan.stream(start_step))


def make_validation(lengths: np.ndarray, batch_size: int, build: Builder) -> tf.data.Dataset:
    """One pass over utterances of these ``lengths`` in a fixed order, as of epoch 0."""
    order = np.argsort(lengths, kind="stable")
    cuts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return _dataset(build, lambda: ((0, indices) for indices in cuts))


@contextmanager
def as_raised() -> Iterator[None]:
    """Around the reading of a stream: what a builder raises comes out as it was raised."""
    try:
        yield
    except tf.errors.OpError as error:
        if not _raised:
            raise
        raise _raised.pop() from error


def _remembering(batches: Iterator[dict]) -> Iterator[dict]:
    try:
        yield from batches
    except MyXTTSError as error:
        _raised[:] = [error]
        raise


def pad(
    rows: Sequence[np.ndarray], multiple: int, value: float, dtype="float32", size: int = 0
) -> np.ndarray:
    """Stack rows padded to ``size``, or to the longest, rounded up to ``multiple``."""
    size = size or -(-max(len(row) for row in rows) // multiple) * multiple
    stacked = np.full((len(rows), size, *rows[0].shape[1:]), value, dtype)
    for target, row in zip(stacked, rows, strict=True):
        target[: len(row)] = row
    return stacked


def lengths_of(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Lengths int32 ``(rows,)``."""
    return np.array([len(row) for row in rows], "int32")


def rounded_down(length: int, multiple: int) -> int:
    """Longest length whose padding to ``multiple`` does not pass ``length``."""
    return length // multiple * multiple


def _dataset(
    build: Builder, order: Callable[[], Iterator[tuple[int, np.ndarray]]]
) -> tf.data.Dataset:
    example = build(np.array([0]), 0)
    signature = {name: _spec(name, value) for name, value in example.items()}
    return tf.data.Dataset.from_generator(
        lambda: _remembering(build(indices, epoch) for epoch, indices in order()),
        output_signature=signature,
    ).prefetch(4)


def _spec(name: str, value: np.ndarray) -> tf.TensorSpec:
    """Batch and length may vary; channels, and the size of a vector, may not."""
    fixed = value.shape[1:] if name in VECTORS else value.shape[2:]
    free = value.ndim - len(fixed)
    return tf.TensorSpec([None] * free + list(fixed), value.dtype)
