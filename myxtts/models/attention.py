"""Scaled dot-product attention, its masks and its cache."""

from __future__ import annotations

from keras import ops

# Added to the scores of keys that must not be seen.
HIDDEN = -1e9


def attend(query, key, value, bias=None, dropout=None, training=False):
    """Scaled dot-product attention of ``(batch, heads, length, head_dim)`` tensors.

    Args:
        bias: added to the scores, broadcast to ``(batch, heads, queries, keys)``; None for none.
        dropout: layer applied to the weights; None for none.

    Returns:
        ``(batch, queries, heads, head_dim)``: heads beside their channels, ready to be joined.
    """
    return weigh(attention_weights(query, key, bias), value, dropout, training)


def weigh(weights, value, dropout=None, training=False):
    """Values under attention weights, as :func:`attend` returns them."""
    weights = ops.cast(weights, value.dtype)
    if dropout is not None:
        weights = dropout(weights, training=training)
    return ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))


def attention_weights(query, key, bias=None):
    """Softmax of the scaled scores, ``(batch, heads, queries, keys)`` float32."""
    scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
    scores = ops.cast(scores, "float32") * query.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + ops.cast(bias, "float32")
    return ops.softmax(scores, axis=-1)


def key_bias(valid):
    """Score bias ``(batch, 1, 1, keys)`` that hides the keys whose ``valid`` is False."""
    if valid is None:
        return None
    return ops.where(valid, 0.0, HIDDEN)[:, None, None, :]


def causal_bias(length):
    """Score bias ``(1, 1, length, length)`` that hides what comes later."""
    positions = ops.arange(length)
    later = positions[None, :] > positions[:, None]
    return ops.where(later, HIDDEN, 0.0)[None, None]


def write_slot(slots, position, values):
    """``slots`` ``(..., length, dim)`` with ``values`` ``(..., 1, dim)`` at ``position``.

    As fast as :func:`keras.ops.slice_update`, which TensorFlow does by an op of XLA that
    not every runtime has.
    """
    shape, dim = ops.shape(slots), slots.shape[-1]
    rows = ops.reshape(slots, (-1, dim))
    indices = ops.arange(ops.shape(rows)[0] // shape[-2]) * shape[-2] + position
    values = ops.cast(ops.reshape(values, (-1, dim)), slots.dtype)
    return ops.reshape(ops.scatter_update(rows, indices[:, None], values), shape)
