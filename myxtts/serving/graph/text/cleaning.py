"""The cleaning of :mod:`myxtts.text.cleaners` inside a graph."""

from __future__ import annotations

import re

import tensorflow as tf

from myxtts.errors import TextError
from myxtts.serving.graph.text.characters import EDGE, MARK, GraphCharacters, squeeze
from myxtts.serving.graph.text.expansion import GraphNumbers
from myxtts.serving.graph.text.mending import GraphMender
from myxtts.serving.graph.text.readings import learn_readings
from myxtts.text.languages import LANGUAGES, base_language
from myxtts.text.mending import Mender

# Read by a library that no graph holds.
UNREADABLE = ("zh", "ja", "ko")


def is_readable(language: str) -> bool:
    """Whether a graph can clean texts of ``language``.

    Args:
        language: code such as ``en`` or ``zh-cn``.
    """
    base = base_language(language)
    if base in UNREADABLE:
        return False
    try:
        return base not in LANGUAGES or bool(learn_readings(base))
    except TextError:
        return False


class GraphCleaner(tf.Module):
    """:meth:`myxtts.text.tokenizer.VoiceBpeTokenizer.clean` of one language.

    Args:
        characters: tables that all languages share.
        mender: what the vocabulary lacks and how it is spelled.
        language: one that :func:`is_readable`; without a table of ``LANGUAGES`` texts only
            get lower case.

    Raises:
        TextError: its numbers are read in a way that tables cannot hold.
    """

    def __init__(self, characters: GraphCharacters, mender: Mender, language: str):
        super().__init__(name=f"cleaner_{language}")
        self.characters = characters
        self.mend = GraphMender(mender)
        self.table = LANGUAGES.get(language)
        self.numbers = self.table and GraphNumbers(characters, language)

    def __call__(self, text):
        """The cleaned text of a text with single spaces."""
        text = tf.strings.regex_replace(squeeze(self.mend(text)), '"', "")
        for capital, small in self.table.capitals.items() if self.table else ():
            text = tf.strings.regex_replace(text, capital, small)
        text = self.characters.lower(text)
        if self.table:
            text = self.numbers(text)
            text = self._expand_abbreviations(text)
            for symbol, reading in self.table.symbols.items():
                text = tf.strings.regex_replace(text, re.escape(symbol), f" {reading} ")
        return squeeze(text)

    def _expand_abbreviations(self, text):
        if not self.table.abbreviations:
            return text
        text = self.characters.with_edges(text)
        dotted = self.table.abbreviation_end == r"\."
        for short, reading in self.table.abbreviations.items():
            edged = EDGE + re.sub(r"(\W)", rf"{EDGE}\1{EDGE}", short) + EDGE
            if not dotted:
                text = tf.strings.regex_replace(text, f"(?i){edged}", EDGE + reading + EDGE)
                continue
            # Between a reading and a word right behind it is no edge.
            text = tf.strings.regex_replace(text, rf"(?i){edged}\.", EDGE + MARK)
            text = tf.strings.regex_replace(text, MARK + EDGE, reading)
            text = tf.strings.regex_replace(text, MARK, reading + EDGE)
        return tf.strings.regex_replace(text, EDGE, "")
