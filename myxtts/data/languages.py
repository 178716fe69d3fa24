"""Languages of a corpus: what is no code is refused, and what has no rules is told."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from myxtts.data.formats import Utterance
from myxtts.errors import DataError, TextError
from myxtts.text.languages import LANGUAGES, base_language, is_language, vocabulary_language
from myxtts.text.tokenizer import VoiceBpeTokenizer

logger = logging.getLogger(__name__)


def require_codes(utterances: Sequence[Utterance], default: str) -> None:
    """Refuse a language that no vocabulary can have a token for.

    Args:
        utterances: of a corpus.
        default: language of those whose metadata names none.

    Raises:
        DataError: one is no code, such as ``english``; it names the line.
    """
    for item in _firsts(utterances).values():
        if not is_language(vocabulary_language(item.language)):
            raise DataError(
                f"{_place(item, default)}: {item.language!r} is no language code, such as en or "
                "pt-br."
            )


def tell_languages(
    utterances: Sequence[Utterance], default: str, tokenizer: VoiceBpeTokenizer
) -> None:
    """Warn, once for each, of languages that the vocabulary or this package does not know.

    Args:
        utterances: those of a corpus that can be spoken.
        default: language of those whose metadata names none.
        tokenizer: the vocabulary that they are read with.
    """
    counts = Counter(item.language for item in utterances)
    for language, item in _firsts(utterances).items():
        place, count = _place(item, default), counts[language]
        try:
            tokenizer.language_token(language)
        except TextError as error:
            logger.warning("%s: %s Left out: %d utterances.", place, error, count)
            continue
        if base_language(language) not in LANGUAGES:
            told = (
                "%s: language %r has no rules here for numbers and short forms; %d utterances are "
                "trained on as they are written. If no such language was meant, correct the code."
            )
            logger.warning(told, place, language, count)


def _firsts(utterances: Sequence[Utterance]) -> dict[str, Utterance]:
    """The first utterance of each language."""
    found: dict[str, Utterance] = {}
    for item in utterances:
        found.setdefault(item.language, item)
    return found


def _place(item: Utterance, default: str) -> str:
    """Where the language of an utterance was said."""
    if item.language == default or not item.place:
        return "--language (data.language)"
    return item.place
