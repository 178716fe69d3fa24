"""From logits to the next audio code: small pure functions.

Randomness comes in as uniform numbers, so that a draw is a function of its
inputs alone, in a graph or out of it. Filters follow Hugging Face's logits
processors (temperature, top-k, top-p, repetition penalty of Keskar et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from myxtts.errors import ConfigError

REMOVED = -1e9


# What each option must be, for a number and for a tensor of a row a request.
RULES: dict[str, tuple[Callable, str]] = {
    "temperature": (lambda value: value > 0, "above 0"),
    "top_k": (lambda value: value >= 0, "at least 0"),
    "top_p": (lambda value: (value > 0) & (value <= 1), "in (0, 1]"),
    "repetition_penalty": (lambda value: value > 0, "above 0"),
}


def check_sampling(**options) -> None:
    """Raise ``ConfigError`` for a plain number out of range; tensors pass unchecked."""
    for name, value in options.items():
        holds, wanted = RULES[name]
        if isinstance(value, (int, float)) and not holds(value):
            raise ConfigError(f"{name} must be {wanted}, not {value!r}.")


def drawing(temperature, top_k, top_p, repetition_penalty) -> dict:
    """Options of a request as arguments of :func:`myxtts.generation.state.advance`.

    Each is a number, or a tensor ``(batch,)``. A temperature of 0 is greedy.
    """
    rows = {"top_k": top_k, "top_p": top_p, "repetition_penalty": repetition_penalty}
    if isinstance(temperature, (int, float)):
        return rows | {"temperature": temperature or 1.0, "greedy": temperature == 0}
    greedy = ops.equal(temperature, 0.0)
    rows["temperature"] = ops.where(greedy, 1.0, temperature)
    return {name: value[:, None] for name, value in rows.items()} | {"greedy": greedy}


def penalise_repetition(logits, seen, penalty):
    """Make codes that were ``seen`` (bool, the shape of ``logits``) less likely."""
    penalised = ops.where(logits > 0, logits / penalty, logits * penalty)
    return ops.where(seen, penalised, logits)


def keep_top_k(logits, top_k):
    """Keep the ``top_k`` largest of ``(batch, classes)``; 0 keeps all.

    ``top_k`` is a number, or int ``(batch, 1)``.
    """
    classes = logits.shape[-1]
    if isinstance(top_k, int) and (top_k == 0 or top_k >= classes):
        return logits
    last = ops.where(ops.equal(top_k, 0), classes, ops.minimum(top_k, classes)) - 1
    last = ops.broadcast_to(ops.cast(last, "int32"), (ops.shape(logits)[0], 1))
    threshold = ops.take_along_axis(_descending(logits), last, axis=-1)
    return ops.where(logits < threshold, REMOVED, logits)


def keep_top_p(logits, top_p):
    """Keep the likeliest of ``(batch, classes)`` until their probability reaches ``top_p``."""
    if isinstance(top_p, float) and top_p >= 1.0:
        return logits
    ordered = _descending(logits)
    probabilities = ops.softmax(ordered, axis=-1)
    before = ops.cumsum(probabilities, axis=-1) - probabilities
    # The first always stays: nothing lies before it.
    kept = ops.where(before < top_p, ordered, -REMOVED)
    threshold = ops.min(kept, axis=-1, keepdims=True)
    return ops.where(logits < threshold, REMOVED, logits)


def filter_logits(logits, temperature, top_k, top_p):
    """Temperature, then top-k, then top-p."""
    return keep_top_p(keep_top_k(logits / temperature, top_k), top_p)


def draw(logits, uniforms):
    """Class ``(batch,)`` at the quantile ``uniforms`` ``(batch,)`` in [0, 1) of the softmax."""
    cumulative = ops.cumsum(ops.softmax(logits, axis=-1), axis=-1)
    # Rounding may leave the last sum under one: scale by it, and stay inside it.
    target = uniforms[:, None] * cumulative[:, -1:] * (1.0 - 1e-6)
    return ops.sum(ops.cast(cumulative <= target, "int32"), axis=-1)


def _descending(logits):
    return -ops.sort(-logits, axis=-1)
