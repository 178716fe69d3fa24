"""One of the replicas that share a batch: what it tells the others while it computes.

It is traced into a graph with ``tf.distribute``'s collective operations. A collective is known to
all replicas by a number that they count in the order of their tracing, which is the same in all of
them as they trace the same code. TensorFlow keeps a record of each number for good, and wants
tensors of one shape under it: gathered rows have a number for every count of rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from myxtts import replicas

# Of all collectives here: every replica takes part in every one.
GROUP = 1
# Numbers of gradients that go into one collective.
PACK = 2**24
# More collectives than there are in any training.
COLLECTIVES = 50_000


class Collective(replicas.Replica):
    """See :class:`myxtts.replicas.Replica`.

    Args:
        rank: number of the replica.
        count: how many there are.
        first: number that the first collective gets.
        token: a variable on the replica's device. TensorFlow runs one behind the other what
            takes the same one: the collectives of a replica, and not those of its neighbours.
    """

    def __init__(self, rank: int, count: int, first: int, token: tf.Variable):
        self.rank, self.count, self.next = rank, count, first
        # As the graph that is traced knows it: the gradient of a tf.cond takes no eager tensor.
        self.token = tf.compat.v1.get_default_graph().capture(token.handle)

    def begin(self, batch: dict, padding: Mapping[str, float], stopping) -> tuple[dict, tf.Tensor]:
        """Learn of the others' rows, and pad the own ones as one that has all would.

        Args:
            batch: this replica's rows by name; what has no axis is the same everywhere.
            padding: what arrays are padded with, 0 where it does not say.
            stopping: int, whether this replica is asked to end the training.

        Returns:
            The padded rows, and whether anybody is asked to end.
        """
        arrays = {name: value for name, value in sorted(batch.items()) if value.shape.rank}
        self.rows = tf.shape(next(iter(arrays.values())))[0]
        told = [self.rows * tf.one_hot(self.rank, self.count, dtype=tf.int32), [stopping]]
        told += [tf.shape(value)[1:] for value in arrays.values()]
        told = self._reduce(tf.concat(told, axis=0), "Max")
        counts, stopping, sizes = told[: self.count], told[self.count], told[self.count + 1 :]
        self.offset, self.all = tf.reduce_sum(counts[: self.rank]), tf.reduce_sum(counts)
        padded = dict(batch)
        for name, value in arrays.items():
            axes = value.shape.rank - 1
            padded[name] = _padded(value, sizes[:axes], padding.get(name, 0))
            sizes = sizes[axes:]
        return padded, stopping

    def total(self, value):
        value = tf.convert_to_tensor(value)
        if not value.dtype.is_floating:
            return self._reduce(value)
        return self._summed_up(value, self._number(), self._number())

    def totals(self, *values):
        return tuple(tf.unstack(self.total(tf.stack(values)), len(values)))

    def gathered(self, rows, each=1):
        rows = tf.convert_to_tensor(rows)
        before = each * self.offset
        after = each * self.all - before - tf.shape(rows)[0]
        rest = [[0, 0]] * (rows.shape.rank - 1)
        # Sums with the zeros of the others are exact, and the gradient of a sum is a sum.
        placed = tf.pad(_summable(rows), [[before, after], *rest])
        number = self._number() + COLLECTIVES * self.all
        back = self._number() + COLLECTIVES * self.all
        if not rows.dtype.is_floating:
            return tf.cast(self._reduce(placed, number=number), rows.dtype)
        return tf.cast(self._summed_up(placed, number, back), rows.dtype)

    def own(self, rows, axis=0):
        each = tf.shape(rows)[axis] // tf.maximum(self.all, 1)
        begin = each * self.offset
        return rows[(slice(None),) * axis + (slice(begin, begin + each * self.rows),)]

    def whole(self, count):
        return count // tf.maximum(self.rows, 1) * self.all

    def own_of_first(self, count):
        return tf.clip_by_value(count - self.offset, 0, self.rows)

    def averaged(self, gradients, variables):
        known = [
            tf.ensure_shape(tf.convert_to_tensor(item), variable.shape)
            for item, variable in zip(gradients, variables, strict=True)
            if item is not None
        ]
        summed = iter([item for pack in _packs(known) for item in self._summed(pack)])
        return [item if item is None else next(summed) / self.count for item in gradients]

    def of_first(self, value):
        """The first replica's ``value``."""
        return self._reduce(value if self.rank == 0 else tf.zeros_like(value))

    def _summed(self, pack: list) -> list:
        flat = self._reduce(tf.concat([tf.reshape(item, (-1,)) for item in pack], axis=0))
        parts = tf.split(flat, [item.shape.num_elements() for item in pack])
        return [tf.reshape(part, item.shape) for part, item in zip(parts, pack, strict=True)]

    def _summed_up(self, value, number, back):
        """Sum of all replicas; what comes back as its gradient is summed as well."""

        @tf.custom_gradient
        def summed(own):
            def gradient(upstream):
                return self._reduce(tf.convert_to_tensor(upstream), number=back)

            return self._reduce(own, number=number), gradient

        return summed(value)

    def _number(self) -> int:
        self.next += 1
        return self.next - 1

    def _reduce(self, value, by: str = "Add", number=None):
        """The same of all replicas, one collective after the other."""
        value = tf.convert_to_tensor(value)
        number = self._number() if number is None else number
        reduced = tf.raw_ops.CollectiveReduceV2(
            input=_summable(value),
            group_size=self.count,
            group_key=GROUP,
            instance_key=number,
            ordering_token=[self.token],
            merge_op=by,
            final_op="Id",
        )
        return tf.cast(tf.ensure_shape(reduced, value.shape), value.dtype)


def _summable(value):
    """In a type that collectives know and that holds it."""
    if value.dtype in (tf.float32, tf.float64, tf.int64):
        return value
    return tf.cast(value, tf.float32 if value.dtype.is_floating else tf.int64)


def _padded(value, sizes, fill):
    """``value`` with its axes behind the first brought to ``sizes``."""
    after = tf.concat([[0], sizes - tf.shape(value)[1:]], axis=0)
    fill = tf.cast(fill, value.dtype)
    return tf.ensure_shape(
        tf.pad(value, tf.stack([tf.zeros_like(after), after], axis=1), constant_values=fill),
        value.shape,
    )


def _packs(gradients: list) -> list[list]:
    """Gradients in lists of a bearable size, in their order."""
    packs: list[list] = [[]]
    size = 0
    for item in gradients:
        size += item.shape.num_elements()
        if size > PACK and packs[-1]:
            packs.append([])
            size = item.shape.num_elements()
        packs[-1].append(item)
    return [pack for pack in packs if pack]
