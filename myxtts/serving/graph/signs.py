"""The signs of :mod:`myxtts.generation.guards`, for a batch inside a graph."""

from __future__ import annotations

import math

import tensorflow as tf

from myxtts.generation.guards import (
    FRAME,
    LONGEST_CYCLE,
    REPEATED_SECONDS,
    SILENCE_DB,
    SILENT_SECONDS,
    STOP_ODDS,
)
from myxtts.timing import OUTPUT_RATE, SECONDS_PER_CODE


def repeats(codes, lengths):
    """Whether rows of codes ``(batch, codes)`` go round in a circle, see the guards.

    Args:
        codes: int ``(batch, codes)``, padded.
        lengths: of the rows.
    """
    needed = math.ceil(REPEATED_SECONDS / SECONDS_PER_CODE)
    found = []
    for period in range(1, LONGEST_CYCLE + 1):
        # What lies behind a row's end, or before its beginning, equals nothing.
        same = codes[:, period:] == codes[:, :-period]
        own = tf.sequence_mask(lengths - period, tf.shape(same)[1])
        found.append(_runs(same & own, needed))
    return tf.reduce_any(tf.stack(found), axis=0)


def falls_silent(waveform, samples):
    """Whether rows ``(batch, samples)`` at 24 kHz are silent for 1.5 s on end.

    Args:
        waveform: padded.
        samples: of the rows.
    """
    count = tf.shape(waveform)[1] // FRAME
    frames = tf.reshape(waveform[:, : count * FRAME], [tf.shape(waveform)[0], count, FRAME])
    own = tf.sequence_mask(samples // FRAME, count)
    levels = tf.where(own, tf.sqrt(tf.reduce_mean(tf.square(frames), axis=2)), 0.0)
    loudest = tf.reduce_max(tf.pad(levels, [[0, 0], [0, 1]]), axis=1, keepdims=True)
    silent = levels <= tf.maximum(loudest, 1e-10) * 10 ** (SILENCE_DB / 20)
    needed = math.ceil(SILENT_SECONDS * OUTPUT_RATE / FRAME)
    return _runs(silent & own, needed)


def stops_doubtfully(logits, stop_code: int):
    """Whether some code was five times as likely as the stop code that was drawn.

    Args:
        logits: ``(batch, num_audio_tokens)`` before temperature, penalties and filters.
        stop_code: id of the stop code.
    """
    stop = tf.one_hot(stop_code, tf.shape(logits)[1], on_value=True, off_value=False)
    others = tf.reduce_max(tf.where(stop, logits.dtype.min, logits), axis=1)
    return others - logits[:, stop_code] > math.log(STOP_ODDS)


def _runs(values, needed: int):
    """Whether rows of bool ``(batch, length)`` are true for ``needed`` places on end."""
    counts = tf.cumsum(tf.cast(values, "int32"), axis=1)
    counts = tf.pad(counts, [[0, 0], [1, 0]])
    return tf.reduce_any(counts[:, needed:] - counts[:, :-needed] == needed, axis=1)
