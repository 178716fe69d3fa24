"""Texts as ids of single characters: the text side of RTVC's synthesizer.

The cleaner and its order are those of the Tacotron recipes; text in braces is ARPAbet, whose
symbols count where the list of symbols has them with an ``@`` before. Text in brackets is phonemes,
where the list has those of :mod:`myxtts.text.phonemes`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from myxtts.errors import ConfigError, TextError
from myxtts.settings import nearest
from myxtts.text.english_numbers import expand_numbers
from myxtts.text.languages import LANGUAGES
from myxtts.text.phonemes import STRETCH, TOKENS, token
from myxtts.text.transliteration import to_ascii

PAD, END = "_", "~"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# 66 of them; the id is the place.
SYMBOLS = (PAD, END, *LETTERS, *"!'\"(),-.:;? ")
# Letters and phonemes, for a corpus that knows both.
PHONEME_SYMBOLS = (*SYMBOLS, *TOKENS.values())
# The same words as XTTS reads.
ABBREVIATIONS = LANGUAGES["en"].abbreviations
_ABBREVIATED = re.compile(rf"\b({'|'.join(ABBREVIATIONS)})\.", re.IGNORECASE)
_BRACES = re.compile(r"\{(.+?)\}")


def english_cleaners(text: str) -> str:
    """ASCII, lower case, numbers and abbreviations in words, single blanks."""
    text = expand_numbers(to_ascii(text).lower())
    text = _ABBREVIATED.sub(lambda match: ABBREVIATIONS[match[1].lower()], text)
    return _single_blanks(text)


def transliteration_cleaners(text: str) -> str:
    """ASCII, lower case, single blanks."""
    return _single_blanks(to_ascii(text).lower())


def basic_cleaners(text: str) -> str:
    """Lower case, single blanks."""
    return _single_blanks(text.lower())


def _single_blanks(text: str) -> str:
    return re.sub(r"\s+", " ", text)


CLEANERS = {
    function.__name__: function
    for function in (english_cleaners, transliteration_cleaners, basic_cleaners)
}


class SymbolTokenizer:
    """Text to ids and back.

    Args:
        symbols: the id of each is its place; the first is the padding and one is ``~``.
        cleaners: names in ``CLEANERS``, in their order.

    Raises:
        ConfigError: a symbol stands twice, ``~`` is missing, or there is no such cleaner.
    """

    def __init__(
        self, symbols: Sequence[str] = SYMBOLS, cleaners: Sequence[str] = ("english_cleaners",)
    ):
        self.symbols, self.cleaners = tuple(symbols), tuple(cleaners)
        self.ids = {symbol: place for place, symbol in enumerate(self.symbols)}
        self.phonemes = {sign: own for sign, own in TOKENS.items() if own in self.ids}
        if len(self.ids) != len(self.symbols):
            twice = next(item for item in self.symbols if self.symbols.count(item) > 1)
            raise ConfigError(f"the list of symbols has {twice!r} twice.")
        if END not in self.ids or self.ids[END] == 0:
            raise ConfigError(f"the list of symbols needs the end mark {END!r} behind the padding.")
        for name in self.cleaners:
            if name not in CLEANERS:
                raise ConfigError(f"no text cleaner {name!r}{nearest(name, CLEANERS)}.")

    def __len__(self) -> int:
        return len(self.symbols)

    def clean(self, text: str) -> str:
        """What the cleaners make of ``text``."""
        for name in self.cleaners:
            text = CLEANERS[name](text)
        return text

    def encode(self, text: str) -> list[int]:
        """Ids of ``text`` and of the end mark; characters that are no symbols are left out.

        Raises:
            TextError: nothing of a text that is not empty is a symbol, or what is in brackets is
                no phoneme.
        """
        text = text.strip()
        kept = [item for item in self._spelt(text) if item in self.ids and self._is_of_text(item)]
        if text and not any(item.strip() for item in kept):
            raise TextError(f"nothing of the text {text[:40]!r} is among the symbols.")
        return [self.ids[item] for item in [*kept, END]]

    def decode(self, ids: Sequence[int]) -> str:
        """The symbols of ids, the end mark included."""
        return "".join(self.symbols[place] for place in ids)

    def _spelt(self, text: str) -> list[str]:
        """Symbols in their order: of brackets the phonemes, of all else the characters."""
        if not self.phonemes:
            return self._characters(text)
        spelt: list[str] = []
        for number, part in enumerate(STRETCH.split(text)):
            sounds = (token(sign, self.phonemes) for sign in part) if number % 2 else ()
            spelt += sounds if number % 2 else self._characters(part)
        return spelt

    def _characters(self, text: str) -> list[str]:
        """Symbols in their order: characters outside of braces, ARPAbet within them."""
        spelt: list[str] = []
        for number, part in enumerate(_BRACES.split(text)):
            arpabet = [f"@{sound}" for sound in part.split()]
            spelt += arpabet if number % 2 else self.clean(part)
        return spelt

    def _is_of_text(self, symbol: str) -> bool:
        return symbol not in (self.symbols[0], END)


def read_symbols(text: str) -> tuple[str, ...]:
    """A list of symbols, one a line; a line of one blank is the blank.

    Raises:
        ConfigError: there are none.
    """
    symbols = tuple(line for line in text.split("\n") if line)
    if not symbols:
        raise ConfigError("the list of symbols is empty.")
    return symbols
