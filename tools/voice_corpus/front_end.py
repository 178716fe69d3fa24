"""How a text is read: its phonemes, word by word, by hibari-tts' lexicon (misaki's alphabet)."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from myxtts.errors import WeightsError

PACKAGE = "hibari-tts==0.2.1"
INSTALL = "pip install -r requirements-voice.txt"
_NO_NUMERAL = re.compile(r"(?<= )(?:the zeroth|0) ?(?=[A-Z])")
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


def hibari(module: str = "hibari"):
    """hibari-tts or a module of it.

    Raises:
        WeightsError: it is not installed, or is another version than the one tried.
    """
    name, wanted = PACKAGE.split("==")
    try:
        found = importlib.metadata.version(name)
        if found == wanted:
            return importlib.import_module(module)
        reason = f"this is version {found}"
    except ImportError as error:  # also of a package that is not there
        reason = str(error)
    raise WeightsError(f"the speech needs {PACKAGE} ({reason}); run: {INSTALL}")


def read(text: str) -> Reading | None:
    """Phonemes of ``text``; None where a word has none, or where it is too long."""
    spoken, phonemes = _spoken(text)
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

    Words that are written as they are spoken hold the others in place: of "3 May" and
    "the third of May" the number gets the first three. None where that leaves a word over.
    """
    given: list[list[str]] = [[] for _ in written]
    matcher = difflib.SequenceMatcher(None, written, spoken, autojunk=False)
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


def _spoken(text: str) -> tuple[list[str], list[str]]:
    """Words as hibari's normaliser writes them out, and the phonemes of each."""
    tokens = _g2p().phonemize_tokens(_g2p().tokenize(normalised(text)))
    words, phonemes = [""], [""]
    for token in tokens:
        words[-1] += token.text
        phonemes[-1] += _known(token.phonemes or "")
        if token.whitespace:
            words.append("")
            phonemes.append("")
    pairs = [(word, sound.strip()) for word, sound in zip(words, phonemes, strict=True) if word]
    return [word for word, _ in pairs], [sound for _, sound in pairs]


def _known(phonemes: Iterable[str]) -> str:
    return "".join(symbol for symbol in phonemes if symbol in vocabulary())


@functools.cache
def vocabulary() -> dict[str, int]:
    """Ids of the phonemes, Kokoro's own; 0 is the pad at both ends."""
    path = Path(hibari().__file__).parent / "assets" / "vocab.json"
    return json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def _g2p():
    return hibari("hibari.g2p").G2P()


def normalised(text: str) -> str:
    """Numbers, dates, times and abbreviations written out.

    hibari-tts 0.2.1 takes the start of a capitalised word for a Roman number of value 0:
    "Henry Crawford" would be "Henry the zeroth Crawford", "Part Ludo" "Part 0 Ludo".
    """
    return _NO_NUMERAL.sub("", hibari("hibari.g2p.normalize").normalize(text))
