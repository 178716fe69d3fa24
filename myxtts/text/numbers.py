"""Numbers, ordinals, decimals and amounts of money as words.

``num2words`` speaks most languages. Where it, and Coqui with it, raises, the reading
here goes on instead: an ordinal it lacks (Czech) is read as a cardinal, a number too
long for it digit by digit, and Hindi by a table of this package.
"""

from __future__ import annotations

import functools
import re

from num2words import num2words

from myxtts.text import chinese_numbers, hindi_numbers
from myxtts.text.languages import LANGUAGES

# In the order in which they are tried; the first failure leaves the rest unread, as in Coqui.
CURRENCIES = {"£": "GBP", "$": "USD", "€": "EUR"}
_GROUPED = {
    ",": re.compile(r"\b\d{1,3}(?:,\d{3})*(?:\.\d+)?\b"),
    # Any character may stand between the groups here, but only dots are taken out.
    ".": re.compile(r"\b\d{1,3}(?:.\d{3})*(?:,\d+)?\b"),
}
# What stands before a run of digits keeps the search from starting anew inside a long one.
_DECIMAL = re.compile(r"(?<![0-9])[0-9]+[.,][0-9]+")
_CARDINAL = re.compile(r"[0-9]+")


def expand_numbers(text: str, language: str) -> str:
    """Spell out every number of ``text``; ``language`` is one of ``LANGUAGES``."""
    if language == "zh":
        return chinese_numbers.expand_numbers(text)
    if language == "hi":
        text = hindi_numbers.expand_numbers(text)
    table = LANGUAGES[language]
    mark = table.thousands
    text = _GROUPED[mark].sub(lambda match: match[0].replace(mark, ""), text)
    text = _expand_currencies(text, language)
    if table.speaks_decimals:
        text = _DECIMAL.sub(functools.partial(_speak_decimal, language), text)
    if table.ordinal:
        ordinal = f"(?<![0-9]){table.ordinal}"
        text = re.sub(ordinal, functools.partial(_speak_ordinal, language), text)
    return _CARDINAL.sub(lambda match: read_cardinal(match[0], language), text)


def _expand_currencies(text: str, language: str) -> str:
    for symbol, code in CURRENCIES.items():
        sign = re.escape(symbol)
        amount = rf"{sign}[0-9.,]*[0-9]|(?<![0-9.,])[0-9.,]*[0-9]{sign}"
        try:
            text = re.sub(amount, functools.partial(_speak_currency, code, language), text)
        except Exception:  # num2words raises anything for a currency that it lacks
            return text
    return text


def _speak_currency(code: str, language: str, match: re.Match) -> str:
    return read_money(float(re.sub(r"[^\d.]", "", match[0].replace(",", "."))), code, language)


def read_money(amount: float, code: str, language: str) -> str:
    """An amount of a currency (``USD``), cents included if there are any.

    Raises:
        Exception: any, where ``num2words`` lacks the currency.
    """
    spoken = num2words(amount, to="currency", currency=code, lang=language)
    if amount.is_integer():
        # Drops the cents. Where there are none it drops what it should not, as in Coqui, whose
        # ids are wanted: the Portuguese "vinte e um euros" becomes "vinte".
        whole, joined, _ = spoken.rpartition(LANGUAGES[language].cents_join)
        return whole if joined else spoken
    return spoken


def _speak_decimal(language: str, match: re.Match) -> str:
    try:
        return read_decimal(match[0], language)
    except Exception:  # too long for it: the parts are read one by one
        return match[0]


def read_decimal(digits: str, language: str) -> str:
    """A number such as ``1.5`` or ``1,5``.

    Raises:
        Exception: any, where ``num2words`` cannot read it.
    """
    return num2words(float(digits.replace(",", ".")), lang=language)


def _speak_ordinal(language: str, match: re.Match) -> str:
    try:
        return num2words(int(match[1]), lang=language, to="ordinal")
    except Exception:
        # At the end the dot of a Czech "20." is the sentence's rather than the ordinal's.
        ends = match[0].endswith(".") and not match.string[match.end() :].strip()
        return match[0] if ends else read_cardinal(match[1], language)


def read_cardinal(digits: str, language: str) -> str:
    """The number that ``digits`` write; digit by digit if it is too long for ``num2words``."""
    try:
        return num2words(int(digits), lang=language)
    except Exception:
        return " ".join(num2words(int(digit), lang=language) for digit in digits)
