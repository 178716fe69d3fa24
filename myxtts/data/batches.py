"""Batches as ``tf.data`` streams that can begin at any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from myxtts.data.plan import BatchPlan

# Arrays of a batch that are one vector a row: their second axis is no time and never changes.
VECTORS = ("embedding",)

# Makes arrays, by name, of the indices of utterances and the number of the epoch. One that draws
# by a row's number in its batch also takes ``first``, the number of the first row that is wanted.
Builder = Callable[..., dict[str, np.ndarray]]


@dataclass(frozen=True)
class Share:
    """The rows of every batch that one of several processes builds: an even part, in order.

    Attributes:
        number: of the process.
        of: how many there are.
        by_row: whether the builder takes ``first``.
    """

    number: int
    of: int
    by_row: bool = False

    def __call__(self, build: Builder) -> Builder:
        """Builder of this share of what ``build`` makes, of no rows where it has none."""

        def part(indices: np.ndarray, epoch: int) -> dict[str, np.ndarray]:
            first, end = (len(indices) * n // self.of for n in (self.number, self.number + 1))
            if first == end:
                rows = build(indices[:1], epoch)
                return {name: value[:0] if value.ndim else value for name, value in rows.items()}
            told = {"first": first} if self.by_row else {}
            return build(indices[first:end], epoch, **told)

        return part


class Batches:
    """Batches of a ``tf.data`` stream; an error of whoever builds them is raised as it is.

    Of itself TensorFlow makes an error of its own of it, with a traceback in its words.

    Args:
        build: makes a batch.
        order: numbers and indices of the batches, from the beginning.
        spec: of a batch.

    Attributes:
        element_spec: of a batch, by the names of its arrays.
    """

    def __init__(
        self,
        build: Builder,
        order: Callable[[], Iterator[tuple[int, np.ndarray]]],
        spec: dict[str, tf.TensorSpec],
    ):
        self.build, self.order, self.element_spec = build, order, spec

    def __iter__(self) -> Iterator[dict[str, tf.Tensor]]:
        failed: list[Exception] = []

        def made() -> Iterator[dict[str, np.ndarray]]:
            try:
                for number, indices in self.order():
                    yield self.build(indices, number)
            except Exception as error:
                failed.append(error)
                raise

        stream = tf.data.Dataset.from_generator(made, output_signature=self.element_spec)
        try:
            yield from stream.prefetch(4)
        except tf.errors.OpError as error:
            raise (failed[0] if failed else error) from None

    def as_numpy_iterator(self) -> Iterator[dict[str, np.ndarray]]:
        """The same as arrays."""
        for batch in self:
            yield {name: tensor.numpy() for name, tensor in batch.items()}


def make_dataset(
    plan: BatchPlan, build: Builder, start_step: int = 0, share: Share | None = None
) -> Batches:
    """Endless stream of batches that begins at the batch numbered ``start_step``.

    Args:
        plan: which utterances meet.
        build: a pure function, so that a stream can begin anywhere.
        start_step: global number of the first batch.
        share: of each batch; None for the whole.
    """
    own = share(build) if share else build
    return _dataset(own, lambda: plan.stream(start_step), build)


def make_validation(lengths: np.ndarray, batch_size: int, build: Builder) -> Batches:
    """One pass over utterances of these ``lengths`` in a fixed order, as of epoch 0."""
    order = np.argsort(lengths, kind="stable")
    cuts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return _dataset(build, lambda: ((0, indices) for indices in cuts))


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
    build: Builder,
    order: Callable[[], Iterator[tuple[int, np.ndarray]]],
    like: Builder | None = None,
) -> Batches:
    example = (like or build)(np.array([0]), 0)
    return Batches(build, order, {name: _spec(name, value) for name, value in example.items()})


def _spec(name: str, value: np.ndarray) -> tf.TensorSpec:
    """Batch and length may vary; channels, and the size of a vector, may not."""
    fixed = value.shape[1:] if name in VECTORS else value.shape[2:]
    free = value.ndim - len(fixed)
    return tf.TensorSpec([None] * free + list(fixed), value.dtype)
