"""Numbers of a text as words, inside a graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from myxtts.serving.graph.refusal import required
from myxtts.serving.graph.text.characters import MARK
from myxtts.serving.graph.text.readings import (
    FRACTION_DIGITS,
    HUNDRED,
    Decimals,
    Money,
    NumberTable,
)

ADVICE = "write it in words, or send the ids of the text to synthesize_ids."
# Up to so many digits a float holds what was written.
EXACT_DIGITS = 12
DYADIC = 2.0**27 + 1


def rewrite(text, pattern: str, read: Callable, keep: str = ""):
    """``text`` with ``read`` of each match of ``pattern`` in its place.

    Args:
        text: a string.
        pattern: of RE2; its first group is what is read.
        read: strings ``(matches,)`` to their readings.
        keep: rewriting of what else was matched and stays behind the reading.
    """
    pieces, places = cut(text, pattern, keep)
    said = read(tf.gather(pieces, places))
    return tf.strings.reduce_join(tf.tensor_scatter_nd_update(pieces, places[:, None], said))


def cut(text, pattern: str, keep: str = "") -> tuple:
    """``text`` in pieces ``(pieces,)``, and which of them are matches ``(matches,)``."""
    marked = tf.strings.regex_replace(text, pattern, rf"{MARK}\1{MARK}{keep}")
    pieces = tf.strings.split(marked, MARK)
    return pieces, tf.range(1, tf.maximum(tf.size(pieces), 1), 2)


class GraphNumberTable(tf.Module):
    """A :class:`NumberTable` in a graph."""

    def __init__(self, table: NumberTable):
        super().__init__(name="numbers")
        self.limit = table.limit
        self.radices = tf.constant(table.radices, "int64")
        self.bases = tf.constant(np.cumprod([1, *table.radices[:-1]]), "int64")
        self.offsets = tf.constant(table.offsets)
        self.words = tf.constant(table.words)

    def of_digits(self, digits):
        """Readings of digits ``(numbers,)``, however many zeros they begin with."""
        return self(self._number(digits))

    def __call__(self, numbers):
        """Readings of int64 ``(numbers,)``."""
        groups = numbers[:, None] // self.bases % self.radices
        speaks = tf.cast(groups > 0, "int64")
        below = tf.minimum(tf.cumsum(speaks, axis=1, exclusive=True), 1)
        above = tf.minimum(tf.cumsum(speaks, axis=1, exclusive=True, reverse=True), 1)
        which = tf.range(self.radices.shape[0], dtype="int64")[None] + tf.zeros_like(groups)
        offsets = tf.gather_nd(self.offsets, tf.stack([which, above, below], axis=-1))
        words = tf.gather(self.words, offsets + groups)
        return tf.strings.reduce_join(tf.reverse(words, [1]), axis=1)

    def _number(self, digits):
        digits = tf.strings.regex_replace(digits, "^0+(.)", r"\1")
        largest = len(str(self.limit - 1))
        sentence = f"a number here may have {largest} digits at most: {ADVICE}"
        digits = required(digits, (tf.strings.length(digits) <= largest, sentence))
        return tf.strings.to_number(tf.strings.substr(digits, 0, largest), "int64")


class GraphDecimals(tf.Module):
    """Numbers such as ``1.5`` in a graph."""

    def __init__(self, readings: Decimals, strips: bool = True):
        super().__init__(name="decimals")
        self.whole = GraphNumberTable(readings.whole)
        self.witness = readings.witness and GraphNumberTable(readings.witness)
        self.exact = readings.exact and GraphNumberTable(readings.exact)
        self.readings = readings
        self.strips = strips
        self.limit = min(table.limit for table in (self.whole, self.exact) if table)

    def __call__(self, amounts):
        """Readings of strings ``(amounts,)``."""
        whole, fraction = _halves(amounts, self.strips)
        said = self._whole(whole, fraction) + self._fraction(fraction)
        if self.exact is None:
            return said
        none = fraction == "0"
        # Where there is a fraction, the number is none of this table's.
        exact = self.exact.of_digits(tf.where(none, whole, "0"))
        return tf.where(none, exact, said)

    def _whole(self, whole, fraction):
        said = self.whole.of_digits(whole)
        if self.witness is None:
            return said
        same = (said == self.witness.of_digits(whole)) | (fraction == "0")
        return required(said, (same, f"a number with a fraction cannot be read here: {ADVICE}"))

    def _fraction(self, fraction):
        readings = self.readings
        if readings.point is not None:
            for digit, word in enumerate(readings.digits):
                fraction = tf.strings.regex_replace(fraction, str(digit), f" {word}")
            return readings.point + tf.strings.substr(fraction, 1, 1 << 16)
        size = tf.strings.length(fraction)
        sentence = f"a fraction here may have {FRACTION_DIGITS} digits at most: {ADVICE}"
        fraction = required(fraction, (size <= FRACTION_DIGITS, sentence))
        value = tf.strings.to_number(tf.strings.substr(fraction, 0, FRACTION_DIGITS), "int32")
        starts = np.cumsum([0, 0] + [10**size for size in range(1, FRACTION_DIGITS)])
        first = tf.gather(starts, tf.minimum(size, FRACTION_DIGITS))
        return tf.gather(readings.fractions, tf.cast(first, "int32") + value)


class GraphMoney(tf.Module):
    """Amounts of a currency in a graph."""

    def __init__(self, readings: Money):
        super().__init__(name="money")
        self.exact = GraphNumberTable(readings.exact)
        self.mixed = GraphNumberTable(readings.mixed)
        self.cents = tf.constant(readings.cents)
        self.rounds = readings.rounds
        self.limit = min(self.exact.limit, self.mixed.limit)

    def __call__(self, amounts):
        """Readings of strings ``(amounts,)`` of digits and one comma or point at most."""
        whole, fraction = _halves(amounts)
        none = fraction == "0"
        exact = self.exact.of_digits(tf.where(none, whole, "0"))
        number = self.mixed._number(whole)
        total = number * HUNDRED + self._hundredths(whole, fraction)
        said = self.mixed(total // HUNDRED) + tf.gather(self.cents, total % HUNDRED)
        return tf.where(none, exact, said)

    def _hundredths(self, whole, fraction):
        """Cents ``(amounts,)``, a half rounded upwards as the float that it is."""
        fits = self.rounds | (tf.strings.length(fraction) <= 2)
        fraction = required(fraction, (fits, f"money here has two decimals at most: {ADVICE}"))
        first = tf.strings.substr(fraction + "000", 0, 3)
        thousandths = tf.strings.to_number(first, "int64")
        cents, third = thousandths // 10, thousandths % 10
        further = tf.strings.length(fraction) > 3
        half = further | self._reaches(whole, first)
        return cents + tf.cast((third > 5) | ((third == 5) & half), "int64")

    @staticmethod
    def _reaches(whole, thousandths):
        """Whether the float of an amount is not below what was written, exactly compared."""
        amount = tf.strings.to_number(whole + "." + thousandths, "float64")
        wanted = tf.strings.to_number(whole + thousandths, "float64")
        # The error of the product by Veltkamp's splitting (Dekker 1971).
        high = amount * DYADIC - (amount * DYADIC - amount)
        product = amount * 1000
        error = (high * 1000 - product) + (amount - high) * 1000
        return (product - wanted) + error >= 0


def _halves(amounts, strips: bool = True) -> tuple:
    """Digits before and after the comma or point, ``0`` where there are none.

    Args:
        amounts: strings ``(amounts,)``.
        strips: whether zeros at the end of a fraction say nothing.
    """
    amounts = tf.strings.regex_replace(amounts, "[^0-9.,]", "")
    whole = tf.strings.regex_replace(amounts, "[.,].*$", "")
    whole = tf.strings.regex_replace(whole, "^0*([0-9])", r"\1")
    fraction = tf.strings.regex_replace(amounts, "^[0-9]*[.,]?", "")
    if strips:
        fraction = tf.strings.regex_replace(fraction, "0+$", "")
    digits = tf.strings.length(whole) + tf.strings.length(fraction)
    sentence = f"a number with a fraction may have {EXACT_DIGITS} digits at most: {ADVICE}"
    whole = required(whole, (digits <= EXACT_DIGITS, sentence))
    return tf.where(whole == "", "0", whole), tf.where(fraction == "", "0", fraction)
