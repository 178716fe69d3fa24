"""A few fixed sizes for batches of utterances of all lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# An utterance with an unusually long text goes to the next bucket, so that it pads few others.
USUAL_TEXTS = 0.98


class Buckets:
    """Sizes to which batches are padded, and how many utterances each may hold.

    Batches of few sizes need few compiled graphs; batches of about as much speech each use the
    processor evenly, whatever the length of their utterances.

    Args:
        codes: audio codes of each utterance.
        texts: text ids of each, at most.
        batch_codes: audio codes of a batch, padding included.
        count: how many sizes, at most.
        multiples: to which the sizes are rounded up, of codes and of text ids.

    Attributes:
        sizes: int ``(buckets, 2)``, the codes and text ids of each, growing.
        rows: utterances of a batch of each.
        members: of each, the utterances that are padded to it, int.
    """

    def __init__(
        self,
        codes: Sequence[int],
        texts: Sequence[int],
        batch_codes: int,
        count: int = 8,
        multiples: tuple[int, int] = (16, 16),
    ):
        lengths = np.stack([np.asarray(codes), np.asarray(texts)], axis=1)
        self.sizes = _sizes(lengths, count, np.array(multiples))
        fits = (lengths[:, None] <= self.sizes[None]).all(axis=2)
        bucket = np.argmax(fits, axis=1)
        self.members = [np.flatnonzero(bucket == number) for number in range(len(self.sizes))]
        self.rows = [max(1, batch_codes // size) for size in self.sizes[:, 0].tolist()]

    def fit(self, codes: Sequence[int], texts: Sequence[int]) -> tuple[int, int]:
        """Size of the bucket for utterances that meet in a batch.

        Args:
            codes, texts: their lengths, none longer than those the buckets were made for.
        """
        longest = np.array([max(codes), max(texts)])
        number = int(np.argmax((longest <= self.sizes).all(axis=1)))
        return int(self.sizes[number, 0]), int(self.sizes[number, 1])

    def epoch(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Index arrays of the batches of one epoch, each utterance once or, to fill up, twice."""
        batches = []
        for members, rows in zip(self.members, self.rows, strict=True):
            order = rng.permutation(members)
            whole = np.resize(order, -(-len(order) // rows) * rows)
            batches += np.split(whole, len(whole) // rows) if len(whole) else []
        return [batches[index] for index in rng.permutation(len(batches))]


def _sizes(lengths: np.ndarray, count: int, multiples: np.ndarray) -> np.ndarray:
    """Edges that share the speech evenly, without those that rounding made equal."""
    codes = np.sort(lengths[:, 0])
    total = np.cumsum(codes)
    shares = np.arange(1, count + 1) / count
    edges = codes[np.minimum(np.searchsorted(total, shares * total[-1]), len(codes) - 1)]
    edges = np.unique(-(-edges // multiples[0]) * multiples[0])
    texts = [np.quantile(lengths[lengths[:, 0] <= edge, 1], USUAL_TEXTS) for edge in edges]
    texts = np.ceil(np.array([*texts[:-1], lengths[:, 1].max()]) / multiples[1]) * multiples[1]
    return np.stack([edges, np.maximum.accumulate(texts.astype(edges.dtype))], axis=1)
