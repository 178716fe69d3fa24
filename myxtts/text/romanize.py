"""Chinese, Japanese and Korean in Latin letters, as XTTS reads them.

The libraries are extras: they are imported at the first text that needs them.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType

from myxtts.errors import TextError


def to_pinyin(text: str) -> str:
    """Chinese characters as pinyin with tone numbers, the neutral tone as 5 (``pypinyin``).

    Raises:
        TextError: the package is missing.
    """
    if text.isascii():
        return text
    pypinyin = _library("pypinyin", "Chinese (zh-cn)", "pypinyin")
    syllables = pypinyin.pinyin(
        text, style=pypinyin.Style.TONE3, heteronym=False, neutral_tone_with_five=True
    )
    return "".join(readings[0] for readings in syllables)


def to_hangul_letters(text: str) -> str:
    """Hangul by the academic rule, ambiguous borders hyphenated (``hangul_romanize``).

    Raises:
        TextError: the package is missing.
    """
    return text if text.isascii() else _transliterator().translit(text)


def to_romaji(text: str) -> str:
    """Japanese in Hepburn, foreign words in their own spelling (``cutlet``).

    What cannot be read becomes a question mark.

    Raises:
        TextError: the package or its dictionary is missing.
    """
    katsu = _cutlet()
    try:
        return katsu.romaji(text).lower()
    except Exception:  # cutlet fails on unassigned code points among the kana
        return "".join(_romaji_or_mark(katsu, character) for character in text).lower()


def _romaji_or_mark(katsu, character: str) -> str:
    try:
        return katsu.romaji(character)
    except Exception:
        return "?"


@functools.cache
def _transliterator():
    _library("hangul_romanize", "Korean (ko)", "hangul-romanize")
    from hangul_romanize import Transliter
    from hangul_romanize.rule import academic

    return Transliter(academic)


@functools.cache
def _cutlet():
    cutlet = _library("cutlet", "Japanese (ja)", "cutlet unidic-lite")
    try:
        return cutlet.Cutlet()
    except Exception as error:  # fugashi raises a plain RuntimeError without a dictionary
        raise _missing("Japanese (ja)", "unidic-lite", "unidic-lite") from error


def _library(module: str, language: str, packages: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(language, packages.split(" ")[0], packages) from error


def _missing(language: str, package: str, packages: str) -> TextError:
    return TextError(f"{language} text needs the package {package} (pip install {packages}).")
