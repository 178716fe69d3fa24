"""LSTM and GRU over all steps of a sequence, with gradients of their own.

What comes in is multiplied once for all steps before them, and the gradient of a recurrent kernel
is one product over all steps behind them: a loop's own would do both step by step, and add a matrix
of the kernel's size in each, which takes a processor longer than the rest.
"""

from __future__ import annotations

import keras
from keras import ops


class GRU(keras.layers.GRU):
    """Keras's, for which training takes a processor less time: half for a batch of 25 rows.

    The reset gate comes behind the product.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(units, **kwargs | {"reset_after": True})

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """``(batch, steps, channels)`` to ``(batch, steps, units)``, or to the last of these.

        A GPU has cuDNN; masks, states that are given and dropout are Keras's.
        """
        asked = self.return_state or self.stateful or self.dropout or self.recurrent_dropout
        given = mask is not None or initial_state is not None
        if asked or given or keras.distribution.list_devices("gpu"):
            return super().call(sequences, initial_state, mask, training)
        cell = self.cell
        x = ops.flip(sequences, axis=1) if self.go_backwards else sequences
        rows = ops.swapaxes(ops.matmul(x, cell.kernel) + cell.bias[0], 0, 1)
        own = (ops.cast(item, rows.dtype) for item in (cell.recurrent_kernel, cell.bias[1:]))
        hiddens = gru(rows, *own)
        return ops.swapaxes(hiddens, 0, 1) if self.return_sequences else hiddens[-1]


def lstm_gates(sums) -> tuple:
    """The four gates of an LSTM, in torch's and Keras's order: in, forget, new content, out."""
    first, forget, new, out = ops.split(sums, 4, axis=-1)
    return ops.sigmoid(first), ops.sigmoid(forget), ops.tanh(new), ops.sigmoid(out)


@ops.custom_gradient
def lstm(rows, recurrent, zoneout):
    """Outputs of an LSTM from zeros, ``(steps, batch, units)``.

    Args:
        rows: what comes in, multiplied and with its bias, ``(steps, batch, 4 * units)``.
        recurrent: kernel ``(units, 4 * units)``.
        zoneout: ``(steps, batch, units)``, where 1 keeps the output of the step before.
    """
    start = ops.zeros_like(zoneout[0])

    def forward(state, now):
        hidden, cell, _ = state
        sums, kept = ops.split(now, [4 * start.shape[-1]], axis=-1)
        first, forget, new, out = gates = lstm_gates(sums + ops.matmul(hidden, recurrent))
        cell = forget * cell + first * new
        hidden = hidden * kept + out * ops.tanh(cell) * (1.0 - kept)
        state = hidden, cell, ops.concatenate(gates, axis=-1)
        return state, state

    begin = start, start, ops.zeros_like(rows[0])
    # One array: Keras's loop takes several of an unknown length for a fault.
    _, (hiddens, cells, gates) = ops.scan(forward, begin, ops.concatenate([rows, zoneout], -1))

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream

        def backward(state, now):
            coming, ahead, _ = state
            coming_now, gate, cell, old, kept = ops.split(
                now, [size * start.shape[-1] for size in (1, 5, 6, 7)], axis=-1
            )
            first, forget, new, out = ops.split(gate, 4, axis=-1)
            coming = coming + coming_now
            made, bent = coming * (1.0 - kept), ops.tanh(cell)
            ahead = ahead + made * out * (1.0 - bent * bent)
            sums = ops.concatenate(
                [
                    ahead * new * first * (1.0 - first),
                    ahead * old * forget * (1.0 - forget),
                    ahead * first * (1.0 - new * new),
                    made * bent * out * (1.0 - out),
                ],
                axis=-1,
            )
            coming = coming * kept + ops.matmul(sums, ops.transpose(recurrent))
            state = coming, ahead * forget, sums
            return state, state

        told = ops.concatenate([upstream, gates, cells, _before(cells), zoneout], axis=-1)
        _, (_, _, sums) = ops.scan(backward, begin, told, reverse=True)
        return sums, _products(_before(hiddens), sums), ops.zeros_like(zoneout)

    return hiddens, gradient


@ops.custom_gradient
def gru(rows, recurrent, bias):
    """Outputs of a GRU from zeros, ``(steps, batch, units)``.

    Its gates stand in Keras's order, update, reset and new content, and the reset gate comes behind
    the product, as in torch and cuDNN.

    Args:
        rows: what comes in, multiplied and with its bias, ``(steps, batch, 3 * units)``.
        recurrent: kernel ``(units, 3 * units)``.
        bias: of what that makes, ``(1, 3 * units)``.
    """
    units = recurrent.shape[-2]
    start = ops.zeros_like(rows[0, :, :units])

    def forward(state, now):
        hidden = state[0]
        given, own = ops.split(now, [2 * units], axis=-1)
        gates, kept = ops.split(ops.matmul(hidden, recurrent) + bias, [2 * units], axis=-1)
        gates = ops.sigmoid(given + gates)
        update, reset = ops.split(gates, 2, axis=-1)
        new = ops.tanh(own + reset * kept)
        state = new + update * (hidden - new), gates, new, kept
        return state, state

    begin = start, ops.zeros_like(rows[0, :, : 2 * units]), start, start
    _, (hiddens, gates, news, kept) = ops.scan(forward, begin, rows)

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        # What a gradient is multiplied by on its way back does not depend on it.
        update, reset = ops.split(gates, 2, axis=-1)
        old = _before(hiddens)
        of_new = (1.0 - update) * (1.0 - news * news)
        of_update = (old - news) * update * (1.0 - update)
        of_reset = of_new * kept * reset * (1.0 - reset)
        slopes = ops.concatenate([of_update, of_reset, of_new * reset], axis=-1)
        told = ops.concatenate([upstream, update, slopes], axis=-1)
        turned = ops.swapaxes(recurrent, -1, -2)

        def backward(state, now):
            coming_now, update, slopes = ops.split(now, [units, 2 * units], axis=-1)
            coming = state[0] + coming_now
            sums = ops.concatenate([coming] * 3, axis=-1) * slopes
            state = coming * update + ops.matmul(sums, turned), coming
            return state, state

        _, (_, coming) = ops.scan(backward, (start, start), told, reverse=True)
        own = ops.concatenate([coming] * 3, axis=-1) * slopes
        rows = ops.concatenate([own[..., : 2 * units], coming * of_new], axis=-1)
        return rows, _products(old, own), ops.sum(own, axis=(0, 1))[None]

    return hiddens, gradient


def _before(values):
    """Values of the step before; zeros at the first."""
    return ops.concatenate([ops.zeros_like(values[:1]), values[:-1]], axis=0)


def _products(first, second):
    """Sum over steps and batch of the products of ``(steps, batch, n)`` and ``(.., m)``."""
    flat = [ops.reshape(item, (-1, item.shape[-1])) for item in (first, second)]
    return ops.matmul(ops.transpose(flat[0]), flat[1])
