"""Text as the phonemes that Kokoro was trained on.

Kokoro reads IPA in which diphthongs and affricates are one symbol each (``A``
for the vowel of *day*, ``ʤ`` for the first sound of *jam*). misaki, its own
front-end, writes English so; eSpeak's IPA is rewritten to it. Pairs of symbols
as in misaki 0.9.4 (https://github.com/hexgrad/misaki).
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
import re
from collections.abc import Callable
from importlib.util import find_spec

from myxtts.errors import TextError, WeightsError

logger = logging.getLogger(__name__)

LANGUAGES = ("en-us", "en-gb", "es", "fr-fr", "hi", "it", "pt-br")
SPACY_MODEL = "en_core_web_sm"
INSTALL = "pip install phonemizer-fork espeakng-loader"
_MISAKI_NEEDS = ("misaki", "spacy", "num2words", "addict", "regex")

# Each old=new, in this order; eSpeak ties the two letters of one sound by "^".
_EVERYWHERE = "a^ɪ=I a^ʊ=W e^ɪ=A ɔ^ɪ=Y d^ʒ=ʤ t^ʃ=ʧ"
_ENGLISH = f"{_EVERYWHERE} ʔˌn\u0329=ʔn ʔn\u0329=ʔn ə^l=ᵊl ʲo=jo ʲə=jə ʲ="
_AMERICAN = f"{_ENGLISH} o^ʊ=O ɜːɹ=ɜɹ ɜː=ɜɹ ɚɹ=əɹ ɪə=iə ː="
_BRITISH = f"{_ENGLISH} e^ə=ɛː iə=ɪə ə^ʊ=Q"
# After the rules of the accent: what no English voice of Kokoro has.
_LEFT_IN_ENGLISH = "ɚ=əɹ r=ɹ x=k ç=k ɐ=ə ɬ=l e=A o=ɔ ɾ=T ʔ=t"
_ELSEWHERE = f"{_EVERYWHERE} o^ʊ=O ə^ʊ=Q d^z=ʣ s^s=S t^s=ʦ -="


def phonemize(text: str, language: str = "en-us") -> str:
    """``text`` in Kokoro's phonemes, punctuation kept.

    English goes through misaki where it and its spaCy model are installed, everything
    else through eSpeak NG.

    Args:
        text: one or more sentences.
        language: one of ``LANGUAGES``.

    Raises:
        TextError: the language is unknown, or nothing that can be spoken is left.
        WeightsError: eSpeak's packages are missing.
    """
    if language not in LANGUAGES:
        raise TextError(f"language {language!r} is unknown; use one of {', '.join(LANGUAGES)}.")
    text = " ".join(text.split())
    if not any(letter.isalnum() for letter in text):
        raise TextError(f"the text {text!r} holds nothing that can be spoken.")
    phonemes = _front_end(language)(text).strip()
    if not any(symbol.isalpha() for symbol in phonemes):
        raise TextError(f"the text {text!r} gives no phonemes in {language}.")
    return phonemes


def by_espeak(text: str, language: str = "en-us") -> str:
    """``text`` in Kokoro's phonemes, as eSpeak NG alone reads it; empty where it reads nothing.

    Raises:
        WeightsError: eSpeak's packages are missing.
    """
    lines = _espeak(language).phonemize([text], strip=True)
    return from_espeak(lines[0], language) if lines else ""


def from_espeak(ipa: str, language: str) -> str:
    """eSpeak's IPA, ties written ``^``, in Kokoro's phonemes."""
    if language.startswith("en"):
        rules = _BRITISH if language == "en-gb" else _AMERICAN
        ipa = _replaced(ipa, rules)
        # A syllabic consonant is a short schwa before it.
        ipa = re.sub("(\\S)\u0329", "ᵊ\\1", ipa)
        ipa = _replaced(ipa, _LEFT_IN_ENGLISH).replace("\u0303", "")
    else:
        ipa = _replaced(ipa, _ELSEWHERE)
    return ipa.replace("^", "").replace("\u0329", "")


def _replaced(text: str, rules: str) -> str:
    for rule in rules.split():
        text = text.replace(*rule.split("="))
    return text


@functools.cache
def _front_end(language: str) -> Callable[[str], str]:
    if language.startswith("en"):
        # All are asked for first: without its spaCy model misaki would download it, or
        # stop the whole program where it cannot.
        lacking = [name for name in _MISAKI_NEEDS if find_spec(name) is None]
        lacking += [] if _is_installed(SPACY_MODEL) else [SPACY_MODEL]
        if not lacking:
            return _misaki(language)
        logger.info("phonemes by eSpeak: misaki would need %s", ", ".join(lacking))
    return functools.partial(by_espeak, language=language)


def _is_installed(distribution: str) -> bool:
    """Whether there is a distribution of that name, which is what spaCy asks."""
    try:
        return importlib.metadata.version(distribution) is not None
    except importlib.metadata.PackageNotFoundError:
        return False


def _misaki(language: str) -> Callable[[str], str]:
    try:
        english = importlib.import_module("misaki.en")
        g2p = english.G2P(trf=False, british=language == "en-gb", fallback=None, unk="")
    except Exception as error:  # noqa: BLE001  whatever fails in there, eSpeak is the way out
        logger.info("phonemes by eSpeak: misaki fails (%s)", error)
        return functools.partial(by_espeak, language=language)

    def front_end(text: str) -> str:
        phonemes, tokens = g2p(text)
        # A word that misaki's lexicon lacks has no phonemes: then eSpeak reads the sentence.
        if all(token.phonemes for token in tokens if any(map(str.isalnum, token.text))):
            return phonemes
        return by_espeak(text, language)

    return front_end


@functools.cache
def _espeak(language: str):
    try:
        loader = importlib.import_module("espeakng_loader")
        wrapper = importlib.import_module("phonemizer.backend.espeak.wrapper").EspeakWrapper
        wrapper.set_library(loader.get_library_path())
        wrapper.set_data_path(loader.get_data_path())
        backend = importlib.import_module("phonemizer.backend").EspeakBackend
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise WeightsError(f"phonemes need eSpeak NG ({error}); run: {INSTALL}") from error
    # It warns of every pair of words that eSpeak runs together, which is no fault.
    quiet = logging.getLogger(f"{__name__}.phonemizer")
    quiet.setLevel(logging.ERROR)
    return backend(
        language,
        preserve_punctuation=True,
        with_stress=True,
        tie="^",
        language_switch="remove-flags",
        logger=quiet,
    )
