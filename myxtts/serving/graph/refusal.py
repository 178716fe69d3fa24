"""How a graph refuses a request: by an assertion whose sentence the client shows."""

from __future__ import annotations

import tensorflow as tf


def required(value, *rules: tuple):
    """``value``, where every rule holds; a request that breaks one is refused by its sentence.

    Args:
        value: a tensor that nothing may be made of before.
        rules: pairs of a bool tensor, true throughout, and a sentence.
    """
    asserted = [tf.debugging.Assert(tf.reduce_all(holds), [told]) for holds, told in rules]
    # Eagerly they have failed by now, and are None.
    with tf.control_dependencies([item for item in asserted if item is not None]):
        return tf.identity(value)
