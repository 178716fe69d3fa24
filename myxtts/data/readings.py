"""A text read in letters or phonemes, each word in one or the other.

So does Deep Voice 3 (Ping et al. 2018). A model that has met both speaks plain letters, and as it
is told where phonemes are given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from myxtts.data.alignment import boundaries, by_word, token_ends, word_seconds
from myxtts.data.formats import Utterance
from myxtts.errors import DataError
from myxtts.text.phonemes import token
from myxtts.text.tokenizer import VoiceBpeTokenizer


@dataclass(frozen=True)
class Piece:
    """Some words in one writing.

    Attributes:
        ids: int32 ``(ids,)``.
        seconds: that each id takes, float64 ``(ids,)``; None where it is not known.
    """

    ids: np.ndarray
    seconds: np.ndarray | None


class Readings:
    """All ways to read an utterance.

    Args:
        utterance: what is read.
        tokenizer: its vocabulary has phonemes if ``phoneme_share`` is above 0.
        phoneme_share: mean share of the words that are phonemes.

    Attributes:
        ids: int32 ``(ids,)``, in letters alone.
        ends: when each of them has been spoken, seconds float64 ``(ids,)``, or None.
        longest: most ids that a reading has.

    Raises:
        DataError: phonemes are wanted, and the utterance has none word by word.
    """

    def __init__(self, utterance: Utterance, tokenizer: VoiceBpeTokenizer, phoneme_share: float):
        self.share = phoneme_share
        ids = tokenizer.encode(utterance.text, utterance.language)
        ends = token_ends(utterance, tokenizer) if utterance.durations else None
        self.ids, self.ends = np.array(ids, "int32"), ends
        self.longest = len(ids)
        if not phoneme_share:
            return
        if not utterance.word_phonemes:
            raise DataError(
                f"data.phoneme_share needs 'word_phonemes' in metadata.jsonl; {utterance.path} "
                "has none."
            )
        self._opening = np.array(ids[:1], "int32")
        self._space = tokenizer.pieces(" ")[0][0]
        self._choices = list(_choices(utterance, tokenizer))
        sizes = [max(len(piece.ids) for piece in pair) for pair in self._choices]
        self.longest = sum(sizes) + len(sizes)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        """Text ids int32 ``(ids,)`` and when each has been spoken, seconds float64 ``(ids,)``.

        The share of phonemes in an utterance has a beta distribution that likes both ends: whole
        sentences of letters and whole sentences of phonemes are common.
        """
        if not self.share:
            return self.ids, self.ends
        own = 1.0 if self.share == 1 else rng.beta(self.share, 1 - self.share)
        chosen = rng.random(len(self._choices)) < own
        pieces = [pair[int(k)] for pair, k in zip(self._choices, chosen, strict=True)]
        ids = [self._opening]
        for number, piece in enumerate(pieces):
            ids += [piece.ids] if not number else [[self._space], piece.ids]
        return np.concatenate(ids).astype("int32"), _ends(pieces)


def _ends(pieces: list[Piece]) -> np.ndarray | None:
    """The language has no time, and the space before a word that of the one behind the last."""
    if any(piece.seconds is None for piece in pieces):
        return None
    steps = [np.zeros(1)]
    for piece in pieces:
        # The last of a piece's seconds are those of the space behind it.
        steps.append(piece.seconds)
    return np.cumsum(np.concatenate(steps)[:-1])


def _choices(utterance: Utterance, tokenizer: VoiceBpeTokenizer) -> Iterable[tuple[Piece, Piece]]:
    """Letters and phonemes of each group of words that can be told apart in both."""
    words, seconds = utterance.text.split(), word_seconds(utterance)
    timed = by_word(utterance) if utterance.timed_phonemes else None

    def clean(some) -> str:
        return tokenizer.clean(" ".join(some), utterance.language)

    text = clean(words)
    first_word = first_letter = 0
    for word, end in boundaries(words, text, clean):
        own = slice(first_word, word)
        letters = text[first_letter:end].strip()
        total = None if seconds is None else sum(seconds[own])
        sounds = None if timed is None else [value for part in timed[own] for value in part]
        phonemes = " ".join(utterance.word_phonemes[own])
        yield _letters(letters, total, tokenizer), _phonemes(phonemes, sounds, tokenizer)
        first_word, first_letter = word, end


def _letters(text: str, seconds: float | None, tokenizer: VoiceBpeTokenizer) -> Piece:
    """A piece whose letters share its time evenly; the space behind it has none."""
    ids, spans = tokenizer.pieces(text)
    if seconds is None:
        return Piece(np.array(ids, "int32"), None)
    sounding = np.array([not letter.isspace() for letter in text], "float64")
    ends = np.concatenate([[0.0], np.cumsum(sounding * seconds / max(sounding.sum(), 1))])
    steps = [ends[end] - ends[first] for first, end in spans]
    return Piece(np.array(ids, "int32"), np.array([*steps, 0.0]))


def _phonemes(phonemes: str, seconds: list[float] | None, tokenizer: VoiceBpeTokenizer) -> Piece:
    """A piece that keeps the time of each phoneme; that of a sign without a token goes on."""
    signs = [token(symbol) for symbol in phonemes]
    ids = tokenizer.pieces("".join(signs))[0]
    if seconds is None:
        return Piece(np.array(ids, "int32"), None)
    # The last word of a text has no space behind it.
    seconds = [*seconds, 0.0][: len(signs) + 1]
    steps, waiting = [], 0.0
    for sign, value in zip([*signs, " "], seconds, strict=True):
        waiting += value
        if sign:
            steps.append(waiting)
            waiting = 0.0
    return Piece(np.array(ids, "int32"), np.array(steps))
