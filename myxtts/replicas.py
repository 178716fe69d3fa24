"""What a computation asks of the replicas that share a batch: sums and rows over all of them.

A batch may be spread over several replicas of a training, on devices or machines of their own.
What a loss or a layer takes over the whole batch (the count under a mean, the statistics of a
batch norm, the embeddings that are compared) it asks for here, and there is one answer however the
batch is spread. Without replicas, which is the rule, everything is given back as it came.

Every replica computes the same loss, and the mean of the replicas' gradients is the gradient of
the whole batch's loss: a sum over replicas hands its gradient back to all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

Strategy = Literal["none", "mirrored", "multi-worker", "parameter-server"]
STRATEGY_HELP = "spread batches: mirrored: over devices; multi-worker: over TF_CONFIG's machines"


class Replica:
    """The one replica that has the whole batch. Those that share one override everything."""

    def total(self, value: Any) -> Any:
        """Sum over the replicas of a tensor that has one shape in all of them."""
        return value

    def totals(self, *values: Any) -> tuple:
        """Sums over the replicas of scalars of one type."""
        return values

    def gathered(self, rows: Any, each: int = 1) -> Any:
        """Rows of all replicas, in the order of the batch; ``each`` for every row of the batch."""
        return rows

    def own(self, rows: Any, axis: int = 0) -> Any:
        """Of the rows of the whole batch, which lie along ``axis``, this replica's."""
        return rows

    def whole(self, count: Any) -> Any:
        """Rows of the whole batch where this replica has ``count``."""
        return count

    def own_of_first(self, count: Any) -> Any:
        """How many of the whole batch's first ``count`` rows this replica has."""
        return count

    def averaged(self, gradients: list, variables: list) -> list:
        """Mean over the replicas of the gradient of each variable; None stays None."""
        return gradients


_ALONE = Replica()
_current: ContextVar[Replica] = ContextVar("replica", default=_ALONE)


@contextmanager
def computing(replica: Replica) -> Iterator[None]:
    """Let what is computed inside, or traced, be the part of ``replica``."""
    token = _current.set(replica)
    try:
        yield
    finally:
        _current.reset(token)


def alone() -> bool:
    """Whether there is no other replica."""
    return _current.get() is _ALONE


def current() -> Replica:
    """The replica that computes."""
    return _current.get()


def with_a_row(function: Callable[[Any], Any], rows: Any) -> Any:
    """``function(rows)``, row by row, where a replica may have none.

    TensorFlow 2.21 mirrors no batch without rows, and its oneDNN convolution gives it the shape of
    the input: such a batch gets a row for the while.
    """
    if alone():
        return function(rows)
    # Settings are read before Keras is.
    from keras import ops

    count, *shape = ops.shape(rows)
    missing = ops.cast(ops.equal(count, 0), "int32")
    zeros = ops.zeros((missing, *shape), dtype=rows.dtype)
    return function(ops.concatenate([rows, zeros], axis=0))[:count]


def total(value: Any) -> Any:
    """See :meth:`Replica.total`."""
    return _current.get().total(value)


def totals(*values: Any) -> tuple:
    """See :meth:`Replica.totals`."""
    return _current.get().totals(*values)


def gathered(rows: Any, each: int = 1) -> Any:
    """See :meth:`Replica.gathered`."""
    return _current.get().gathered(rows, each)


def own(rows: Any, axis: int = 0) -> Any:
    """See :meth:`Replica.own`."""
    return _current.get().own(rows, axis)


def whole(count: Any) -> Any:
    """See :meth:`Replica.whole`."""
    return _current.get().whole(count)
