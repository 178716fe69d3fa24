"""Text as it is read aloud: numbers, currency, abbreviations and symbols as words.

The order of the steps and their readings follow XTTS-v2's cleaner (Coqui), so
that a text meets the same tokens there and here.
"""

from __future__ import annotations

import functools
import re

from myxtts.text.languages import LANGUAGES, base_language, table_of
from myxtts.text.numbers import expand_numbers
from myxtts.text.romanize import to_hangul_letters, to_pinyin, to_romaji

# Languages that are written in letters of another script.
ROMANIZED = ("zh", "ja", "ko")
_ROMANIZERS = {"zh": to_pinyin, "ko": to_hangul_letters}


def clean_text(text: str, language: str) -> str:
    """Lower-case ``text``, spell out what is not letters and write it in the model's script.

    Args:
        text: any text.
        language: code such as ``en``; one without a table only gets lower case and spaces.

    Raises:
        TextError: the package that reads Chinese, Japanese or Korean is missing.
    """
    language = base_language(language)
    # A lone surrogate, as a broken command line gives, is no character of any text.
    text = text.encode("utf-8", "ignore").decode("utf-8")
    if language == "ja":
        return to_romaji(text)
    text = _lower(text.replace('"', ""), language)
    if language in LANGUAGES:
        for step in STEPS:
            text = step(text, language)
    text = re.sub(r"\s+", " ", text).strip()
    return _ROMANIZERS[language](text) if language in _ROMANIZERS else text


def is_speakable(text: str) -> bool:
    """Whether ``text`` holds a letter or a digit: punctuation and emoji alone say nothing."""
    return any(character.isalnum() for character in text)


def expand_abbreviations(text: str, language: str) -> str:
    """Put the full words for the abbreviations of ``language``."""
    for pattern, reading in _abbreviation_patterns(language):
        text = pattern.sub(reading, text)
    return text


def expand_symbols(text: str, language: str) -> str:
    """Put words for the symbols of ``language``."""
    for symbol, reading in LANGUAGES[language].symbols.items():
        text = text.replace(symbol, f" {reading} ")
    return text


# Money must be read before its sign is a word, and a number's dot before it ends a short form.
STEPS = (expand_numbers, expand_abbreviations, expand_symbols)


def _lower(text: str, language: str) -> str:
    # Before the numbers are words, so that German keeps the capitals of "Komma" and "Euro".
    for capital, small in table_of(language).capitals.items():
        text = text.replace(capital, small)
    return text.lower()


@functools.cache
def _abbreviation_patterns(language: str) -> list[tuple[re.Pattern, str]]:
    table = LANGUAGES[language]
    return [
        (re.compile(rf"\b{re.escape(short)}{table.abbreviation_end}", re.IGNORECASE), reading)
        for short, reading in table.abbreviations.items()
    ]
