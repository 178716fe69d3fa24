"""How a text is read: its phonemes, word by word, by hibari-tts' lexicon (misaki's alphabet)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from myxtts.text.front_end import hibari_g2p, spoken_words

INSTALL = "pip install -r requirements-voice.txt"
MOST_PHONEMES = 400  # of one sentence, which is what the teachers take at once


@dataclass(frozen=True)
class Reading:
    """How a text is spoken.

    Attributes:
        text: as it is written.
        words: phonemes of each word of ``text.split()``; "$3.50" has six spoken words.
    """

    text: str
    words: tuple[str, ...]

    @property
    def phonemes(self) -> str:
        """All words with one space between; a space belongs to the word before it."""
        return " ".join(self.words)


def read(text: str) -> Reading | None:
    """Phonemes of ``text``; None where a word has none, or where it is too long."""
    pairs = spoken_words(hibari_g2p(), text)
    spoken, phonemes = [word for word, _ in pairs], [sound for _, sound in pairs]
    if spoken.count("I") != text.split().count("I"):
        return None  # "Henry I agree with" is read as of a king
    words = by_written_word(text.split(), spoken, phonemes)
    if words is None or not all(words):
        return None
    reading = Reading(text, tuple(words))
    return reading if len(reading.phonemes) <= MOST_PHONEMES else None


def by_written_word(
    written: Sequence[str], spoken: Sequence[str], phonemes: Sequence[str]
) -> list[str] | None:
    """Phonemes of the spoken words, given to the written ones.

    Words that are written as they are spoken, but for marks and capitals, hold the others in
    place: of "3 May" and "the third of May" the number gets the first three. None where that
    leaves a word over.
    """
    given: list[list[str]] = [[] for _ in written]
    letters, sounds = map(_letters, written), map(_letters, spoken)
    matcher = difflib.SequenceMatcher(None, list(letters), list(sounds), autojunk=False)
    for _, start, end, first, last in matcher.get_opcodes():
        if start == end:  # spoken only, as the "dollars" of "$5 million": to the word before
            given[max(start - 1, 0)] += phonemes[first:last]
            continue
        if last - first < end - start:
            return None
        # From the back one to one ("7:30 pm" is "seven thirty P.M."), what is left to the first.
        extra = (last - first) - (end - start)
        given[start] += phonemes[first : first + extra]
        for offset in range(end - start):
            given[start + offset].append(phonemes[first + extra + offset])
    return [" ".join(part) for part in given]


def _letters(word: str) -> str:
    """``word`` without marks and capitals; a mark alone stays."""
    return re.sub(r"[\W_]", "", word).lower() or word
