"""A screened corpus, ready to be batched."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from myxtts.config import XTTSConfig
from myxtts.data.features import FeatureStore, Report, screen_corpus
from myxtts.data.formats import Utterance, find_utterances
from myxtts.data.plan import FRAME_MULTIPLE, TEXT_MULTIPLE, rounded_down
from myxtts.errors import DataError, TextError
from myxtts.files import replacing
from myxtts.text.cleaners import is_speakable
from myxtts.text.tokenizer import VoiceBpeTokenizer
from myxtts.timing import FRAMES_PER_CODE

logger = logging.getLogger(__name__)

# Features of smaller corpora than this stay in memory after their first use.
MEMORY_BYTES = 3 * 2**30


class Corpus:
    """Utterances with their features, text ids and speakers.

    Args:
        utterances: usable ones.
        store: their features.
        tokenizer: turns their texts into ids.
    """

    def __init__(
        self,
        utterances: list[Utterance],
        store: FeatureStore,
        tokenizer: VoiceBpeTokenizer,
    ):
        self.utterances = utterances
        self.store = store
        self.text_ids = [
            np.array(tokenizer.encode(item.text, item.language), "int32") for item in utterances
        ]
        names = sorted({item.speaker for item in utterances})
        numbers = {name: number for number, name in enumerate(names)}
        self.speaker_names = names
        self.speakers = np.array([numbers[item.speaker] for item in utterances], "int32")
        self.embeddings: np.ndarray | None = None
        self._memory: dict[int, dict[str, np.ndarray]] = {}
        self._memory_bytes = 0
        self._members = {
            number: np.flatnonzero(self.speakers == number) for number in range(len(names))
        }
        self.frames = np.array([len(self.features(i)["dvae_mel"]) for i in range(len(utterances))])

    def __len__(self) -> int:
        return len(self.utterances)

    def features(self, index: int) -> dict[str, np.ndarray]:
        """Features of one utterance, see :meth:`FeatureStore.load`."""
        if index in self._memory:
            return self._memory[index]
        features = self.store.load(self.utterances[index])
        size = sum(array.nbytes for array in features.values())
        if self._memory_bytes + size <= MEMORY_BYTES:
            self._memory[index] = features
            self._memory_bytes += size
        return features

    def companions(self, index: int) -> np.ndarray:
        """Other utterances of the same speaker."""
        members = self._members[int(self.speakers[index])]
        return members[members != index]

    def embed(self, encoder: Callable[[np.ndarray], np.ndarray], key: str) -> None:
        """Give every utterance a speaker embedding, cached under ``key``.

        Args:
            encoder: float32 ``(samples,)`` at 16 kHz to ``(dim,)``.
            key: names encoder and weights; another key has another cache.
        """
        folder = self.store.folder / f"embeddings-{key}"
        folder.mkdir(exist_ok=True)
        rows = []
        for index, utterance in enumerate(tqdm(self.utterances, desc="speakers", disable=None)):
            path = folder / f"{self.store.path(utterance).stem}.npy"
            row = _load_array(path)
            if row is None:
                audio = self.features(index)["audio_16k"].astype("float32") / 32767
                row = np.asarray(encoder(audio), "float32")
                with replacing(path, DataError) as fresh:
                    np.save(fresh, row)
            rows.append(row)
        self.embeddings = np.stack(rows)


def open_corpus(
    folder: str | Path,
    config: XTTSConfig,
    store: FeatureStore,
    make_tokenizer: Callable[[list[Utterance]], VoiceBpeTokenizer],
) -> tuple[Corpus, VoiceBpeTokenizer, Report]:
    """Find, screen and load a corpus.

    Args:
        folder: the corpus.
        config: its ``data`` and text limits are used.
        store: feature cache.
        make_tokenizer: called with the utterances whose texts can be spoken.

    Raises:
        DataError: there is no usable utterance.
    """
    found = find_utterances(folder, config.data.dataset_format, config.data.language)
    tokenizer = make_tokenizer([item for item in found if is_speakable(item.text)])
    # Batches are padded before the GPT sees them, and its positions must still suffice.
    limit = rounded_down(config.model.gpt.max_text_tokens, TEXT_MULTIPLE)
    # The stops that Coqui's training adds want room too.
    codes = config.model.gpt.max_audio_tokens - (3 if config.training.coqui_compatible else 0)
    max_frames = rounded_down(FRAMES_PER_CODE * codes, FRAME_MULTIPLE)

    def text_problem(utterance: Utterance) -> str | None:
        if not is_speakable(utterance.text):
            return "no text"
        try:
            length = len(tokenizer.encode(utterance.text, utterance.language))
        except TextError as error:
            return str(error).rstrip(".")
        return f"text too long: {length} tokens" if length > limit else None

    usable, report = screen_corpus(folder, found, store, text_problem, max_frames)
    logger.info("%s", report)
    return Corpus(usable, store, tokenizer), tokenizer, report


def _load_array(path: Path) -> np.ndarray | None:
    """A cached array, or None where there is none or it is damaged."""
    if not path.is_file():
        return None
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        logger.warning("the cached embedding %s is damaged; computing it again", path)
        return None
