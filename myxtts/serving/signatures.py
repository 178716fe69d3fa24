"""The signatures of an exported model: names, shapes and kinds of what goes in and out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import keras
import tensorflow as tf

from myxtts.generation.driver import FLAGS
from myxtts.generation.vocoding import GRIFFIN_LIM
from myxtts.models.xtts import XTTS
from myxtts.serving.contract import OPTIONS
from myxtts.serving.graph.refusal import of_a_recording, of_as_many_rows, of_its_shape
from myxtts.serving.graph.stream import GraphStream
from myxtts.serving.graph.synthesizer import GraphSpeaker
from myxtts.serving.graph.text.tokenizer import GraphTokenizer
from myxtts.serving.graph.wav import GraphWav
from myxtts.timing import MODEL_RATE, SPEAKER_RATE

logger = logging.getLogger(__name__)

# A tenth of a second, below which an encoder hears nothing.
LEAST_RECORDING = SPEAKER_RATE // 10
SPEECH = ("waveform", "samples", *FLAGS)


Weights = Callable[[], AbstractContextManager]


def _spec(shape: tuple, dtype: str = "float32") -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype)


OPTION_SPECS = {name: _spec((None,), dtype) for name, dtype in OPTIONS.items()}
AUDIO = {"audio": _spec((None, None)), "lengths": _spec((None,), "int32")}
STATE = {
    "characters": _spec((None,), "int32"),
    "codes": _spec((None, None), "int32"),
    "emitted": _spec((None,), "int32"),
}


class ServingModule(tf.Module):
    """A model's signatures, all batched along the first axis and stateless.

    A **voice** is ``latents`` float32 ``(batch, latents, model_dim)`` and
    ``speaker_embedding`` float32 ``(batch, size)``. **Options** are ``temperature`` (0:
    greedy), ``top_k`` (0: all), ``top_p``, ``repetition_penalty`` and ``seed``, ``(batch,)``
    each. **Speech** is ``waveform`` float32 ``(batch, samples)`` at 24 kHz, padded with
    zeros, ``samples`` int32 ``(batch,)``, and the flags of the synthesizer, bool
    ``(batch,)`` each: ``unfinished``, ``repeats``, ``silence``, ``doubtful_stop``.

    ``serving_default``: ``text`` and ``language`` strings ``(batch,)``, a voice and options
    to speech.

    ``clone`` and ``clone_wav``: text, language, a reference and options to speech. The
    reference is ``audio`` float32 ``(batch, samples)`` at 22.05 kHz with ``lengths`` int32
    ``(batch,)``, or ``wav_bytes`` strings ``(batch,)``: WAV files of 16 bits at any rate.

    ``condition`` and ``condition_wav``: such a reference to a voice.

    ``synthesize_ids``: ``ids`` int32 ``(batch, text)`` with ``id_lengths``, a voice and
    options to speech.

    ``stream_start``: text and language to a state: ``ids``, ``id_lengths``, ``characters``
    int32 ``(batch,)``, ``codes`` int32 ``(batch, made)`` and ``emitted`` int32 ``(batch,)``.

    ``stream_next``: the state, a voice, options and ``count`` int32 ``(batch,)``, of which
    the largest says how many audio codes to make, to ``waveform``, ``samples``, the next
    ``codes`` and ``emitted``, and ``finished`` bool ``(batch,)``: nothing more comes. Only
    with the decoder: Griffin-Lim needs the whole.

    ``speaker_embedding``: ``audio`` float32 ``(batch, samples)`` at 16 kHz and ``lengths``
    to ``embedding``; only of a model with a pretrained speaker encoder.

    Args:
        model: a trained model.
        vocoder: the decoder's, ``hifi`` or ``istft``, or ``griffin_lim``.

    Raises:
        TextError: the model's tokenizer cannot be put in a graph.
    """

    def __init__(self, model: XTTS, vocoder: str):
        super().__init__(name="serving")
        logger.info("learning how %s are read", ", ".join(model.tokenizer.languages))
        self.tokenizer = GraphTokenizer(model.tokenizer, model.gpt.max_text_tokens)
        self.speaker = GraphSpeaker(model, vocoder)
        self.stream = GraphStream(self.speaker)
        self.wav = GraphWav(MODEL_RATE, model.config.synthesis.max_ref_length)
        self.model = model
        self.read_from(nullcontext)
        # What an id adds to the length of its text.
        self.characters = tf.constant(_characters(model), "int32")

    def read_from(self, weights: Weights) -> None:
        """Take other weights than the layers' own.

        Args:
            weights: entered while a graph of the model is traced.
        """
        self._weights = weights
        # Graphs that several signatures call, so that each is stored once.
        texts = self._texts()
        self._tokenise = _graph(self.tokenizer, *texts.values())
        self._condition = _graph(self._with_weights(self.speaker.condition), *AUDIO.values())
        ids = (_spec((None, None), "int32"), _spec((None,), "int32"))
        characters = _spec((None,), "int32")
        self._speak = _graph(
            self._with_weights(self.speaker.speak), *ids, self._voice(), OPTION_SPECS, characters
        )

    def _with_weights(self, function: Callable) -> Callable:
        def within(*given, **named):
            with self._weights():
                return function(*given, **named)

        return within

    @staticmethod
    def _texts() -> dict[str, tf.TensorSpec]:
        return {"text": _spec((None,), "string"), "language": _spec((None,), "string")}

    def _voice(self) -> dict[str, tf.TensorSpec]:
        model = self.model
        latents = (None, model.config.model.conditioning.num_latents, model.gpt.model_dim)
        return {
            "latents": _spec(latents),
            "speaker_embedding": _spec((None, model.decoder.speaker_dim)),
        }

    def signatures(self) -> dict[str, Callable]:
        """Concrete functions by the names they are served under."""
        text, voice = self._texts(), self._voice()
        wav = {"wav_bytes": _spec((None,), "string")}
        ids = {"ids": _spec((None, None), "int32"), "id_lengths": _spec((None,), "int32")}
        found = {
            "serving_default": (self.synthesize, text | voice | OPTION_SPECS),
            "clone": (self.clone, text | AUDIO | OPTION_SPECS),
            "clone_wav": (self.clone_wav, text | wav | OPTION_SPECS),
            "condition": (self.condition, AUDIO),
            "condition_wav": (self.condition_wav, wav),
            "synthesize_ids": (self.synthesize_ids, ids | voice | OPTION_SPECS),
        }
        if self.speaker.vocoder.kind != GRIFFIN_LIM:
            state = ids | STATE | voice | OPTION_SPECS | {"count": _spec((None,), "int32")}
            found["stream_start"] = (self.stream_start, text)
            found["stream_next"] = (self._with_weights(self.stream_next), state)
        if self.model.config.model.use_pretrained_speaker_encoder:
            found["speaker_embedding"] = (self._with_weights(self.speaker_embedding), AUDIO)
        return {name: concrete(*item) for name, item in found.items()}

    def condition(self, audio, lengths) -> dict:
        """Voices of references, see the class."""
        return self._condition(audio, lengths)

    def synthesize(self, text, language, latents, speaker_embedding, **options) -> dict:
        """Speech of texts in voices, see the class."""
        told = self._tokenise(text, language)
        voice = {"latents": latents, "speaker_embedding": speaker_embedding}
        return self._speech(told["ids"], told["id_lengths"], voice, options, told["characters"])

    def clone(self, text, language, audio, lengths, **options) -> dict:
        """Speech of texts in the voices of references, see the class."""
        return self.synthesize(text, language, **self.condition(audio, lengths), **options)

    def clone_wav(self, text, language, wav_bytes, **options) -> dict:
        """The same for WAV files, see the class."""
        return self.synthesize(text, language, **self.condition_wav(wav_bytes), **options)

    def condition_wav(self, wav_bytes) -> dict:
        """Voices of WAV files, see the class."""
        return self.condition(*self.wav(wav_bytes))

    def synthesize_ids(self, ids, id_lengths, latents, speaker_embedding, **options) -> dict:
        """Speech of text ids, see the class."""
        known = tf.clip_by_value(ids, 0, len(self.characters) - 1)
        own = tf.sequence_mask(id_lengths, tf.shape(ids)[1])
        characters = tf.reduce_sum(tf.where(own, tf.gather(self.characters, known), 0), axis=1)
        voice = {"latents": latents, "speaker_embedding": speaker_embedding}
        return self._speech(ids, id_lengths, voice, options, characters)

    def stream_start(self, text, language) -> dict:
        """The state before the first chunk, see the class."""
        told = self._tokenise(text, language)
        return told | self.stream.start(told["ids"])

    def stream_next(
        self,
        *,
        ids,
        id_lengths,
        characters,
        codes,
        emitted,
        latents,
        speaker_embedding,
        count,
        **options,
    ) -> dict:
        """The next chunk, see the class."""
        voice = {"latents": latents, "speaker_embedding": speaker_embedding}
        state = {"codes": codes, "emitted": emitted}
        count = tf.reduce_max(count)
        return self.stream.next(ids, id_lengths, voice, options, characters, state, count)

    def speaker_embedding(self, audio, lengths) -> dict:
        """Embedding of speech, see the class."""
        audio = of_a_recording(audio, lengths, LEAST_RECORDING)
        return {"embedding": self.model.audio_encoder.speaker_encoder(audio, lengths)}

    def _speech(self, ids, lengths, voice: dict, options: dict, characters) -> dict:
        spoken = self._speak(ids, lengths, voice, options, characters)
        return {name: spoken[name] for name in SPEECH}


class EmbeddingModule(tf.Module):
    """The one signature ``speaker_embedding`` of a speaker encoder alone.

    Args:
        encoder: from 16 kHz audio ``(batch, samples)`` and ``lengths`` to embeddings.
    """

    def __init__(self, encoder: keras.layers.Layer):
        super().__init__(name="speaker_embedding")
        self.encoder = encoder

    def signatures(self) -> dict[str, Callable]:
        """See :meth:`ServingModule.signatures`."""
        return {"speaker_embedding": concrete(self._embedding, AUDIO)}

    def _embedding(self, audio, lengths) -> dict:
        audio = of_a_recording(audio, lengths, LEAST_RECORDING)
        return {"embedding": self.encoder(audio, lengths)}


def _characters(model: XTTS) -> list[int]:
    """Characters that each text id stands for: none for a language, one for a space."""
    lengths = [0] * model.gpt.num_text_tokens
    for token, number in model.tokenizer.vocabulary.items():
        special = token.startswith("[") and token.endswith("]")
        lengths[number] = int(token == "[SPACE]") if special else len(token)
    return lengths


def concrete(function: Callable, inputs: dict[str, tf.TensorSpec]):
    """The graph of ``function`` for inputs by their names."""
    named = {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()}

    def checked(**given):
        own = {name: of_its_shape(value, name) for name, value in given.items()}
        return function(**of_as_many_rows(own))

    return tf.function(checked, autograph=False).get_concrete_function(**named)


def _graph(function: Callable, *inputs) -> Callable:
    return tf.function(function, input_signature=inputs, autograph=False)
