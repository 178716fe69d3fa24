"""Characters that a vocabulary lacks, as it can spell them: composed, plainer, or in words.

A character outside the vocabulary is one ``[UNK]``, which nobody has taught the model to say.
Texts come with such ones that need not be: letters in two parts (as macOS writes file names),
ligatures of PDFs, full-width letters, soft hyphens. Only what a vocabulary lacks is touched, so
that a text it was trained on keeps its ids.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Collection

from myxtts.text.languages import LANGUAGES, MENDS, base_language

# Means nothing aloud: soft hyphens, joiners, directions, variants of signs.
_SILENT = ("\u00ad\u034f\u061c\u180e", (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
           (0xFE00, 0xFE0F), "\ufeff")  # fmt: skip
# Read with the numbers beside them.
_OF_NUMBERS = "ºª€"
FRACTION = "\u2044"
_PLAINER = {
    **dict.fromkeys("‘’‚‛′ʼ`´", "'"),
    **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    "…": "...",
    "•": ",",
    "æ": "ae",
    "œ": "oe",
    "ß": "ss",
}


class Mender:
    """Mends texts of one language for one vocabulary.

    Args:
        characters: of the vocabulary.
        language: code such as ``en``.

    Attributes:
        singles: a character and what is put for it.
        pairs: a letter and the mark behind it, and the letter that is both.
    """

    def __init__(self, characters: Collection[str], language: str):
        language = base_language(language)
        self._known = frozenset(characters)
        self.pairs = {
            pair: whole for pair, whole in compositions().items() if pair[1] not in self._known
        }
        table = LANGUAGES.get(language)
        kept = {*_OF_NUMBERS, *(table.symbols if table else ()), *(table.capitals if table else ())}
        own = MENDS.get(language, {})
        self.singles = {
            sign: plainer
            for sign in dict.fromkeys([*own, *_PLAINER, *plainer_forms()])
            if sign not in kept
            and not self.knows(sign)
            and (plainer := self._plainer(sign, own)) is not None
        }

    def __call__(self, text: str) -> str:
        """``text`` with what can be mended."""
        if text.isascii() and not any(sign in self.singles for sign in text):
            return text
        whole: list[str] = []
        for sign in text:
            pair = (whole[-1], sign) if whole else None
            if pair in self.pairs:
                whole[-1] = self.pairs[pair]
            else:
                whole.append(sign)
        return "".join(self.singles.get(sign, sign) for sign in whole)

    def knows(self, sign: str) -> bool:
        """Whether the vocabulary has the small letter of a character."""
        return all(part in self._known for part in sign.lower())

    def _plainer(self, sign: str, own: dict[str, str]) -> str | None:
        """What is put for an unknown character, None where nothing that is known can be."""
        if is_silent(sign):
            return ""
        forms = (own.get(sign), _PLAINER.get(sign), plainer_forms().get(sign))
        spelled = (form for form in forms if form)
        return next((form for form in spelled if self._can_spell(form)), None)

    def _can_spell(self, form: str) -> bool:
        """Whether cleaning and the vocabulary can take a form; they know what ASCII is."""
        return all(part.isascii() or self.knows(part) for part in form)


def composed(text: str) -> str:
    """``text`` with each letter and its marks as one character (NFC), where there is one."""
    return unicodedata.normalize("NFC", text)


def is_silent(sign: str) -> bool:
    """Whether a character says nothing, unlike a space."""
    return any(
        sign in item if isinstance(item, str) else item[0] <= ord(sign) <= item[1]
        for item in _SILENT
    )


@functools.cache
def plainer_forms() -> dict[str, str]:
    """Compatibility forms (NFKC) of all characters outside ASCII that have one, and silent ones."""
    forms = {}
    for sign in map(chr, range(0x80, 0x110000)):
        form = unicodedata.normalize("NFKC", sign)
        if not sign.isspace() and (form != sign or is_silent(sign)):
            # A fraction stands apart from the number before it: "5½" is no "51/2".
            forms[sign] = (" " if FRACTION in form else "") + form.replace(FRACTION, "/")
    return forms


@functools.cache
def compositions() -> dict[tuple[str, str], str]:
    """Letters and marks that Unicode composes (NFC), Hangul left aside."""
    found = {}
    for sign in map(chr, range(0x80, 0x110000)):
        parts = unicodedata.decomposition(sign).split()
        canonical = len(parts) == 2 and not parts[0].startswith("<")
        if canonical and unicodedata.normalize("NFC", sign) == sign:
            found[chr(int(parts[0], 16)), chr(int(parts[1], 16))] = sign
    marks = {mark for _, mark in found}
    return {pair: whole for pair, whole in found.items() if pair[0] not in marks}
