"""Who says what: every clip of a corpus by its number, the same in each run."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tools.voice_corpus.kokoro_speech import KokoroSpeaker
from tools.voice_corpus.recordings import RecordedSpeaker, Recording, Recordings
from tools.voice_corpus.settings import VoiceCorpusConfig
from tools.voice_corpus.speakers import PseudoSpeaker
from tools.voice_corpus.texts import key

Speaker = PseudoSpeaker | KokoroSpeaker
SPEAKING = ("hibari", "kokoro")  # kinds that say as much as is wanted
RECORDED = "recordings"
KINDS = (*SPEAKING, RECORDED)
NEW_SPEAKERS = 0.05  # share of the speakers that only validation hears
SLOWEST, FASTEST = 0.92, 1.08  # pace of a clip, on top of its speaker's


@dataclass(frozen=True)
class Clip:
    """One clip to be made."""

    text: str
    speaker: Speaker
    pace: float
    number: int


@dataclass(frozen=True)
class Plan:
    """Everything that decides how the clips will be.

    Attributes:
        config: settings.
        texts: by ``train`` and ``val``.
        speakers: of each kind, the last of them for validation only.
        voices: folder or archive of Kokoro's voices; None without them.
        recordings: of real people.
        held_out: keys of sentences that no recording may say.
    """

    config: VoiceCorpusConfig
    texts: dict[str, list[str]]
    speakers: dict[str, Sequence[Speaker | RecordedSpeaker]]
    voices: Path | None = None
    recordings: Recordings = Recordings()
    held_out: frozenset[str] = frozenset()
    _others: dict = field(default_factory=dict, compare=False, repr=False)
    _orders: dict = field(default_factory=dict, compare=False, repr=False)

    def hours(self, kind: str, part: str) -> float:
        """Hours of speech that this part of the corpus is to have."""
        config = self.config
        total = config.hours if kind == "hibari" else config.kokoro_hours
        return total * (config.val_share if part == "val" else 1 - config.val_share)

    def tempos(self, kind: str) -> tuple[float, ...]:
        """How fast the copies of this kind's clips are played; empty without copies."""
        config = self.config
        found = {"kokoro": config.kokoro_tempos, RECORDED: config.recording_tempos}
        return found.get(kind, ())

    def recorded(self, part: str, shard: int) -> list[tuple[int, Recording]]:
        """Recordings of a shard, numbered."""
        size, found = self.config.shard_clips, self.recordings.parts[part]
        return list(enumerate(found))[shard * size : (shard + 1) * size]

    def recorded_shards(self, part: str) -> int:
        """Shards that hold all recordings of a part."""
        return math.ceil(len(self.recordings.parts.get(part, ())) / self.config.shard_clips)

    def may_be_said(self, text: str, part: str) -> bool:
        """Whether a recording of a part may say ``text``, which no test and no other part has."""
        said = key(text)
        return said not in self.held_out and said not in self._keys(part)

    def _keys(self, part: str) -> frozenset[str]:
        """Of the texts that the other part has."""
        if part not in self._others:
            texts = self.texts["val" if part == "train" else "train"]
            self._others[part] = frozenset(map(key, texts))
        return self._others[part]

    def speakers_of(self, kind: str, part: str) -> Sequence[Speaker]:
        """Who speaks in a part: validation has new speakers and as many known ones."""
        everybody = self.speakers[kind]
        new = math.ceil(NEW_SPEAKERS * len(everybody))
        return everybody[:-new] if part == "train" else everybody[-2 * new :]

    def clips(self, kind: str, part: str, shard: int) -> list[Clip]:
        """Clips of a shard; when all texts were said, they are said again by others."""
        size = self.config.shard_clips
        return [self._clip(kind, part, shard * size + k) for k in range(size)]

    def rng(self, kind: str, part: str, number: int) -> np.random.Generator:
        """Chance of one clip."""
        return np.random.default_rng([self.config.seed, _stream(kind, part), number])

    def _clip(self, kind: str, part: str, number: int) -> Clip:
        rng, speakers = self.rng(kind, part, number), self.speakers_of(kind, part)
        turn, place = divmod(number, len(self.texts[part]))
        text = self.texts[part][self._order(kind, part, turn)[place]]
        speaker = speakers[rng.integers(len(speakers))]
        return Clip(text, speaker, float(rng.uniform(SLOWEST, FASTEST)), number)

    def _order(self, kind: str, part: str, turn: int) -> np.ndarray:
        """Order in which the texts of a part are said the ``turn``-th time."""
        which = (kind, part, turn)
        if which not in self._orders:
            rng = np.random.default_rng([self.config.seed, _stream(kind, part), turn, 1])
            self._orders[which] = rng.permutation(len(self.texts[part]))
        return self._orders[which]


def _stream(kind: str, part: str) -> int:
    return zlib.crc32(f"{kind} {part}".encode())
