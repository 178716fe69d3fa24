"""Phonemes in a text: ``[hˈɛɹiət]``, in the alphabet of misaki, which is Kokoro's.

Letters and phonemes share signs and mean different sounds by them, so inside a vocabulary each
phoneme is a private-use character of its own. Punctuation and spaces are the same in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from myxtts.errors import TextError

# Only ever to be added to at its end: the places are in people's vocabularies.
ALPHABET = "AIOQTWYabdefhijklmnoprstuvwxzæðŋɐɑɒɔəɚɛɜɡɪɫɹɾʃʊʌʒʔʤʧʰˈˌːθᵊᵻ"
_FIRST = 0xE000  # of the private-use characters
TOKENS = {symbol: chr(_FIRST + place) for place, symbol in enumerate(ALPHABET)}
_SYMBOLS = {token: symbol for symbol, token in TOKENS.items()}
# What misaki leaves of a text's punctuation, in signs that every vocabulary has.
_MARKS = {sign: sign for sign in ".,!?-;:"} | {"—": ",", "…": "."} | dict.fromkeys('"“”()', "")
STRETCH = re.compile(r"\[([^\[\]]*)\]")
_WORDS = re.compile(r"(\S+?)([.,!?;:]*)(?=\s|$)")


def has_phonemes(text: str) -> bool:
    """Whether a stretch of ``text`` is in brackets."""
    return STRETCH.search(text) is not None


def without_brackets(text: str, phonemes: Mapping[str, str] = TOKENS) -> str:
    """``text`` with the vocabulary's characters for each bracketed phoneme.

    Args:
        text: any text.
        phonemes: symbols that the vocabulary knows, and their characters.

    Raises:
        TextError: a symbol in brackets is no phoneme; the sentence names it.
    """
    return STRETCH.sub(lambda found: "".join(token(symbol, phonemes) for symbol in found[1]), text)


def with_brackets(text: str) -> str:
    """The opposite of :func:`without_brackets`, word by word."""
    stretches = re.compile(f"[{''.join(_SYMBOLS)}]+")
    return stretches.sub(lambda found: f"[{''.join(_SYMBOLS[sign] for sign in found[0])}]", text)


def token(symbol: str, phonemes: Mapping[str, str] = TOKENS) -> str:
    """The character of a phoneme or of punctuation beside it; nothing for a quotation mark.

    Args:
        symbol: one sign within brackets.
        phonemes: as of :func:`without_brackets`.

    Raises:
        TextError: it is neither.
    """
    if symbol in phonemes:
        return phonemes[symbol]
    if symbol.isspace():
        return " "
    if symbol not in _MARKS:
        raise TextError(f"{symbol!r} in brackets is no phoneme; known are {''.join(phonemes)}.")
    return _MARKS[symbol]


def signs(phonemes: Mapping[str, str] = TOKENS) -> dict[str, str]:
    """Everything but blanks that may stand in brackets, and what :func:`token` makes of it."""
    return _MARKS | dict(phonemes)


def words_apart(text: str) -> str:
    """``text`` with brackets around each word of phonemes, marks behind it outside: the same ids.

    A text may then be cut at any space, and its sentences can be told.

    >>> words_apart("[hˈɛɹiət. hˈW] are you")
    '[hˈɛɹiət]. [hˈW] are you'
    """

    def apart(found: re.Match) -> str:
        return _WORDS.sub(r"[\1]\2", "".join(_MARKS.get(sign, sign) for sign in found[1]))

    return STRETCH.sub(apart, text)
