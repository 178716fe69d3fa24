"""A SavedModel with the signatures of an exported model that hums instead of speaking."""

from __future__ import annotations

import math
from pathlib import Path

import tensorflow as tf

from myxtts.serving.export import describe

LANGUAGES = ("en", "zh-cn")
SAMPLES_PER_CODE = 240
# The model of these many letters a text; a longer one must come in pieces.
MOST_CHARACTERS = 300
# The seed whose speech repeats itself.
STUTTERING_SEED = 13


def spec(kind: str = "float32", *axes: int | None) -> tf.TensorSpec:
    return tf.TensorSpec((None, *axes), kind)


TEXT = {"text": spec("string"), "language": spec("string")}
VOICE = {"latents": spec("float32", 2, 4), "speaker_embedding": spec("float32", 3)}
OPTIONS = {
    "temperature": spec(),
    "top_k": spec("int32"),
    "top_p": spec(),
    "repetition_penalty": spec(),
    "seed": spec("int64"),
}
STATE = {
    "ids": spec("int32", None),
    "id_lengths": spec("int32"),
    "characters": spec("int32"),
    "codes": spec("int32", None),
    "emitted": spec("int32"),
}


def write_stand_in(folder: Path) -> Path:
    """Write it to ``folder``, with the description that the C session reads."""
    signatures = {
        "serving_default": concrete(serving_default, TEXT | VOICE | OPTIONS),
        "clone_wav": concrete(clone_wav, TEXT | {"wav_bytes": spec("string")} | OPTIONS),
        "condition_wav": concrete(condition_wav, {"wav_bytes": spec("string")}),
        "stream_start": concrete(stream_start, TEXT),
        "stream_next": concrete(stream_next, STATE | VOICE | OPTIONS | {"count": spec("int32")}),
        "echo": concrete(lambda texts: {"texts_bytes": texts}, {"texts": spec("string", None)}),
    }
    tf.saved_model.save(tf.Module(), str(folder), signatures=signatures)
    describe(folder)
    return folder


def concrete(function, inputs: dict):
    named = {name: tf.TensorSpec(item.shape, item.dtype, name) for name, item in inputs.items()}
    return tf.function(function, autograph=False).get_concrete_function(**named)


def condition_wav(wav_bytes) -> dict:
    """A voice that is as loud as the recording."""

    def peak(content):
        return tf.reduce_max(tf.abs(tf.audio.decode_wav(content).audio))

    peaks = tf.map_fn(peak, wav_bytes, fn_output_signature="float32")
    loud = tf.debugging.Assert(tf.reduce_all(peaks > 0.01), ["the audio is silent."])
    with tf.control_dependencies([loud]):
        embedding = tf.tile(peaks[:, None], [1, 3])
    return {"latents": tf.zeros([tf.size(peaks), 2, 4]), "speaker_embedding": embedding}


def serving_default(text, language, latents, speaker_embedding, **options) -> dict:
    state = stream_start(text, language)
    wave, samples = hum(state["characters"], speaker_embedding, options)
    never = tf.zeros_like(samples, "bool")
    flags = dict.fromkeys(("unfinished", "silence", "doubtful_stop"), never)
    flags["repeats"] = tf.equal(options["seed"], STUTTERING_SEED)
    return {"waveform": wave, "samples": samples} | flags


def clone_wav(text, language, wav_bytes, **options) -> dict:
    return serving_default(text, language, **condition_wav(wav_bytes), **options)


def stream_start(text, language) -> dict:
    ids = tf.strings.unicode_decode(text, "UTF-8")
    lengths = tf.cast(ids.row_lengths(), "int32")
    known = tf.reduce_any(tf.equal(language[:, None], LANGUAGES))
    rules = [
        tf.debugging.Assert(known, [tf.strings.join(["unknown language ", language[0], "."])]),
        tf.debugging.assert_less_equal(
            lengths, MOST_CHARACTERS, "a text is too long: send it in pieces."
        ),
    ]
    with tf.control_dependencies([rule for rule in rules if rule is not None]):
        ids = tf.cast(ids.to_tensor(), "int32")
    nothing = tf.zeros([tf.size(text), 0], "int32")
    return {
        "ids": ids,
        "id_lengths": lengths,
        "characters": lengths,
        "codes": nothing,
        "emitted": tf.zeros_like(lengths),
    }


def stream_next(
    ids, id_lengths, characters, codes, emitted, count, latents, speaker_embedding, **options
) -> dict:
    """One code a letter, whose audio comes a code late, until the last has been made."""
    whole, _ = hum(characters, speaker_embedding, options)
    made = tf.shape(codes)[1] + tf.reduce_max(count)
    finished = made >= characters
    ready = tf.where(finished, characters, tf.maximum(made - 1, 0))
    samples = SAMPLES_PER_CODE * (ready - emitted)
    places = tf.range(tf.reduce_max(samples))[None] + SAMPLES_PER_CODE * emitted[:, None]
    wave = tf.gather(whole, tf.minimum(places, tf.shape(whole)[1] - 1), batch_dims=1)
    return {
        "waveform": tf.where(places < SAMPLES_PER_CODE * ready[:, None], wave, 0.0),
        "samples": samples,
        "codes": tf.zeros([tf.size(emitted), made], "int32"),
        "emitted": ready,
        "finished": finished,
    }


def hum(characters, speaker_embedding, options) -> tuple:
    """A tone as long as the text, as loud as the voice, whose pitch is the seed's."""
    samples = SAMPLES_PER_CODE * characters
    time = tf.range(tf.reduce_max(samples))
    pitch = 100.0 + tf.cast(options["seed"] % 100, "float32") + 10 * options["temperature"]
    phase = 2 * math.pi * pitch[:, None] * tf.cast(time, "float32") / 24_000
    wave = speaker_embedding[:, :1] * tf.sin(phase)
    return tf.where(time < samples[:, None], wave, 0.0), samples
