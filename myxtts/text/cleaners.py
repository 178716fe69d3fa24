"""Text as it is read aloud: numbers, currency, abbreviations and symbols as words.

The order of the steps and their readings follow XTTS-v2's cleaner (Coqui), so
that a text meets the same tokens there and here.
"""

from __future__ import annotations

import functools
import re

from num2words import num2words

from myxtts.text.languages import LANGUAGES, Language

_CURRENCIES = {"£": "GBP", "$": "USD", "€": "EUR"}
_LARGEST_SPOKEN = 10**30


def clean_text(text: str, language: str) -> str:
    """Lower-case ``text`` and spell out what is not letters.

    Args:
        text: any text.
        language: code such as ``en``; one without a table only gets lower case and spaces.
    """
    text = text.replace('"', "").lower()
    table = LANGUAGES.get(language)
    if table is not None:
        text = _expand_numbers(text, table, language)
        text = _expand_abbreviations(text, language)
        for symbol, reading in table.symbols.items():
            text = text.replace(symbol, f" {reading} ")
    return re.sub(r"\s+", " ", text).strip()


def is_speakable(text: str) -> bool:
    """Whether ``text`` holds a letter or a digit: punctuation and emoji alone say nothing."""
    return any(character.isalnum() for character in text)


def _expand_abbreviations(text: str, language: str) -> str:
    for pattern, reading in _abbreviation_patterns(language):
        text = pattern.sub(reading, text)
    return text


@functools.cache
def _abbreviation_patterns(language: str) -> list[tuple[re.Pattern, str]]:
    table = LANGUAGES[language]
    return [
        (re.compile(rf"\b{re.escape(short)}\."), reading)
        for short, reading in table.abbreviations.items()
    ]


def _expand_numbers(text: str, table: Language, language: str) -> str:
    thousands = re.escape(table.thousands)
    grouped = rf"\b\d{{1,3}}(?:{thousands}\d{{3}})+(?=\D|$)"
    text = re.sub(grouped, lambda match: match[0].replace(table.thousands, ""), text)
    for symbol, code in _CURRENCIES.items():
        sign = re.escape(symbol)
        amount = rf"{sign}[0-9.,]*[0-9]+|[0-9.,]*[0-9]+{sign}"
        text = re.sub(amount, functools.partial(_speak_currency, code, table, language), text)
    text = re.sub(
        r"\d+[.,]\d+", lambda match: _speak(float(match[0].replace(",", ".")), language), text
    )
    if table.ordinal:
        text = re.sub(table.ordinal, lambda match: _speak(int(match[1]), language, "ordinal"), text)
    return re.sub(r"[0-9]+", lambda match: _speak(int(match[0]), language), text)


def _speak_currency(code: str, table: Language, language: str, match: re.Match) -> str:
    digits = re.sub(r"[^\d.]", "", match[0].replace(",", "."))
    try:
        amount = float(digits)
        spoken = num2words(amount, to="currency", currency=code, lang=language)
    except (ValueError, NotImplementedError, OverflowError):
        # Not a number after all ("$1.2.3"): the symbol and the numbers are read one by one.
        return match[0]
    if amount.is_integer():
        whole, joined, _ = spoken.rpartition(table.cents_join)
        return whole if joined else spoken
    return spoken


def _speak(number: float | int, language: str, form: str = "cardinal") -> str:
    if abs(number) >= _LARGEST_SPOKEN:
        # Nobody says such a number as one; digit by digit is what people do.
        return " ".join(num2words(int(digit), lang=language) for digit in str(int(number)))
    return num2words(number, lang=language, to=form)
