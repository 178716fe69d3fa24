"""Letters of other scripts in ASCII, as the texts of English recipes are written."""

from __future__ import annotations

import importlib
import logging
import unicodedata
from functools import cache

logger = logging.getLogger(__name__)

_SIGNS = {
    "‘": "'", "’": "'", "‚": ",", "“": '"', "”": '"', "„": ",,", "«": "<<", "»": ">>",
    "–": "-", "—": "--", "‐": "-", "‑": "-", "―": "--", "−": "-", "…": "...", "•": "*",
    "£": "PS", "€": "EUR", "¥": "Y=", "©": "(c)", "®": "(r)", "°": "deg", "×": "x", "¿": "?",
    "¡": "!", "\u00a0": " ", "\u200b": " ", "\ufeff": "", "§": "SS", "·": "*", "№": "No. ",
}  # fmt: skip
_LETTERS = {
    "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d",
    "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ł": "l", "Ł": "L", "ı": "i",
}  # fmt: skip
_CYRILLIC = dict(
    zip(
        "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
        [
            "a",
            "b",
            "v",
            "g",
            "d",
            "e",
            "zh",
            "z",
            "i",
            "i",
            "k",
            "l",
            "m",
            "n",
            "o",
            "p",
            "r",
            "s",
            "t",
            "u",
            "f",
            "kh",
            "ts",
            "ch",
            "sh",
            "shch",
            "'",
            "y",
            "'",
            "e",
            "iu",
            "ia",
            "io",
        ],
        strict=True,
    )
)


@cache
def _table() -> dict[int, str]:
    upper = {letter.upper(): word.capitalize() for letter, word in _CYRILLIC.items()}
    return str.maketrans(_SIGNS | _LETTERS | _CYRILLIC | upper)


def to_ascii(text: str) -> str:
    """``text`` in ASCII: signs, Latin and Cyrillic letters of itself.

    Other scripts need ``Unidecode``; without it their letters are left out, and the log says so.
    """
    if text.isascii():
        return text
    text = text.translate(_table())
    text = "".join(
        letter
        for character in text
        for letter in unicodedata.normalize("NFKD", character)
        if not unicodedata.combining(letter)
    )
    if text.isascii():
        return text
    try:
        return importlib.import_module("unidecode").unidecode(text)
    except ImportError:
        lost = "".join(sorted({letter for letter in text if not letter.isascii()}))
        told = "letters left out of a text: %s; pip install Unidecode writes them in ASCII"
        logger.warning(told, lost[:40])
        return text.encode("ascii", "ignore").decode()
