"""Sentences of today's English from the rules of ``grammar.txt``, the same for the same seed."""

from __future__ import annotations

import functools
import random
import re
from pathlib import Path

from myxtts.errors import DataError

RULES = Path(__file__).with_name("grammar.txt")
START = "sentence"
SHORTEST, LONGEST = 2, 190  # letters of a sentence
_PATIENCE = 200  # draws in a row without a new sentence, after which there is none left

_NAME = re.compile(r"\{(\w+)\}")
_NUMBER = re.compile(r"<(\d+)-(\d+)(,?)>")
# By sound: "a useful" and "a united", but "an 8" and "an 11".
_VOWEL_NEXT = re.compile(r"\ba (?=[aeio]|u(?!se|ni)|8|1[18]\b)")


def sentences(count: int, seed: int) -> list[str]:
    """``count`` distinct sentences of 2 to 190 letters.

    Raises:
        DataError: the grammar has fewer.
    """
    rng, found, failed = random.Random(f"grammar {seed}"), {}, 0
    while len(found) < count:
        sentence = one(rng)
        failed = failed + 1 if sentence in found else 0
        if failed > _PATIENCE:
            raise DataError(f"the grammar has only about {len(found)} sentences, not {count}.")
        if SHORTEST <= len(sentence) <= LONGEST:
            found[sentence] = None
    return list(found)


def one(rng: random.Random) -> str:
    """One sentence."""
    text = with_articles(expand(f"{{{START}}}", rng))
    return text[0].upper() + text[1:]


def expand(text: str, rng: random.Random) -> str:
    """``text`` without a ``{rule}`` or a ``<number>``."""
    while match := _NAME.search(text):
        choice = rng.choice(rules()[match[1]])
        text = text[: match.start()] + choice + text[match.end() :]
    return _NUMBER.sub(lambda match: _number(match, rng), text)


def _number(match: re.Match, rng: random.Random) -> str:
    low, high, comma = match.groups()
    value = rng.randint(int(low), int(high))
    return f"{value:,}" if comma else f"{value:0{len(low)}d}"


def with_articles(text: str) -> str:
    """``an`` for ``a`` where the next word wants it."""
    return _VOWEL_NEXT.sub("an ", text)


@functools.cache
def rules() -> dict[str, tuple[str, ...]]:
    """Alternatives of every rule."""
    return read_rules(RULES.read_text(encoding="utf-8"))


def read_rules(text: str) -> dict[str, tuple[str, ...]]:
    """Rules of a grammar, by name.

    Raises:
        DataError: a rule is named that is not there.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\n|", " |")
    pairs = (line.split(": ", 1) for line in joined.splitlines())
    found = {name: tuple(part.strip() for part in body.split(" | ")) for name, body in pairs}
    used = {name for body in found.values() for part in body for name in _NAME.findall(part)}
    if missing := sorted(used - found.keys()):
        raise DataError(f"the grammar names the rule {missing[0]}, which it does not have.")
    return found
