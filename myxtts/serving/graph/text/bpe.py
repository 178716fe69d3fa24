"""Byte-pair encoding (Sennrich et al. 2016) inside a graph."""

from __future__ import annotations

import json
import re

import numpy as np
import tensorflow as tf

from myxtts.errors import TextError
from myxtts.serving.graph.text.characters import (
    BETWEEN,
    CODE_POINTS,
    OUT_OF_WORD,
    CharacterTable,
    points_of,
    word_classes,
)
from myxtts.text.tokenizer import SPACE, UNKNOWN, VoiceBpeTokenizer

# Special tokens stand as characters of Unicode's last private plane, which are unknown to
# a vocabulary; a text's own are another unknown one.
PRIVATE = 0x100000
ANOTHER_PRIVATE = 0xF0000
SPECIAL = 3
NO_RANK = np.iinfo("int32").max
# What a graph can do; everything else is another tokeniser.
EXPECTED = {
    "dropout": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


class GraphBPE(tf.Module):
    """Ids of cleaned texts.

    Args:
        tokenizer: whose ids they are.

    Raises:
        TextError: the tokenizer does what a graph here cannot.
    """

    def __init__(self, tokenizer: VoiceBpeTokenizer):
        super().__init__(name="bpe")
        state = json.loads(tokenizer.to_json())
        _require(state)
        model = state["model"]
        ids = model["vocab"] | {item["content"]: item["id"] for item in state["added_tokens"]}
        self.unknown, self.space = ids[UNKNOWN], ids[SPACE]
        self.special = {item["content"]: item["id"] for item in state["added_tokens"]}
        self.classes = CharacterTable(_classes(self.special.values()))
        characters = {ord(token): number for token, number in ids.items() if len(token) == 1}
        characters |= {PRIVATE + number: number for number in self.special.values()}
        characters[ord(" ")] = self.space
        points = np.array(sorted(characters), "int32")
        self.points = tf.constant(points)
        self.ids = tf.constant([characters[point] for point in points], "int32")
        self._set_merges(model["merges"], model["vocab"])

    def _set_merges(self, merges: list, vocabulary: dict[str, int]) -> None:
        self.base = max(vocabulary.values()) + 1
        pairs = [tuple(item.split(" ")) if isinstance(item, str) else item for item in merges]
        # Of a pair that is named twice the last rank counts.
        ranks = {
            vocabulary[left] * self.base + vocabulary[right]: (rank, vocabulary[left + right])
            for rank, (left, right) in enumerate(pairs)
        }
        # A key that nothing has keeps the tables from being empty.
        ranks.setdefault(-1, (NO_RANK, 0))
        self.keys = tf.constant(sorted(ranks), "int64")
        self.ranks = tf.constant([ranks[key][0] for key in sorted(ranks)], "int32")
        self.merged = tf.constant([ranks[key][1] for key in sorted(ranks)], "int32")

    def __call__(self, text):
        """Ids ``(tokens,)`` of a string."""
        points = points_of(text)
        points = tf.where(points >= ANOTHER_PRIVATE, ANOTHER_PRIVATE, points)
        points = points_of(self._with_special(tf.strings.unicode_encode(points, "UTF-8")))
        words = self._merge(self._words(points))
        return tf.boolean_mask(words, words >= 0)

    def _with_special(self, text):
        """``text`` with special tokens as characters."""
        for token, number in self.special.items():
            text = tf.strings.regex_replace(text, re.escape(token), chr(PRIVATE + number))
        return text

    def _words(self, points):
        """Ids ``(words, longest)`` of the words' characters, filled with -1."""
        classes = self.classes(points)
        before = tf.concat([[-1], classes], axis=0)[: tf.size(classes)]
        starts = (classes != before) | (classes == SPECIAL)
        word = tf.cumsum(tf.cast(starts, "int32")) - 1
        first = tf.cast(tf.where(starts)[:, 0], "int32")
        place = tf.range(tf.size(points)) - tf.gather(first, word)
        ids = tf.where(classes == BETWEEN, -1, self._characters(points))
        shape = tf.stack([tf.size(first), tf.reduce_max(tf.pad(place, [[1, 0]])) + 2])
        return tf.tensor_scatter_nd_update(tf.fill(shape, -1), tf.stack([word, place], axis=1), ids)

    def _characters(self, points):
        nearest = tf.minimum(tf.searchsorted(self.points, points), tf.size(self.points) - 1)
        known = tf.gather(self.points, nearest) == points
        return tf.where(known, tf.gather(self.ids, nearest), self.unknown)

    def _merge(self, words):
        """``words`` after all merges, one a word in each turn: the lowest rank, leftmost."""
        places = tf.range(tf.shape(words)[1])[None]

        def goes_on(_, merges):
            return merges

        def turn(words, _):
            left, right = words[:, :-1], words[:, 1:]
            rank, merged = self._rank(left, right)
            best = tf.argmin(rank, axis=1, output_type="int32")[:, None]
            found = tf.reduce_min(rank, axis=1, keepdims=True) < NO_RANK
            joined = tf.gather(merged, best, batch_dims=1)
            source = tf.minimum(places + tf.cast(places > best, "int32"), tf.shape(words)[1] - 1)
            shorter = tf.where(places == best, joined, tf.gather(words, source, batch_dims=1))
            return tf.where(found, shorter, words), tf.reduce_any(found)

        return tf.while_loop(goes_on, turn, (words, tf.size(words) > 0))[0]

    def _rank(self, left, right) -> tuple:
        """Ranks of pairs and what they become."""
        key = tf.cast(left, "int64") * self.base + tf.cast(right, "int64")
        flat = tf.reshape(key, [-1])
        nearest = tf.minimum(tf.searchsorted(self.keys, flat), tf.size(self.keys) - 1)
        nearest = tf.reshape(nearest, tf.shape(key))
        known = (tf.gather(self.keys, nearest) == key) & (left >= 0) & (right >= 0)
        rank = tf.where(known, tf.gather(self.ranks, nearest), NO_RANK)
        return rank, tf.gather(self.merged, nearest)


def _classes(special) -> np.ndarray:
    classes = word_classes().copy()
    classes[ord(" ")] = SPECIAL
    classes[PRIVATE + np.array(list(special))] = SPECIAL
    classes[ANOTHER_PRIVATE] = OUT_OF_WORD
    assert len(classes) == CODE_POINTS
    return classes


def _require(state: dict) -> None:
    model = state["model"]
    others = [name for name, value in EXPECTED.items() if model.get(name, value) != value]
    if state["normalizer"] or state["pre_tokenizer"] != {"type": "Whitespace"}:
        others.append("pre_tokenizer")
    if model.get("type", "BPE") != "BPE":
        others.append("type")
    # Such tokens cannot overlap, so that it does not matter which is looked for first.
    others += [
        item["content"]
        for item in state["added_tokens"]
        if not re.fullmatch(r"\[[^\[\]]+\]", item["content"])
        or item["single_word"]
        or item["lstrip"]
        or item["rstrip"]
        or item["normalized"]
    ]
    if others:
        raise TextError(f"a graph cannot hold this tokenizer: it differs in {others[0]}.")
