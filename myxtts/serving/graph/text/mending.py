"""The mending of :mod:`myxtts.text.mending` inside a graph."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from myxtts.serving.graph.text.characters import CODE_POINTS, CharacterTable, points_of
from myxtts.text.mending import Mender

# No letter has more marks.
_MARKS = 3
# Code points have fewer bits.
_SHIFT = 1 << 21


class GraphMender(tf.Module):
    """:class:`~myxtts.text.mending.Mender` as operations.

    Args:
        mender: what it puts for what.
    """

    def __init__(self, mender: Mender):
        super().__init__(name="mender")
        keys = {
            ord(letter) * _SHIFT + ord(mark): ord(whole)
            for (letter, mark), whole in mender.pairs.items()
        }
        self.keys = tf.constant(sorted(keys), "int64")
        self.wholes = tf.constant([keys[key] for key in sorted(keys)], "int32")
        forms = sorted(set(mender.singles.values()))
        places = np.zeros(CODE_POINTS, "int32")
        for sign, form in mender.singles.items():
            places[ord(sign)] = 1 + forms.index(form)
        self.places = CharacterTable(places)
        self.forms = tf.constant(["", *forms])

    def __call__(self, text):
        """A text with what can be mended."""
        points = points_of(text)
        for _ in range(_MARKS if self.keys.shape[0] else 0):
            points = self._composed(points)
        places = self.places(points)
        own = tf.strings.unicode_encode(points[:, None], "UTF-8")
        return tf.strings.reduce_join(tf.where(places > 0, tf.gather(self.forms, places), own))

    def _composed(self, points):
        """Code points, each letter with the mark behind it as one."""
        wide = tf.cast(points, "int64")
        keys = wide[:-1] * _SHIFT + wide[1:]
        places = tf.minimum(tf.searchsorted(self.keys, keys), tf.size(self.keys) - 1)
        hits = tf.gather(self.keys, places) == keys
        wholes = tf.where(hits, tf.gather(self.wholes, places), points[:-1])
        points = tf.concat([wholes, points[-1:]], axis=0)
        # The mark behind each letter that is now both; the first of a text is none.
        marks = tf.concat([tf.zeros_like(points[:1], "bool"), hits], axis=0)
        return tf.boolean_mask(points, ~marks)
