"""A text in letters or phonemes, each word in one or the other (Ping et al. 2018, Deep Voice 3).

A model that has met both speaks plain letters, and as it is told where phonemes are given.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from myxtts.data.alignment import boundaries, by_word, token_ends, word_seconds
from myxtts.data.formats import Utterance
from myxtts.text.phonemes import token
from myxtts.text.tokenizer import VoiceBpeTokenizer

# Words of a corpus come again and again.
_WORDS = 1 << 16


@dataclass(frozen=True)
class Piece:
    """Some words in one writing, the space behind them included.

    Attributes:
        ids: of the vocabulary.
        seconds: that each id takes; nothing where it is not known.
    """

    ids: list[int]
    seconds: list[float]


class Readings:
    """All ways to read an utterance; one without ``word_phonemes`` has letters alone.

    Args:
        utterance: what is read.
        tokenizer: its vocabulary has phonemes if ``phoneme_share`` is above 0.
        phoneme_share: mean share of the words that are phonemes.

    Attributes:
        ids: int32 ``(ids,)``, in letters alone.
        ends: when each of them has been spoken, seconds float64 ``(ids,)``, or None.
        longest: most ids that a reading has.

    Raises:
        TextError: a phoneme is none of the vocabulary.
    """

    def __init__(self, utterance: Utterance, tokenizer: VoiceBpeTokenizer, phoneme_share: float):
        self.share = phoneme_share if utterance.word_phonemes else 0.0
        if not self.share:
            self.ids = np.array(tokenizer.encode(utterance.text, utterance.language), "int32")
            self.ends = token_ends(utterance, tokenizer) if utterance.durations else None
            self.longest = len(self.ids)
            return
        pairs = list(_pairs(utterance, tokenizer))
        opening = tokenizer.language_id(utterance.language)
        self._set([(Piece([opening], [0.0]),) * 2, *pairs], timed=bool(utterance.durations))
        self.longest = sum(max(len(piece.ids) for piece in pair) for pair in pairs)
        self.ids, self.ends = self._reading(np.zeros(len(pairs) + 1, bool))

    def _set(self, pairs: list[tuple[Piece, Piece]], timed: bool) -> None:
        """All pieces one behind the other, so that a draw is a choice among their ids."""
        pieces = [piece for pair in pairs for piece in pair]
        sizes = [len(piece.ids) for piece in pieces]
        number = np.repeat(np.arange(len(pieces), dtype="int32"), sizes)
        self._ids = np.array([number for piece in pieces for number in piece.ids], "int32")
        self._steps = np.array([step for piece in pieces for step in piece.seconds])
        self._steps = self._steps if timed else None
        self._words, self._sounds = (number // 2).astype("int16"), number % 2 == 1

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        """Text ids int32 ``(ids,)`` and when each has been spoken, seconds float64 ``(ids,)``.

        The share of phonemes in an utterance has a beta distribution that likes both ends: whole
        sentences of letters and whole sentences of phonemes are common.
        """
        if not self.share:
            return self.ids, self.ends
        own = 1.0 if self.share == 1 else rng.beta(self.share, 1 - self.share)
        return self._reading(np.append(False, rng.random(int(self._words[-1])) < own))

    def spoken(self) -> tuple[np.ndarray, np.ndarray | None]:
        """As of :meth:`draw`, in phonemes wherever they are known."""
        if not self.share:
            return self.ids, self.ends
        return self._reading(np.append(False, np.ones(int(self._words[-1]), bool)))

    def _reading(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """As of :meth:`draw`, phonemes for the ``chosen`` words; the first is the language."""
        # Behind the last word is no space.
        kept = np.flatnonzero(chosen[self._words] == self._sounds)[:-1]
        return self._ids[kept], None if self._steps is None else np.cumsum(self._steps[kept])


def _pairs(utterance: Utterance, tokenizer: VoiceBpeTokenizer) -> Iterator[tuple[Piece, Piece]]:
    """Letters and phonemes of each group of words that can be told apart in both."""
    words, seconds = utterance.text.split(), word_seconds(utterance)
    timed = by_word(utterance) if utterance.timed_phonemes else None

    def clean(some) -> str:
        return tokenizer.clean(" ".join(some), utterance.language)

    text = clean(words)
    first_word = first_letter = 0
    for word, end in boundaries(words, text, clean):
        own = slice(first_word, word)
        total = sum(seconds[own]) if seconds else 0.0
        letters = _letters(text[first_letter:end].strip(), total, tokenizer)
        spoken = " ".join(utterance.word_phonemes[own])
        steps = [step for part in timed[own] for step in part] if timed else None
        sounds = _phonemes(spoken, steps, total, tokenizer)
        # What has no sound, a dash say, stays as it is written.
        yield letters, sounds if len(sounds.ids) > 1 else letters
        first_word, first_letter = word, end


def _letters(text: str, seconds: float, tokenizer: VoiceBpeTokenizer) -> Piece:
    """A piece whose letters share its time evenly; spaces have none."""
    ids, spans = _spelled(tokenizer, text)
    sizes = [sum(not letter.isspace() for letter in text[first:end]) for first, end in spans]
    step = seconds / max(sum(sizes), 1)
    return Piece([*ids, tokenizer.space_id], [size * step for size in sizes] + [0.0])


def _phonemes(
    phonemes: str, steps: Iterable[float] | None, seconds: float, tokenizer: VoiceBpeTokenizer
) -> Piece:
    """A piece that keeps the time of each phoneme, ``steps``, else shares out its ``seconds``.

    A mark without a token leaves its time to what comes after it.
    """
    signs = [token(symbol, tokenizer.phonemes) for symbol in phonemes]
    ids, _ = _spelled(tokenizer, "".join(signs))
    if steps is None:
        return Piece([*ids, tokenizer.space_id], [seconds / max(len(ids), 1)] * len(ids) + [0.0])
    # The last word of a text has no space behind it.
    steps = [*steps, 0.0][: len(signs) + 1]
    spoken, waiting = [], 0.0
    for sign, step in zip([*signs, " "], steps, strict=True):
        waiting += step
        if sign:
            spoken.append(waiting)
            waiting = 0.0
    return Piece([*ids, tokenizer.space_id], spoken)


@functools.lru_cache(_WORDS)
def _spelled(tokenizer: VoiceBpeTokenizer, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    return tokenizer.pieces(text)
