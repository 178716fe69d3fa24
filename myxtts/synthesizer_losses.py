"""Objectives of a Tacotron: mels, the stop, and an attention that is where it should be."""

from __future__ import annotations

from keras import ops

from myxtts import replicas
from myxtts.losses import whole_mean

# Width of the band that guided attention leaves free, as a share of both lengths.
BAND = 0.2
# Width of what counts as the character that is spoken, in characters.
NEAR = 1.0
LEAST = 1e-4


def tacotron_losses(spoken, mels, stops, valid=None, heard=None) -> dict:
    """Parts of RTVC's loss, scalars.

    Args:
        spoken: with ``mel``, ``linear`` ``(batch, frames, mels)`` and ``stop`` logits.
        mels: targets.
        stops: targets ``(batch, frames)``, 0 and 1.
        valid: bool ``(batch, frames)``, frames whose mels count; padding too when None.
        heard: the same of the stops.

    Returns:
        ``m1`` (squared and absolute error before the post-net), ``m2`` (squared error behind it)
        and ``stop`` (binary cross-entropy).
    """
    first, second = mels - spoken.mel, mels - spoken.linear
    logits = spoken.stop
    crossed = ops.maximum(logits, 0.0) - logits * stops + ops.log1p(ops.exp(-ops.abs(logits)))
    own = None if valid is None else valid[..., None]
    return {
        "m1": _mean(ops.square(first), own) + _mean(ops.abs(first), own),
        "m2": _mean(ops.square(second), own),
        "stop": _mean(crossed, heard),
    }


def _mean(errors, counted):
    """Mean of ``errors``, or of those that are counted."""
    if counted is None:
        return whole_mean(errors)
    weights = ops.broadcast_to(ops.cast(counted, errors.dtype), ops.shape(errors))
    part, weight = replicas.totals(ops.sum(errors * weights), ops.sum(weights))
    return part / ops.maximum(weight, 1.0)


def guided_attention(attention, steps, characters, paths=None):
    """Mean attention away from where it should be (Tachibana et al. 2017), a scalar.

    Args:
        attention: ``(batch, steps, characters)``.
        steps, characters: int ``(batch,)``, of each text, padding not counted.
        paths: ``(batch, steps)``, share of the text that is spoken at each step, where durations
            are known; the diagonal when None, and where it is negative.
    """
    _, longest, width = ops.shape(attention)
    rows = ops.cast(ops.arange(longest), "float32")[None]
    columns = ops.cast(ops.arange(width), "float32")[None]
    steps, characters = (ops.cast(n, "float32")[:, None] for n in (steps, characters))
    where = rows / ops.maximum(steps, 1.0)
    if paths is not None:
        where = ops.where(paths >= 0, ops.cast(paths, "float32"), where)
    away = columns[:, None] / ops.maximum(characters, 1.0)[..., None] - where[..., None]
    weights = 1.0 - ops.exp(-ops.square(away) / (2.0 * BAND**2))
    counts = ops.cast((rows < steps)[..., None] & (columns < characters)[:, None], "float32")
    away = ops.sum(ops.cast(attention, "float32") * weights * counts)
    away, counted = replicas.totals(away, ops.sum(counts))
    return away / ops.maximum(counted, 1.0)


def spoken_attention(attention, characters, paths):
    """Mean negative log of the attention to the character that is spoken, a scalar.

    What is beside that character counts in part, by a bell of width ``NEAR``; steps of which
    nobody knows the character count nothing.

    Args:
        attention: ``(batch, steps, characters)``.
        characters: int ``(batch,)``, of each text.
        paths: ``(batch, steps)``, share of the text that is spoken at each step; negative where
            that is not known.
    """
    columns = ops.cast(ops.arange(ops.shape(attention)[2]), "float32")
    known = ops.cast(paths >= 0, "float32")
    spoken = ops.cast(paths, "float32") * ops.cast(characters, "float32")[:, None]
    near = ops.exp(-ops.square(columns[None, None] - spoken[..., None]) / (2.0 * NEAR**2))
    share = ops.sum(ops.cast(attention, "float32") * near, axis=-1)
    missed, counted = replicas.totals(-ops.sum(ops.log(share + LEAST) * known), ops.sum(known))
    return missed / ops.maximum(counted, 1.0)
