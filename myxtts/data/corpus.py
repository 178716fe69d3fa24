"""A screened corpus, ready to be batched."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from myxtts.data.formats import Utterance
from myxtts.data.plan import members_of
from myxtts.data.readings import Readings
from myxtts.data.store import Feature, FeatureStore

# Features of smaller corpora than this stay in memory after their first use.
MEMORY_BYTES = 3 * 2**30

Item = TypeVar("Item")


def held_out(items: list[Item], every: int) -> tuple[list[Item], list[Item]]:
    """All but every so many-th of at least two, and those; the last where they are fewer."""
    every = min(every, len(items))
    rest = [item for index, item in enumerate(items, 1) if index % every]
    return rest, items[every - 1 :: every]


class Corpus:
    """Utterances with their features, speakers and, where there is a tokenizer, text ids.

    Args:
        utterances: usable ones.
        store: their features.
        measure: name of the feature whose length is the utterance's.
        tokenizer: its ``encode`` turns a text and its language into ids.
        read: function from an utterance to its readings, by default in letters.

    Attributes:
        lengths: int ``(utterances,)``.
        speakers: int ``(utterances,)``, places in ``speaker_names``.
        readings: of each utterance, where there is a tokenizer.
    """

    def __init__(
        self,
        utterances: list[Utterance],
        store: FeatureStore,
        measure: str,
        tokenizer=None,
        read: Callable[[Utterance], Readings] | None = None,
    ):
        self.utterances = utterances
        self.store = store
        self.measure = measure
        self.tokenizer = tokenizer
        self._read = read or partial(Readings, tokenizer=tokenizer, phoneme_share=0.0)
        self.readings = [self._read(item) for item in utterances if tokenizer is not None]
        names, numbers = np.unique([item.speaker for item in utterances], return_inverse=True)
        self.speaker_names = names.tolist()
        self.speakers = numbers.astype("int32")
        self._members = members_of(self.speakers)
        self._memory: dict[tuple[int, str], np.ndarray] = {}
        self._memory_bytes = 0
        self.lengths = np.array([len(self.feature(i, measure)) for i in range(len(utterances))])

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def timed(self) -> bool:
        """Whether of any utterance it is known when what is spoken."""
        return any(item.ends is not None for item in self.readings)

    def feature(self, index: int, name: str) -> np.ndarray:
        """A feature of one utterance."""
        place = int(index), name
        if place in self._memory:
            return self._memory[place]
        array = self.store.load(self.utterances[index], name)[name]
        if self._memory_bytes + array.nbytes <= MEMORY_BYTES:
            self._memory[place] = array
            self._memory_bytes += array.nbytes
        return array

    def add_features(self, features: Mapping[str, Feature]) -> None:
        """Let the store have these features, and compute those that are not in its cache."""
        for name, feature in features.items():
            self.store.add(name, feature)
        if not features:
            return
        names = ", ".join(features)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(
                tqdm(pool.map(self.store.prepare, self.utterances), names, len(self), disable=None)
            )

    def companions(self, index: int) -> np.ndarray:
        """Other utterances of the same speaker."""
        members = self._members[int(self.speakers[index])]
        return members[members != index]

    def companion(self, index: int, rng: np.random.Generator) -> int:
        """Any of the :meth:`companions`, or the utterance itself where there are none."""
        members = self._members[int(self.speakers[index])]
        if len(members) < 2:
            return int(index)
        # As a choice among the others would draw, without a list of them.
        place = int(rng.integers(len(members) - 1))
        return int(members[place + (place >= np.searchsorted(members, index))])

    def split(self, every: int) -> tuple[Corpus, Corpus]:
        """All but every so many-th utterance, and those; one utterance alone is both."""
        if len(self) < 2:
            return self, self
        return tuple(
            Corpus(part, self.store, self.measure, self.tokenizer, self._read)
            for part in held_out(self.utterances, every)
        )
