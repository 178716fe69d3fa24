"""How a language reads its numbers, learned from its reader as tables.

A graph cannot call ``num2words``. In most languages, though, a number is read group by
group, each group by its own digits and by whether other groups speak before or after it;
so a few thousand short strings, taken from the reader itself, put any number together.
Whether they do is tried on numbers the tables were not made from.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from num2words import num2words

from myxtts.errors import TextError
from myxtts.text import hindi_numbers
from myxtts.text.languages import LANGUAGES
from myxtts.text.numbers import CURRENCIES, read_cardinal, read_decimal, read_money

# Sizes of the groups of digits, the lowest first: up to 10**9, else up to 10**6.
RADICES = ((1000, 1000, 1000), (1000, 1000))
INDIAN_RADICES = ((1000, 100, 100, 100),)
# What a group says is seen beside these: they are irregular in no language.
NEIGHBOURS = (347, 347, 347, 47)
PROBES = 600
# Longest fraction of a language that does not read its digits one by one.
FRACTION_DIGITS = 3
HUNDRED = 100


@dataclass(frozen=True)
class NumberTable:
    """Readings of the numbers below the product of ``radices``.

    Attributes:
        radices: sizes of the groups of digits, the lowest first.
        offsets: ``(groups, 2, 2)``, where a group's readings begin in ``words``; by whether
            groups above it speak, and by whether groups below it do.
        words: readings, separators included.
    """

    radices: tuple[int, ...]
    offsets: np.ndarray
    words: tuple[str, ...]

    @property
    def limit(self) -> int:
        """The first number that is not read."""
        return int(np.prod(self.radices))

    def read(self, number: int) -> str:
        """Reading of ``number``."""
        groups = []
        for radix in self.radices:
            number, group = divmod(number, radix)
            groups.append(group)
        spoken = [
            self.words[self.offsets[k, int(any(groups[k + 1 :])), int(any(groups[:k]))] + group]
            for k, group in enumerate(groups)
        ]
        return "".join(reversed(spoken))


@dataclass(frozen=True)
class Decimals:
    """Readings of numbers with a fraction.

    Attributes:
        whole: what is said before the fraction.
        witness: the same before another fraction, or None where both always agree. A number
            that they do not agree on cannot be read: Portuguese says "e quinhentos" or
            "quinhentos" by the letters that follow.
        exact: reading when the fraction is zero; None where that is read as any other.
        point: what is said before digits that are read one by one, or None.
        digits: readings of the ten digits.
        fractions: without ``point``, readings of fractions of one, of two and of three
            digits, by their number.
    """

    whole: NumberTable
    witness: NumberTable | None
    exact: NumberTable | None
    point: str | None
    digits: tuple[str, ...]
    fractions: tuple[str, ...]


@dataclass(frozen=True)
class Money:
    """Readings of amounts of a currency.

    Attributes:
        exact: of whole amounts.
        mixed: what is said before the cents.
        cents: readings of 0 to 99 cents.
        rounds: whether more than two decimals are rounded to cents.
    """

    exact: NumberTable
    mixed: NumberTable
    cents: tuple[str, ...]
    rounds: bool


@dataclass(frozen=True)
class Readings:
    """A language's numbers; None, or no entry, where it has no such reading.

    Attributes:
        cardinal: plain numbers.
        ordinal: ordinals.
        decimals: numbers with a fraction.
        money: amounts by the sign of their currency.
        dots_at_end: whether a dot behind a number at the end of a text makes an ordinal.
    """

    cardinal: NumberTable
    ordinal: NumberTable | None
    decimals: Decimals | None
    money: dict[str, Money]
    dots_at_end: bool = True


@functools.cache
def learn_readings(language: str) -> Readings:
    """How ``language``, one of ``LANGUAGES``, reads numbers.

    Raises:
        TextError: it reads them in a way that tables cannot hold.
    """
    if language == "hi":
        cardinal = learn(lambda n: hindi_numbers.read_cardinal(str(n)), INDIAN_RADICES)
        digits = tuple(hindi_numbers.read_digits(str(digit)) for digit in range(10))
        decimals = Decimals(cardinal, None, None, f" {hindi_numbers.POINT} ", digits, ())
        return Readings(cardinal, None, decimals, {})
    table = LANGUAGES[language]
    cardinal = learn(lambda n: read_cardinal(str(n), language))
    return Readings(
        cardinal,
        learn(lambda n: read_ordinal(n, language)) if table.ordinal else None,
        _learn_decimals(language, cardinal) if table.speaks_decimals else None,
        dict(_learn_currencies(language)),
        has_ordinals(language),
    )


def _learn_decimals(language: str, cardinal: NumberTable) -> Decimals:
    def read(number: int, fraction: str = "5") -> str:
        return plain(read_decimal(f"{number}.{fraction}", language))

    whole, tails = _split(read)
    other, _ = _split(lambda n: read(n, "7"))
    witness = None if other.words == whole.words else other
    digits = tuple(plain(read_cardinal(str(digit), language)) for digit in range(10))
    exact = _learn_exact(read, whole, tails, cardinal)
    point = tails("5").removesuffix(digits[5])
    if all(tails(long) == point + " ".join(digits[int(d)] for d in long) for long in _LONG):
        return Decimals(whole, witness, exact, point, digits, ())
    sizes = range(1, FRACTION_DIGITS + 1)
    texts = [f"{value:0{size}}" for size in sizes for value in range(10**size)]
    # A fraction's last zeros have been taken away when it is looked up.
    said = [tails(text) or "" if text == "0" or text[-1] != "0" else "" for text in texts]
    return Decimals(whole, witness, exact, None, digits, tuple(said))


_LONG = ("07", "125", "3025", "141592")


def _learn_exact(
    read: Callable[..., str],
    whole: NumberTable,
    tails: Callable[[str], str | None],
    cardinal: NumberTable,
) -> NumberTable | None:
    """Table of the numbers whose fraction is zero; None where zero is read like another."""
    if not _differs(cardinal, lambda n: read(n, "0")):
        return cardinal
    zero = tails("0")
    if zero and not _differs(whole, lambda n: _between(read(n, "0"), "", zero)):
        return None
    return learn(lambda n: read(n, "0"))


def _learn_currencies(language: str):
    for sign, code in CURRENCIES.items():
        try:
            read_money(1.0, code, language)
        except Exception:  # num2words raises anything for a currency that it lacks
            continue
        yield sign, _learn_money(language, code)


def _learn_money(language: str, code: str) -> Money:
    def read(number: int, cents: str = "25") -> str:
        return plain(read_money(number + int(cents) / HUNDRED, code, language))

    mixed, tails = _split(read)
    cents = [tails(f"{value:02}") or "" for value in range(HUNDRED)]
    # A whole amount is read without cents, but 1.999 is two dollars and zero cents.
    near = [plain(read_money(NEIGHBOURS[0] + rest, code, language)) for rest in (-0.001, 0.001)]
    cents[0] = (_without(near[1], mixed.read(NEIGHBOURS[0]))) or ""
    exact = learn(lambda n: read(n, "0"))
    return Money(exact, mixed, tuple(cents), near[0] == near[1])


def _split(read: Callable[..., str]) -> tuple[NumberTable, Callable[[str], str | None]]:
    """Table of what is said before a fraction, and what reads a fraction alone, or not."""
    several = [read(number) for number in (0, 1, 2, 5, 12, 100, 1000, 21_347)]
    tail = os.path.commonprefix([text[::-1] for text in several])[::-1]
    whole = learn(lambda n: _between(read(n), "", tail))
    said = whole.read(NEIGHBOURS[0])

    def tails(fraction: str) -> str | None:
        try:
            return _without(read(NEIGHBOURS[0], fraction), said)
        except Exception:  # num2words raises anything for a fraction too long for it
            return None

    return whole, tails


def _without(text: str, start: str) -> str | None:
    return text[len(start) :] if text.startswith(start) else None


def read_ordinal(number: int, language: str) -> str:
    """An ordinal, or the cardinal where ``num2words`` lacks it."""
    try:
        return num2words(number, lang=language, to="ordinal")
    except Exception:
        return read_cardinal(str(number), language)


def has_ordinals(language: str) -> bool:
    """Whether ``num2words`` has ordinals of ``language``."""
    try:
        return bool(num2words(1, lang=language, to="ordinal"))
    except Exception:
        return False


def learn(read: Callable[[int], str], radices: Sequence[tuple[int, ...]] = RADICES) -> NumberTable:
    """The table of what ``read`` says, of the first of ``radices`` that holds it.

    Raises:
        TextError: none does.
    """
    for sizes in radices:
        try:
            table = _learn(lambda n: plain(read(n)), sizes)
        except Exception:  # num2words raises anything for a number that is too long for it
            continue
        if not _differs(table, lambda n: plain(read(n))):
            return table
    raise TextError(f"tables cannot hold readings such as {read(1_234)!r}.")


def plain(text: str) -> str:
    """``text`` with spaces for all other white space."""
    return "".join(" " if character.isspace() else character for character in text)


def _differs(table: NumberTable, read: Callable[[int], str]) -> bool:
    rng = random.Random(0)
    digits = len(str(table.limit - 1))
    for _ in range(PROBES):
        size = rng.randint(1, digits)
        # Zeros are where readings are irregular.
        number = int("".join(rng.choice("000123456789") for _ in range(size)))
        if not _reads(table, read, number):
            return True
    return not all(_reads(table, read, number) for number in range(200))


def _reads(table: NumberTable, read: Callable[[int], str], number: int) -> bool:
    try:
        return table.read(number) == read(number)
    except Exception:  # as above
        return False


def _learn(read: Callable[[int], str], radices: tuple[int, ...]) -> NumberTable:
    bases = [int(np.prod(radices[:k])) for k in range(len(radices))]
    beside = [NEIGHBOURS[k] * base for k, base in enumerate(bases)]
    tables: dict[tuple[int, int, int], list[str]] = {}
    for k, (base, radix) in enumerate(zip(bases, radices, strict=True)):
        for above in range(int(k + 1 < len(radices)) + 1):
            top = beside[k + 1] * above if above else 0
            start = _start(read, top, base * radix) if above else ""
            for below in range(int(k > 0) + 1):
                low = beside[0] * below
                end = tables[0, 1, 0][NEIGHBOURS[0]] if below else ""
                said = [_between(read(top + g * base + low), start, end) for g in range(1, radix)]
                tables[k, above, below] = ["" if k or above else read(0), *said]
    return _packed(tables, radices)


def _start(read: Callable[[int], str], top: int, below: int) -> str:
    """What is said of ``top`` whatever number under ``below`` follows."""
    rng = random.Random(1)
    follow = {1, 2, 5, 10, 17, 21, 99, 100, 347} | {rng.randrange(1, below) for _ in range(40)}
    follow |= {unit * 10**power for unit in (1, 2, 5) for power in range(9)}
    return os.path.commonprefix([read(top + rest) for rest in sorted(follow) if rest < below])


def _between(text: str, start: str, end: str) -> str:
    if not (text.startswith(start) and text.endswith(end)):
        raise TextError(f"{text!r} does not begin with {start!r} and end with {end!r}.")
    return text[len(start) : len(text) - len(end)]


def _packed(tables: dict[tuple[int, int, int], list[str]], radices) -> NumberTable:
    offsets, words = np.zeros((len(radices), 2, 2), "int64"), []
    for place, said in tables.items():
        offsets[place] = len(words)
        words += said
    return NumberTable(radices, offsets, tuple(words))
