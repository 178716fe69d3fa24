"""The signatures of an exported model: names, shapes and kinds of what goes in and out."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from myxtts.models.xtts import XTTS
from myxtts.serving.speaker import GraphSpeaker

OPTIONS = {
    "temperature": "float32",
    "top_k": "int32",
    "top_p": "float32",
    "repetition_penalty": "float32",
    "seed": "int64",
}


class ServingModule(tf.Module):
    """A model's signatures, all batched along the first axis and stateless.

    ``condition``: ``audio`` float ``(batch, samples)`` at 22.05 kHz and ``lengths`` int32 to
    ``latents`` ``(batch, latents, model_dim)`` and ``speaker_embedding`` ``(batch, size)``.

    ``synthesize_ids``: ``ids`` int32 ``(batch, text)``, ``id_lengths``, such a voice and the
    options ``temperature`` (0: greedy), ``top_k`` (0: all), ``top_p``,
    ``repetition_penalty`` and ``seed``, ``(batch,)`` each, to ``waveform`` float
    ``(batch, samples)`` at 24 kHz, ``samples`` int32 and ``finished`` bool.

    ``speaker_embedding``: ``audio`` float ``(batch, samples)`` at 16 kHz and ``lengths`` to
    ``embedding``; only of a model with a pretrained speaker encoder.

    Args:
        model: a trained model.
        vocoder: ``hifi`` or ``griffin_lim``.
    """

    def __init__(self, model: XTTS, vocoder: str):
        super().__init__(name="serving")
        self.speaker = GraphSpeaker(model, vocoder)
        self.model = model
        # What an id adds to the length of its text.
        self.characters = tf.constant(_characters(model), "int32")

    def signatures(self) -> dict[str, Callable]:
        """Concrete functions by the names they are served under."""
        model = self.model
        latents = (None, model.config.model.conditioning.num_latents, model.gpt.model_dim)
        audio = {"audio": _spec((None, None)), "lengths": _spec((None,), "int32")}
        voice = {
            "latents": _spec(latents),
            "speaker_embedding": _spec((None, model.decoder.speaker_dim)),
        }
        text = {"ids": _spec((None, None), "int32"), "id_lengths": _spec((None,), "int32")}
        options = {name: _spec((None,), dtype) for name, dtype in OPTIONS.items()}
        found = {
            "condition": _concrete(self.speaker.condition, audio),
            "synthesize_ids": _concrete(self.synthesize_ids, text | voice | options),
        }
        if model.config.model.use_pretrained_speaker_encoder:
            found["speaker_embedding"] = _concrete(self.speaker_embedding, audio)
        return found

    def synthesize_ids(self, ids, id_lengths, latents, speaker_embedding, **options) -> dict:
        """Speech of text ids, see the class."""
        known = tf.clip_by_value(ids, 0, len(self.characters) - 1)
        own = tf.sequence_mask(id_lengths, tf.shape(ids)[1])
        characters = tf.reduce_sum(tf.where(own, tf.gather(self.characters, known), 0), axis=1)
        voice = {"latents": latents, "speaker_embedding": speaker_embedding}
        spoken = self.speaker.speak(ids, id_lengths, voice, options, characters)
        return {name: spoken[name] for name in ("waveform", "samples", "finished")}

    def speaker_embedding(self, audio, lengths) -> dict:
        """Embedding of speech, see the class."""
        return {"embedding": self.model.audio_encoder.speaker_encoder(audio, lengths)}


def _characters(model: XTTS) -> list[int]:
    """Characters that each text id stands for: none for a language, one for a space."""
    lengths = [0] * model.gpt.num_text_tokens
    for token, number in model.tokenizer.vocabulary.items():
        special = token.startswith("[") and token.endswith("]")
        lengths[number] = int(token == "[SPACE]") if special else len(token)
    return lengths


def _spec(shape: tuple, dtype: str = "float32") -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype)


def _concrete(function: Callable, inputs: dict[str, tf.TensorSpec]):
    named = {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()}
    return tf.function(function, autograph=False).get_concrete_function(**named)
