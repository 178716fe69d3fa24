"""One augmented crop of a speaker's recording; processes of their own make them, see workers."""

from __future__ import annotations

import numpy as np

from myxtts.data.augmentation import Augmenter
from myxtts.data.speakers import MEMORY_BYTES, SpeakerCorpus
from myxtts.speaker_config import SpeakerDataConfig

# Recording, samples, and what the example's generator is seeded with.
Crop = tuple[int, int, list[int]]


class CropMaker:
    """Makes float32 ``(samples,)`` of a :data:`Crop`, and of the same one the same.

    Args:
        corpus: of recordings.
        data: its augmentation is read.
        shares: how many of these share the memory for recordings.
    """

    def __init__(self, corpus: SpeakerCorpus, data: SpeakerDataConfig, shares: int = 1):
        self.corpus, self.data, self.shares = corpus, data, shares
        self.corpus.memory_bytes = MEMORY_BYTES // shares
        self.augment = Augmenter(data.augmentation)

    def __reduce__(self) -> tuple:
        return CropMaker, (self.corpus, self.data, self.shares)

    def __call__(self, crop: Crop) -> np.ndarray:
        index, samples, entropy = crop
        rng = np.random.default_rng(entropy)
        return self.augment(self.corpus.crop(index, samples, rng), rng)
