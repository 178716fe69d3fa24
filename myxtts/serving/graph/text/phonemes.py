"""Phonemes in brackets inside a graph."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from myxtts.serving.graph.refusal import required
from myxtts.serving.graph.text.characters import (
    CODE_POINTS,
    SPACE,
    CharacterTable,
    kinds_of_characters,
    points_of,
    text_of,
)
from myxtts.text.phonemes import signs
from myxtts.text.tokenizer import VoiceBpeTokenizer

SILENT, REFUSED = 0, -1


class GraphPhonemes(tf.Module):
    """:func:`myxtts.text.phonemes.without_brackets` of a vocabulary with phonemes.

    Args:
        tokenizer: whose phonemes they are.
    """

    def __init__(self, tokenizer: VoiceBpeTokenizer):
        super().__init__(name="phonemes")
        values = np.full(CODE_POINTS, REFUSED, "int32")
        values[(kinds_of_characters() & SPACE) > 0] = ord(" ")
        for symbol, sign in signs(tokenizer.phonemes).items():
            values[ord(symbol)] = ord(sign) if sign else SILENT
        self.signs = CharacterTable(values)
        known = "".join(tokenizer.phonemes)
        self.sentence = f"a symbol in brackets is no phoneme; known are {known}."

    def __call__(self, text):
        """A string whose stretches in brackets are the vocabulary's characters."""
        points = points_of(text)
        opening, closing = points == ord("["), points == ord("]")
        brackets = tf.cast(tf.where(opening | closing)[:, 0], "int32")
        places = tf.range(tf.size(points))
        before = tf.searchsorted(brackets, places) - 1
        behind = tf.searchsorted(brackets, places, side="right")
        opened = _holds(opening, brackets, before)
        closed = _holds(closing, brackets, behind)
        inside = opened & closed & ~opening & ~closing
        bracket = (opening & closed) | (closing & opened)
        spelled = tf.where(inside, self.signs(points), points)
        spelled = required(spelled, (spelled != REFUSED, self.sentence))
        return text_of(tf.boolean_mask(spelled, ~bracket & ~(inside & (spelled == SILENT))))


def _holds(values, brackets, numbers):
    """Whether ``values`` hold at the brackets of these ``numbers``; not where there is none."""
    exists = (numbers >= 0) & (numbers < tf.size(brackets))
    # One more, so that there is always one to look at.
    places = tf.gather(tf.pad(brackets, [[0, 1]]), tf.where(exists, numbers, tf.size(brackets)))
    return exists & tf.gather(values, tf.where(exists, places, 0))
