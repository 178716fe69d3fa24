"""Long text into pieces that the model can read at once."""

from __future__ import annotations

import re

from myxtts.text.cleaners import is_speakable
from myxtts.text.tokenizer import VoiceBpeTokenizer

# From the best place to cut to the worst; each pattern matches the gap itself.
_GAPS = (
    re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])"),
    re.compile(r"(?<=[,;:])\s+|\s+(?=[—–-]\s)|(?<=[、，；：])"),
    re.compile(r"\s+"),
)


def split_text(
    text: str, tokenizer: VoiceBpeTokenizer, language: str, max_tokens: int
) -> list[str]:
    """Cut ``text`` at sentences, else clauses, else words, else anywhere.

    Args:
        text: any text.
        tokenizer: counts the tokens of a piece.
        language: of ``text``.
        max_tokens: most tokens a piece may have, its language token included.

    Returns:
        Pieces in order, each speakable; none when nothing in ``text`` can be spoken.

    Raises:
        TextError: the vocabulary does not know ``language``.
    """
    tokenizer.language_token(language)

    def fits(piece: str) -> bool:
        return len(tokenizer.encode(piece, language)) <= max_tokens

    pieces = _cut(" ".join(text.split()), fits, 0)
    return [piece for piece in pieces if is_speakable(piece)]


def _cut(text: str, fits, level: int) -> list[str]:
    if not text:
        return []
    if len(text) == 1 or (len(text) < 4000 and fits(text)):
        return [text]
    if level == len(_GAPS):
        half = len(text) // 2
        return _cut(text[:half], fits, level) + _cut(text[half:], fits, level)
    units = [unit for unit in _GAPS[level].split(text) if unit]
    if len(units) == 1:
        return _cut(text, fits, level + 1)
    return _pack([piece for unit in units for piece in _cut(unit, fits, level + 1)], fits)


def _pack(pieces: list[str], fits) -> list[str]:
    """Join neighbours again while they fit, so that no piece is needlessly short."""
    packed: list[str] = []
    for piece in pieces:
        if packed and fits(f"{packed[-1]} {piece}"):
            packed[-1] = f"{packed[-1]} {piece}"
        else:
            packed.append(piece)
    return packed
