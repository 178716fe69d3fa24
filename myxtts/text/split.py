"""Long text into pieces that the model can read at once."""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Callable

from myxtts.text.cleaners import is_speakable
from myxtts.text.languages import SHORT_FORMS, base_language, table_of
from myxtts.text.tokenizer import VoiceBpeTokenizer

# From the best place to cut to the worst; a cut is at a match's end.
_GAPS = (
    re.compile(r"(?<=[.!?…؟।॥])\s+|(?<=[。！？])(?![。！？」』”’）])|(?<=[。！？][」』”’）])"),
    re.compile(r"(?<=[,;:،؛])\s+|\s+(?=[—–-]\s)|(?<=[、，；：])"),
    re.compile(r"\s+"),
)
# "J." and "U.S.", "z.B.", "Ph.D.": letters, each with its dot, or a few of them in a dotted word.
_INITIALS = re.compile(r"[^\W\d_]\.-?|(?:[^\W\d_]{1,3}\.-?){2,}")
_OPENING = "([{\"'“‘„«»¿¡‹"
# Letters of a short form before a number, at most.
_SHORT = 5
# Longer texts are cut before their tokens are counted.
_COUNTABLE = 4000


def split_text(
    text: str,
    tokenizer: VoiceBpeTokenizer | None,
    language: str,
    max_tokens: int,
    max_characters: int | None = None,
) -> list[str]:
    """Cut ``text`` at sentences, else clauses, else words, else anywhere.

    Args:
        text: any text.
        tokenizer: counts the tokens of a piece; None where characters alone bound it.
        language: of ``text``.
        max_tokens: most tokens a piece may have, its language token included.
        max_characters: most characters of a piece; None for no limit but the tokens'.
            XTTS-v2 speaks best below ``table_of(language).max_characters``.

    Returns:
        Pieces in order, each speakable; none when nothing in ``text`` can be spoken.

    Raises:
        TextError: the vocabulary does not know ``language``, or the package that reads
            it is missing.
    """
    if tokenizer is not None:
        tokenizer.language_token(language)
    longest = min(max_characters or _COUNTABLE, _COUNTABLE)

    def fits(piece: str) -> bool:
        piece = piece.strip()
        if len(piece) > longest:
            return False
        return tokenizer is None or tokenizer.count(piece, language) <= max_tokens

    pieces = _cut(" ".join(text.split()), fits, _gap_finders(language))
    return [piece.strip() for piece in pieces if is_speakable(piece)]


def sentences_end(text: str, language: str) -> int:
    """Where the last sentence has ended of a text that still grows; 0 where none has for sure."""
    ends = [end for end in _gap_finders(language)[0](text) if end < len(text)]
    return ends[-1] if ends else 0


def _gap_finders(language: str) -> list[Callable[[str], list[int]]]:
    """For each kind of gap what finds the places to cut at."""
    table = table_of(language)
    short_forms = {*table.abbreviations, *SHORT_FORMS.get(base_language(language), "").split()}
    dotted_ordinals = r"\." in (table.ordinal or "")

    def sentence_ends(text: str, doubtful: bool) -> list[int]:
        return [
            match.end()
            for match in _GAPS[0].finditer(text)
            # Before a small letter few sentences end, but for those who write no capitals.
            if (doubtful or not text[match.end() : match.end() + 1].islower())
            and not _goes_on(text, match, short_forms, dotted_ordinals)
        ]

    ends = [functools.partial(sentence_ends, doubtful=doubtful) for doubtful in (False, True)]
    others = [lambda text, gap=gap: [m.end() for m in gap.finditer(text)] for gap in _GAPS[1:]]
    return [*ends, *others]


def _goes_on(text: str, gap: re.Match, short_forms: set[str], dotted_ordinals: bool) -> bool:
    """Whether the dot before ``gap`` is that of a short form, an ordinal or an item's number.

    Args:
        text: all of it.
        gap: the space behind a mark.
        short_forms: words whose dot is no end, without it.
        dotted_ordinals: whether "3." is an ordinal number.
    """
    before, word = _last_word(text, gap.start())
    if not word.endswith("."):
        return False
    stem = word[:-1]
    if stem.isdigit():
        # "3. Oktober", or "1. Open the box." after a sentence or nothing.
        previous = _last_word(before, len(before))[1]
        begins = not previous or previous[-1] in ".!?…:"
        is_item = begins and previous[:-1].lower() not in short_forms
        return is_item or (dotted_ordinals and len(stem) <= 2)
    # "No. 5", "Fig. 3": a short word before a number.
    if stem.isalpha() and len(stem) <= _SHORT and text[gap.end() : gap.end() + 1].isdigit():
        return True
    return stem.lower() in short_forms or _INITIALS.fullmatch(word) is not None


def _last_word(text: str, end: int) -> tuple[str, str]:
    """What stands before the last word of ``text[:end]``, and that word without what opens it."""
    before, _, word = text[:end].rpartition(" ")
    return before.rstrip(), word.lstrip(_OPENING)


def _cut(text: str, fits: Callable[[str], bool], finders: list) -> list[str]:
    """Slices of ``text``, which they make up again when joined."""
    if len(text) <= 1 or fits(text):
        return [text] if text else []
    if not finders:
        return _cut_anywhere(text, fits)
    places = [0, *finders[0](text), len(text)]
    units = [text[start:end] for start, end in zip(places, places[1:], strict=False)]
    deeper = finders[1:]
    return _pack([piece for unit in units for piece in _cut(unit, fits, deeper)], fits)


def _cut_anywhere(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Slices that fit, looked for around the size of the one before."""
    pieces, start, size = [], 0, 16
    while start < len(text):
        sizes = range(1, min(2 * size, len(text) - start) + 1)
        too_long = functools.partial(_is_too_long, text, start, fits)
        size = max(1, bisect.bisect_left(sizes, True, key=too_long))
        pieces.append(text[start : start + size])
        start += size
    return pieces


def _is_too_long(text: str, start: int, fits: Callable[[str], bool], size: int) -> bool:
    return not fits(text[start : start + size])


def _pack(pieces: list[str], fits: Callable[[str], bool]) -> list[str]:
    """Join neighbours again while they fit, so that no piece is needlessly short."""
    packed: list[str] = []
    for piece in pieces:
        if packed and fits(packed[-1] + piece):
            packed[-1] += piece
        else:
            packed.append(piece)
    return packed
