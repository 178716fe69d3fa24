"""What Python and the tokeniser hold of every character, as tables that a graph looks up."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
from tokenizers import pre_tokenizers

CODE_POINTS = 0x110000
SURROGATES = range(0xD800, 0xE000)
# Stands where words begin and end. Marks are control characters; a text's own become another
# one, which a tokeniser knows as little.
EDGE, MARK = "\x01", "\x02"
MARKS = range(1, 9)
ANOTHER_CONTROL = 0x0E
CAPITAL_SIGMA, FINAL_SIGMA = ord("Σ"), ord("ς")
# The one character whose lower case is two.
DOTTED_I = "İ"

SPACE, WORD, SPOKEN, CASED, IGNORABLE = 1, 2, 4, 8, 16
IN_WORD, OUT_OF_WORD, BETWEEN = 0, 1, 2


class CharacterTable(tf.Module):
    """A value for each code point, in a graph.

    Args:
        values: ``(CODE_POINTS,)``, equal over long ranges.
    """

    def __init__(self, values: np.ndarray):
        super().__init__(name="characters")
        starts = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
        self.starts = tf.constant(starts, "int32")
        self.values = tf.constant(values[starts], "int32")

    def __call__(self, points):
        ranges = tf.searchsorted(self.starts, points, side="right") - 1
        return tf.gather(self.values, ranges)


class GraphCharacters(tf.Module):
    """The tables of characters that texts of all languages need."""

    def __init__(self):
        super().__init__(name="characters")
        self.kinds = CharacterTable(kinds_of_characters())
        self.shifts = CharacterTable(lower_shifts())

    def is_kind(self, points, kind: int):
        """Whether code points have a bit of :func:`kinds_of_characters`."""
        return tf.bitwise.bitwise_and(self.kinds(points), kind) > 0

    def collapse(self, text):
        """``text`` with single spaces for all white space, and none at its ends."""
        points = points_of(text)
        marks = (points >= MARKS.start) & (points < MARKS.stop)
        points = tf.where(marks, ANOTHER_CONTROL, points)
        points = tf.where(self.is_kind(points, SPACE), ord(" "), points)
        return squeeze(text_of(points))

    def lower(self, text):
        """``text`` in lower case, as ``str.lower`` writes it."""
        text = tf.strings.regex_replace(text, DOTTED_I, DOTTED_I.lower())
        points = points_of(text)
        ends = (points == CAPITAL_SIGMA) & self._ends_word(points)
        lower = points + self.shifts(points)
        return text_of(tf.where(ends, FINAL_SIGMA, lower))

    def _ends_word(self, points):
        """Whether a cased letter comes before, and none after, each code point."""
        cased = self.is_kind(points, CASED)
        counted = cased | ~self.is_kind(points, IGNORABLE)
        return _nearest(cased, counted) & ~_nearest(cased[::-1], counted[::-1])[::-1]

    def with_edges(self, text):
        """``text`` with ``EDGE`` wherever ``\\b`` of Python's ``re`` matches."""
        points = points_of(text)
        word = tf.pad(self.is_kind(points, WORD), [[1, 1]])
        edges = word[1:] != word[:-1]
        marked = tf.stack([tf.fill(tf.shape(edges), ord(EDGE)), tf.pad(points, [[0, 1]])], axis=1)
        kept = tf.stack([edges, tf.pad(tf.ones_like(points, "bool"), [[0, 1]])], axis=1)
        return text_of(tf.boolean_mask(marked, kept))


def _nearest(values, counted):
    """Whether the nearest counted place before each place holds true."""
    places = tf.cast(tf.where(counted)[:, 0], "int32")
    before = tf.searchsorted(places, tf.range(tf.size(values))) - 1
    nearest = tf.gather(tf.pad(places, [[1, 0]]), before + 1)
    return (before >= 0) & tf.gather(values, nearest)


def squeeze(text):
    """``text`` without spaces at its ends and with single ones within."""
    return tf.strings.regex_replace(tf.strings.regex_replace(text, " +", " "), "^ | $", "")


def points_of(text):
    """Code points ``(length,)`` of a string; bytes that are no UTF-8 are left out."""
    return tf.strings.unicode_decode(text, "UTF-8", errors="ignore")


def text_of(points):
    """The string of code points ``(length,)``."""
    return tf.strings.unicode_encode(points, "UTF-8")


@functools.cache
def lower_shifts() -> np.ndarray:
    """What lower case adds to each code point, but for ``DOTTED_I`` and a final sigma."""
    shifts = np.zeros(CODE_POINTS, "int32")
    for point, character in _characters():
        lower = character.lower()
        if lower != character and character != DOTTED_I:
            shifts[point] = ord(lower) - point
    return shifts


@functools.cache
def kinds_of_characters() -> np.ndarray:
    """Bits of each code point.

    ``SPACE``, ``WORD`` (``\\w`` of Python's ``re``), ``SPOKEN`` (a letter or digit), and what
    decides about a final sigma: ``CASED``, and ``IGNORABLE`` for what does not come between.
    """
    bits = np.zeros(CODE_POINTS, "int32")
    for point, character in _characters():
        spoken = character.isalnum()
        bits[point] |= SPACE * character.isspace() | SPOKEN * spoken
        bits[point] |= WORD * (spoken or character == "_")
        # Python tells these two by a sigma alone.
        cased = (character + "Σ").lower()[-1] == "ς"
        seen_through = ("A" + character + "Σ").lower()[-1] == "ς"
        bits[point] |= CASED * cased | IGNORABLE * (seen_through and not cased)
    return bits


@functools.cache
def word_classes() -> np.ndarray:
    """Class of each code point in the tokeniser's own split into words.

    ``IN_WORD``, ``OUT_OF_WORD`` for what makes words of its own kind, and ``BETWEEN``.
    """
    classes = np.full(CODE_POINTS, OUT_OF_WORD, "int32")
    splitter = pre_tokenizers.Whitespace()
    points = [point for point, _ in _characters()]
    for start in range(0, len(points), 1 << 16):
        block = points[start : start + (1 << 16)]
        # Behind a letter a character joins its word, stands alone, or vanishes.
        text = "".join(f"a{chr(point)} " for point in block)
        for piece, (first, last) in splitter.pre_tokenize_str(text):
            if piece[0] == "a":
                classes[block[first // 3]] = IN_WORD if last - first == 2 else BETWEEN
            else:
                classes[block[first // 3]] = OUT_OF_WORD
    return classes


def _characters():
    for point in range(CODE_POINTS):
        if point not in SURROGATES:
            yield point, chr(point)
