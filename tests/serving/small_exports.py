"""Exports of a few operations, for tests of what loads and checks an export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from myxtts.serving.export import describe
from myxtts.serving.signatures import concrete

TEXT = {"text": tf.TensorSpec((None,), "string"), "language": tf.TensorSpec((None,), "string")}
# Samples of each character.
SAMPLES = 100


def write_export(
    folder: Path, functions: Mapping[str, tuple[Callable, Mapping]], **about: object
) -> Path:
    """Write signatures, functions and their inputs by name, and what ``serving.json`` says."""
    graphs = {name: concrete(*pair) for name, pair in functions.items()}
    tf.saved_model.save(tf.Module(), str(folder), signatures=graphs)
    describe(folder)
    told = {"languages": ["en"], "max_text_tokens": 90, **about}
    (folder / "assets.extra" / "serving.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def speak(text, language) -> dict:
    """A tone as long as its text, that refuses what is no text."""
    lengths = tf.strings.length(text)
    fits = tf.reduce_all((lengths > 0) & (lengths < 1_000) & (language == "en"))
    with tf.control_dependencies([tf.debugging.Assert(fits, ["no such text."])]):
        samples = SAMPLES * tf.ensure_shape(lengths, (None,))
    time = tf.cast(tf.range(tf.reduce_max(samples)), "float32")
    wave = tf.where(tf.range(tf.size(time)) < samples[:, None], tf.sin(time / 9), 0.0)
    return {"waveform": wave, "samples": samples}


def start(text, language) -> dict:
    """Code points for ids, where the text has no number."""
    plain = ~tf.strings.regex_full_match(text, ".*[0-9].*")
    sentence = "write it in words, or send the ids of the text to synthesize_ids."
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(plain), [sentence])]):
        ids = tf.strings.unicode_decode(tf.identity(text), "UTF-8")
    return {"ids": tf.cast(ids.to_tensor(), "int32")}
