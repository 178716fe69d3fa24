"""How a graph refuses a request: by an assertion whose sentence the client shows."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from myxtts.audio.io import LOUDEST
from myxtts.generation.voices import LARGEST

TOO_FEW_SAMPLES = "lengths tells of more samples than the audio has."


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


def of_its_shape(value, name: str):
    """An input, if it has the axes and sizes that its signature has.

    A server does not compare them, and what they meet in the graph has no sentence.

    Args:
        value: an input of a graph, whose static shape is the signature's.
        name: of it.
    """
    if value.shape.rank is None:
        return value
    known = [-1 if size is None else size for size in value.shape]
    # The optimiser of graphs would take the static shape's word for it: a default may be another.
    met = tf.shape(tf.raw_ops.PlaceholderWithDefault(input=value, shape=None))
    sizes = tf.concat([met, [-1] * len(known)], axis=0)[: len(known)]
    fits = tf.logical_or(tf.equal(sizes, known), tf.less(known, 0))
    fits = tf.logical_and(fits, tf.equal(tf.size(met), len(known)))
    told = ", ".join("any" if size < 0 else str(size) for size in known)
    return required(value, (fits, f"{name} must have the shape ({told})."))


def of_as_many_rows(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """A request's inputs, if each has as many rows as the others."""
    rows = [tf.shape(value)[0] for value in inputs.values()]
    names = ", ".join(inputs)
    rule = (tf.equal(rows, rows[0]), f"the inputs {names} must have equally many rows.")
    return {name: required(value, rule) for name, value in inputs.items()}


def sound_rules(audio) -> tuple[tuple, ...]:
    """Rules for :func:`required`: samples ``(batch, samples)`` are those of a sound."""
    return (
        (tf.math.is_finite(audio), "the audio holds NaN or infinite samples."),
        (
            tf.abs(audio) <= LOUDEST,
            f"the audio holds samples beyond {LOUDEST:g}; sound lies in [-1, 1].",
        ),
    )


def of_a_recording(audio, lengths, least: int):
    """Audio ``(batch, samples)`` for a speaker encoder, if each row has ``least`` samples."""
    return required(
        audio,
        (lengths <= tf.shape(audio)[1], TOO_FEW_SAMPLES),
        (lengths >= least, f"the audio needs at least {least} samples."),
        *sound_rules(tf.where(tf.sequence_mask(lengths, tf.shape(audio)[1]), audio, 0.0)),
    )


def of_a_voice(value, name: str):
    """Latents or embeddings, if a model could have made them.

    Args:
        value: float32 ``(batch, ...)``.
        name: of the input.
    """
    return required(
        value,
        (tf.math.is_finite(value), f"{name} holds NaN or infinite values."),
        (tf.abs(value) <= LARGEST, f"{name} holds values beyond {LARGEST:g}: no voice has them."),
    )


def speech(waveform):
    """Samples in [-1, 1], if the model made numbers."""
    told = "the model made samples that are NaN or infinite: its weights or the voice are damaged."
    return tf.clip_by_value(required(waveform, (tf.math.is_finite(waveform), told)), -1.0, 1.0)
