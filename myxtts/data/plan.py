"""Which utterances meet in which batch: a pure function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from myxtts.data.buckets import Buckets

# Batches are cut from pools this many batches long, sorted by length.
POOL_BATCHES = 16
# Of a speaker with more utterances a batch draws its few alone: to shuffle all of them for every
# batch would cost an epoch the square of their number.
SHUFFLED = 4096


class BatchPlan:
    """Batches of utterances of similar length, in an order that can be resumed.

    Args:
        lengths: of the utterances, in any unit.
        speakers: integer speaker of each utterance.
        batch_size: utterances a batch; the last of an epoch may have fewer.
        seed: of the order.
        speakers_per_batch: above 0, each batch holds this many speakers with
            ``batch_size // speakers_per_batch`` utterances each.
        buckets: of these utterances; they then decide the batches instead.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        speakers: Sequence[int],
        batch_size: int,
        seed: int,
        speakers_per_batch: int = 0,
        buckets: Buckets | None = None,
    ):
        self.lengths = np.asarray(lengths)
        self.speakers = np.asarray(speakers)
        self.batch_size = batch_size
        self.seed = seed
        self.buckets = buckets
        self.speakers_per_batch = min(speakers_per_batch, batch_size, len(np.unique(self.speakers)))

    def epoch(self, number: int) -> list[np.ndarray]:
        """Index arrays of the batches of one epoch."""
        rng = np.random.default_rng([self.seed, number])
        if self.buckets:
            return self.buckets.epoch(rng)
        if self.speakers_per_batch:
            return self._balanced(rng)
        order = rng.permutation(len(self.lengths))
        pool = self.batch_size * POOL_BATCHES
        batches = []
        for start in range(0, len(order), pool):
            members = order[start : start + pool]
            # The jitter lets neighbours in length meet others in the next epoch.
            jittered = self.lengths[members] * rng.uniform(0.9, 1.1, len(members))
            members = members[np.argsort(jittered, kind="stable")]
            batches += [
                members[cut : cut + self.batch_size]
                for cut in range(0, len(members), self.batch_size)
            ]
        return [batches[index] for index in rng.permutation(len(batches))]

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch; the same for every epoch."""
        return len(self.epoch(0))

    def stream(self, start_step: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Endless ``(epoch, indices)`` from the batch with this global number on."""
        epoch, skipped = divmod(start_step, self.steps_per_epoch)
        while True:
            for indices in self.epoch(epoch)[skipped:]:
                yield epoch, indices
            epoch, skipped = epoch + 1, 0

    def _balanced(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Every utterance about once an epoch, drawn speaker by speaker."""
        each = max(1, self.batch_size // self.speakers_per_batch)
        names, members = np.unique(self.speakers), members_of(self.speakers)
        members = dict(zip(names.tolist(), members, strict=True))
        count = max(1, round(len(self.lengths) / (each * self.speakers_per_batch)))
        batches = []
        for _ in range(count):
            chosen = rng.choice(names, self.speakers_per_batch, replace=False)
            rows = [_some(members[name], each, rng) for name in chosen.tolist()]
            batches.append(np.concatenate(rows))
        return batches


def members_of(speakers: np.ndarray) -> list[np.ndarray]:
    """Places of each speaker's utterances, growing, speakers in the order of their numbers.

    Args:
        speakers: int ``(utterances,)``.
    """
    order = np.argsort(speakers, kind="stable")
    _, firsts = np.unique(np.asarray(speakers)[order], return_index=True)
    return np.split(order, firsts[1:])


def _some(members: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many of ``members``: all of them before any a second time."""
    if len(members) > max(SHUFFLED, count):
        return members[_distinct(len(members), count, rng)]
    return np.resize(rng.permutation(members), count)


def _distinct(below: int, count: int, rng: np.random.Generator) -> list[int]:
    """So many different numbers below a much larger one."""
    found: dict[int, None] = {}
    while len(found) < count:
        found.setdefault(int(rng.integers(below)))
    return list(found)
