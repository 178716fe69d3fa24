"""The numbers of a language's texts as words, inside a graph."""

from __future__ import annotations

import re
from collections.abc import Callable

import tensorflow as tf

from myxtts.serving.graph.refusal import required
from myxtts.serving.graph.text.characters import EDGE, MARK, GraphCharacters, points_of, text_of
from myxtts.serving.graph.text.numbers import (
    ADVICE,
    GraphDecimals,
    GraphMoney,
    GraphNumberTable,
    cut,
    rewrite,
)
from myxtts.serving.graph.text.readings import Readings, learn_readings, plain
from myxtts.text.languages import LANGUAGES
from myxtts.text.numbers import CURRENCIES, read_decimal, read_money

DIGIT = r"\p{Nd}"
GROUPED = {
    ",": rf"({EDGE}{DIGIT}{{1,3}}(?:{EDGE},{EDGE}{DIGIT}{{3}})*"
    rf"(?:{EDGE}\.{EDGE}{DIGIT}+)?{EDGE})",
    ".": rf"({EDGE}{DIGIT}{{1,3}}(?:{EDGE}?[^{EDGE}]{EDGE}?{DIGIT}{{3}})*"
    rf"(?:{EDGE},{EDGE}{DIGIT}+)?{EDGE})",
}
# Indian grouping, before the general one.
GROUPED_HINDI = rf"({EDGE}[0-9]{{1,3}}(?:{EDGE},{EDGE}[0-9]{{2,3}})*{EDGE},{EDGE}[0-9]{{3}}{EDGE})"


class GraphNumbers(tf.Module):
    """:func:`myxtts.text.numbers.expand_numbers` of one language."""

    def __init__(self, characters: GraphCharacters, language: str):
        super().__init__(name="numbers")
        readings = learn_readings(language)
        self.characters = characters
        self.table = LANGUAGES[language]
        self.is_hindi = language == "hi"
        self.dots_at_end = readings.dots_at_end
        self.cardinal = GraphNumberTable(readings.cardinal)
        self.ordinal = readings.ordinal and GraphNumberTable(readings.ordinal)
        self.decimals = _decimals(readings, language)
        self.money = {sign: _money(readings, sign, language) for sign in readings.money}

    def __call__(self, text):
        if self.is_hindi:
            text = self._without_marks(text, GROUPED_HINDI, ",")
            text = rewrite(text, r"([0-9]+[.,][0-9]+)", self.decimals)
            text = rewrite(text, r"([0-9]+)", self.cardinal.of_digits)
        mark = self.table.thousands
        text = self._without_marks(text, GROUPED[mark], mark)
        text = self._expand_currencies(text)
        if self.decimals:
            text = rewrite(text, r"([0-9]+[.,][0-9]+)", self.decimals)
        if self.ordinal:
            text = self._expand_ordinals(text)
        return rewrite(text, r"([0-9]+)", self.cardinal.of_digits)

    def _without_marks(self, text, pattern: str, mark: str):
        """``text`` without the marks between groups of three digits."""
        marked = tf.strings.regex_replace(
            self.characters.with_edges(text), pattern, rf"{MARK}\1{MARK}"
        )
        points = points_of(marked)
        inside = tf.cumsum(tf.cast(points == ord(MARK), "int32")) % 2 == 1
        dropped = (points == ord(EDGE)) | (points == ord(MARK)) | (inside & (points == ord(mark)))
        return text_of(tf.boolean_mask(points, ~dropped))

    def _expand_currencies(self, text):
        # As in Python the first amount that cannot be read leaves the rest unread.
        goes_on = tf.constant(True)
        for sign in CURRENCIES:
            escaped = re.escape(sign)
            pattern = rf"({escaped}[0-9.,]*[0-9]|[0-9.,]*[0-9]{escaped})"
            money = self.money.get(sign)
            pieces, places = cut(text, pattern)
            unread = r".*[.,].*[.,].*" if money else ".*"
            goes_on &= ~tf.reduce_any(
                tf.strings.regex_full_match(tf.gather(pieces, places), unread)
            )
            if money:
                text = tf.cond(
                    goes_on,
                    lambda text=text, pattern=pattern, money=money: rewrite(text, pattern, money),
                    lambda text=text: text,
                )
        return text

    def _expand_ordinals(self, text):
        ahead = r"(?=\s|$)"
        pattern, keep = self.table.ordinal, ""
        if ahead in pattern:
            # RE2 cannot look ahead: the space is matched, and kept.
            following = "( |$)" if self.dots_at_end else "( )"
            pattern, keep = pattern.replace(ahead, following), r"\2"
        return rewrite(text, pattern, self.ordinal.of_digits, keep)


class Unread(tf.Module):
    """What no table can read, and a request is refused for."""

    def __init__(self, what: str):
        super().__init__(name="unread")
        self.sentence = f"{what} cannot be read here: {ADVICE}"

    def __call__(self, amounts):
        return required(amounts, (tf.size(amounts) == 0, self.sentence))


def _decimals(readings: Readings, language: str):
    if language == "hi":
        return GraphDecimals(readings.decimals, strips=False)
    if readings.decimals is None:
        return None
    decimals = GraphDecimals(readings.decimals)
    if _agrees(decimals, 3, lambda text: read_decimal(text, language)):
        return decimals
    return Unread("a number with a fraction")


def _money(readings: Readings, sign: str, language: str):
    money, code = GraphMoney(readings.money[sign]), CURRENCIES[sign]
    if _agrees(money, 2 + money.rounds, lambda text: read_money(float(text), code, language)):
        return money
    return Unread("an amount of money")


_WHOLES = (0, 1, 2, 3, 7, 19, 21, 100, 347, 1_000, 20_005, 40_052, 999_999, 541_001_037)
# By the number of digits.
_FRACTIONS = {1: range(10), 2: range(0, 100, 7), 3: (1, 2, 5, 45, 125, 995, 999)}


def _agrees(graph: GraphDecimals | GraphMoney, digits: int, read: Callable[[str], str]) -> bool:
    """Whether a graph reads amounts as Python does."""
    texts = [
        f"{whole}.{fraction:0{size}}"
        for whole in _WHOLES
        if whole < graph.limit
        for size in range(1, digits + 1)
        for fraction in _FRACTIONS[size]
    ]
    try:
        found = graph(tf.constant(texts)).numpy()
    except tf.errors.InvalidArgumentError:  # one of them is refused
        return False
    return [text.decode("utf-8") for text in found] == [plain(read(text)) for text in texts]
