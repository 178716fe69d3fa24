"""Front-ends: a text of letters becomes one of phonemes in brackets, as models of phonemes want.

The one there is now reads with hibari-tts' lexicon, tagger and rules, in misaki's alphabet, with
no program of the system and no network; numbers, dates, money and unknown words are read too.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import re
from collections.abc import Callable
from pathlib import Path

from myxtts.errors import ConfigError, WeightsError
from myxtts.text.languages import base_language
from myxtts.text.phonemes import STRETCH, signs, words_apart
from myxtts.text.tokenizer import VoiceBpeTokenizer

HIBARI = "hibari-tts==0.2.1"
# A dash is a pause, which training has as a comma behind a word.
_DASH = re.compile(r"\s*[—–]\s*")
_NO_NUMERAL = re.compile(r"(?<= )(?:the zeroth|0) ?(?=[A-Z])")


class Reader:
    """A tokenizer that reads letters by way of a front-end, see :func:`in_phonemes`.

    Args:
        tokenizer: of the model.
        front_end: a key of ``FRONT_ENDS``, or ``none``.

    Raises:
        ConfigError: the vocabulary has no phonemes.
        WeightsError: the front-end's package is not installed; the sentence says how to get it.
    """

    def __init__(self, tokenizer: VoiceBpeTokenizer, front_end: str = "none"):
        self.tokenizer, self.front_end = tokenizer, front_end
        if front_end == "none":
            return
        if not tokenizer.has_phonemes:
            raise ConfigError(
                f"synthesis.front_end {front_end} gives phonemes, and this model's vocabulary has "
                "letters only; give --front-end none."
            )
        in_phonemes("ready", "en", front_end)

    def encode(self, text: str, language: str) -> list[int]:
        """Ids of ``text``, see :meth:`~myxtts.text.tokenizer.VoiceBpeTokenizer.encode`."""
        return self.tokenizer.encode(self.in_phonemes(text, language), language)

    def count(self, text: str, language: str) -> int:
        """How many ids :meth:`encode` gives."""
        return self.tokenizer.count(self.in_phonemes(text, language), language)

    def language_token(self, language: str) -> str:
        """The tokenizer's."""
        return self.tokenizer.language_token(language)

    def prepared(self, text: str) -> str:
        """``text`` as it may be cut into pieces: at any space, outside of brackets."""
        return words_apart(text) if self.tokenizer.has_phonemes else text

    def in_phonemes(self, text: str, language: str) -> str:
        """See :func:`in_phonemes`."""
        return in_phonemes(text, language, self.front_end)


def in_phonemes(text: str, language: str, front_end: str) -> str:
    """``text`` with all its words in brackets.

    Stretches in brackets, and languages that the front-end does not know, stay as they are.

    >>> in_phonemes("Say [hˈɛɹiət] now.", "en", "hibari")
    '[sˈA] [hˈɛɹiət] [nˈW.]'

    Args:
        text: any text.
        language: code of its language.
        front_end: a key of ``FRONT_ENDS``, or ``none``, which changes nothing.

    Raises:
        WeightsError: the front-end's package is not installed; the sentence says how to get it.
    """
    if front_end == "none":
        return text
    read, languages = FRONT_ENDS[front_end]
    return _outside(text, read) if base_language(language) in languages else text


def _outside(text: str, read: Callable[[str], str]) -> str:
    """``text`` whose parts outside of brackets have been read."""
    parts, place = [], 0
    for found in [*STRETCH.finditer(text), None]:
        plain = text[place : found.start() if found else len(text)]
        parts.append(_bracketed(plain, read))
        if found:
            parts.append(found[0])
            place = found.end()
    return "".join(parts)


def _bracketed(text: str, read: Callable[[str], str]) -> str:
    """One stretch in brackets, the blanks around it kept."""
    words = text.strip()
    if not words:
        return text
    spoken = _DASH.sub(", ", read(words))
    phonemes = "".join(sign for sign in spoken if sign.isspace() or sign in signs()).strip()
    before, behind = (" " if edge.isspace() else "" for edge in (text[0], text[-1]))
    return f"{before}[{phonemes}]{behind}" if phonemes else text


def read_by_hibari(text: str) -> str:
    """Phonemes of an English text, words apart.

    Raises:
        WeightsError: hibari-tts is not installed, or is another version than the one tried.
    """
    g2p = hibari_g2p()
    return " ".join(phonemes for _, phonemes in spoken_words(g2p, text))


FRONT_ENDS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "hibari": (read_by_hibari, ("en",))
}


def hibari(module: str = "hibari"):
    """hibari-tts or a module of it.

    Raises:
        WeightsError: it is not installed, or is another version than the one tried.
    """
    name, wanted = HIBARI.split("==")
    try:
        found = importlib.metadata.version(name)
        if found == wanted:
            return importlib.import_module(module)
        reason = f"this is version {found}"
    except ImportError as error:  # also of a package that is not there
        reason = str(error)
    raise WeightsError(
        f"reading letters as phonemes needs {HIBARI} ({reason}); run: pip install {HIBARI}, or "
        "speak from letters by --front-end none."
    )


@functools.cache
def hibari_g2p():
    """hibari-tts' reader of American English."""
    return hibari("hibari.g2p").G2P()


@functools.cache
def hibari_vocabulary() -> dict[str, int]:
    """Ids of hibari-tts' phonemes, Kokoro's own; 0 is the pad at both ends."""
    path = Path(hibari().__file__).parent / "assets" / "vocab.json"
    return json.loads(path.read_text(encoding="utf-8"))


def spoken_words(g2p, text: str) -> list[tuple[str, str]]:
    """Words as hibari's normaliser writes them out, each with its phonemes."""
    words, phonemes = [""], [""]
    for token in g2p.phonemize_tokens(g2p.tokenize(normalised(text))):
        words[-1] += token.text
        phonemes[-1] += "".join(x for x in token.phonemes or "" if x in hibari_vocabulary())
        if token.whitespace:
            words.append("")
            phonemes.append("")
    pairs = zip(words, phonemes, strict=True)
    return [(word, sound.strip()) for word, sound in pairs if word]


def normalised(text: str) -> str:
    """Numbers, dates, times and abbreviations written out.

    hibari-tts 0.2.1 takes the start of a capitalised word for a Roman number of value 0:
    "Henry Crawford" would be "Henry the zeroth Crawford", "Part Ludo" "Part 0 Ludo".
    """
    return _NO_NUMERAL.sub("", hibari("hibari.g2p.normalize").normalize(text))
