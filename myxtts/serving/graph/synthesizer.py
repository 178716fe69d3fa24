"""Conditioning and speech as one graph of TensorFlow's core operations, a row a request."""

from __future__ import annotations

import tensorflow as tf

from myxtts.generation.bounds import code_bounds, heard_latents
from myxtts.generation.guards import signs, stops_doubtfully
from myxtts.generation.references import (
    LEAST_SAMPLES,
    TOO_SHORT,
    at_reference_level,
    chunk_lengths,
    chunk_size,
    heard_chunks,
    heard_samples,
    silent_peak,
    used_samples,
)
from myxtts.generation.sampling import RULES, drawing
from myxtts.generation.state import generate
from myxtts.generation.vocoding import GRIFFIN_LIM
from myxtts.models.xtts import XTTS
from myxtts.serving.graph.refusal import (
    TOO_FEW_SAMPLES,
    of_a_voice,
    required,
    sound_rules,
    speech,
)
from myxtts.serving.graph.vocoder import GraphVocoder
from myxtts.timing import MODEL_RATE

# Texts, codes and references (whole seconds) have few different lengths: for each, a server's
# kernels keep what they have prepared.
TEXT_MULTIPLE, CODE_MULTIPLE = 32, 64


class GraphSpeaker(tf.Module):
    """What the signatures of a SavedModel are made of.

    Every method is stateless, takes rows that are padded to a common length and gives each
    the result it would have alone. Bad requests fail by an assertion with a clear sentence.

    Args:
        model: a trained model.
        vocoder: the decoder's, ``hifi`` or ``istft``, or ``griffin_lim``.
    """

    def __init__(self, model: XTTS, vocoder: str):
        super().__init__(name="speaker")
        self.model = model
        self.settings = model.config.synthesis
        self.vocoder = GraphVocoder(model, vocoder)
        self.silence_db = model.config.data.silence_db

    def condition(self, audio, lengths) -> dict:
        """Voices of references ``(batch, samples)`` at 22.05 kHz, of ``lengths`` samples.

        Returns:
            ``latents`` ``(batch, latents, model_dim)``, the mean over chunks of the
            reference, and ``speaker_embedding`` ``(batch, size)``.
        """
        lengths = required(lengths, (lengths <= tf.shape(audio)[1], TOO_FEW_SAMPLES))
        lengths = tf.minimum(lengths, used_samples(self.settings))
        longest = tf.minimum(tf.shape(audio)[1], tf.reduce_max(lengths))
        audio = tf.pad(audio[:, :longest], [[0, 0], [0, -longest % MODEL_RATE]])
        audio = self._checked(audio, lengths)
        encoder = self.model.audio_encoder
        embedding = encoder.speaker_embedding(encoder.features(audio, lengths))
        chunks, chunk_lengths, weights = self._chunks(audio, lengths)
        latents = encoder.conditioning_latents(encoder.features(chunks, chunk_lengths))
        latents = tf.reshape(
            tf.cast(latents, "float32"),
            tf.concat([tf.shape(weights), tf.shape(latents)[1:]], axis=0),
        )
        mean = tf.reduce_sum(latents * weights[..., None, None], axis=1)
        total = tf.reduce_sum(weights, axis=1)[:, None, None]
        return {"latents": mean / total, "speaker_embedding": tf.cast(embedding, "float32")}

    def speak(self, ids, lengths, voice: dict, options: dict, characters) -> dict:
        """Speech of text ids ``(batch, text)``.

        Args:
            ids, lengths: of the texts, without start and stop.
            voice: of :meth:`condition`.
            options: ``temperature`` (0: greedy), ``top_k``, ``top_p``,
                ``repetition_penalty`` and ``seed``, ``(batch,)`` each.
            characters: of each text ``(batch,)``; they bound its speech.

        Returns:
            ``waveform`` ``(batch, samples)`` at 24 kHz, padded with zeros, ``samples``
            ``(batch,)``, the signs ``unfinished``, ``repeats``, ``silence`` and
            ``doubtful_stop`` ``(batch,)``, ``codes`` ``(batch, codes)`` padded with the stop
            code, and ``code_lengths`` ``(batch,)``.
        """
        ids, lengths = self.checked_text(ids, lengths)
        voice = self.checked_voice(voice)
        bound, least = self.bounds(characters)
        room = tf.reduce_max(bound)
        uniforms = self.uniforms(options["seed"])[:, : room + -room % CODE_MULTIPLE]
        result = generate(
            self.model.gpt,
            ids,
            lengths,
            voice["latents"],
            uniforms,
            min_codes=least[:, None],
            max_codes=bound,
            coqui_compatible=self.settings.coqui_compatible,
            **drawing(**self.checked_options(options)),
        )
        finished = result["lengths"] < bound
        waveform, samples = self.vocoder.decode(
            result["latents"],
            result["codes"],
            self.heard(result["lengths"], finished),
            voice["speaker_embedding"],
        )
        waveform = speech(waveform)
        return {
            "waveform": waveform,
            "samples": samples,
            **self._signs(result, finished, waveform, samples),
            "codes": result["codes"],
            "code_lengths": result["lengths"],
        }

    def heard(self, lengths, finished):
        """Codes of which each row's waveform is made."""
        if self.vocoder.kind == GRIFFIN_LIM:
            return lengths
        return heard_latents(lengths, finished, self.settings)

    def _signs(self, result: dict, finished, waveform, samples) -> dict:
        lengths, latents, gpt = result["lengths"], result["latents"], self.model.gpt
        last = tf.minimum(lengths, tf.shape(latents)[1] - 1)
        logits = gpt.audio_head(tf.gather(latents, last, batch_dims=1))
        doubtful = stops_doubtfully(tf.cast(logits, "float32"), gpt.stop_audio_token)
        return signs(result["codes"], lengths, finished, waveform, samples, doubtful)

    def bounds(self, characters) -> tuple:
        """Most and least codes ``(batch,)`` of texts of so many characters."""
        return code_bounds(characters, self.settings, self.model.gpt.max_new_codes)

    def uniforms(self, seeds):
        """Numbers in [0, 1) to draw with, ``(batch, max_new_codes)``; the same for a seed."""
        steps = self.model.gpt.max_new_codes
        return tf.map_fn(
            lambda seed: tf.random.stateless_uniform([steps], tf.stack([seed, 0])),
            tf.cast(seeds, "int64"),
            fn_output_signature=tf.TensorSpec((steps,)),
        )

    @staticmethod
    def checked_options(options: dict) -> dict:
        """The sampling options ``(batch,)``, if every row's may be."""
        # A temperature of 0 is greedy.
        own = {"temperature": (lambda value: value >= 0, "at least 0")}
        return {
            name: required(options[name], (holds(options[name]), f"{name} must be {wanted}."))
            for name, (holds, wanted) in (RULES | own).items()
        }

    @staticmethod
    def checked_voice(voice: dict) -> dict:
        """A voice of :meth:`condition`, if its numbers are some."""
        return {name: of_a_voice(value, name) for name, value in voice.items()}

    def _checked(self, audio, lengths):
        """``audio`` without what lies behind ``lengths``; it must be speech, not silence."""
        heard = tf.sequence_mask(lengths, tf.shape(audio)[1])
        audio = tf.where(heard, audio, 0.0)
        peak = tf.reduce_max(tf.abs(audio), axis=1)
        audio = required(
            audio,
            *sound_rules(audio),
            (lengths >= LEAST_SAMPLES, f"{TOO_SHORT} of audio."),
            (peak >= silent_peak(self.silence_db), "the audio is silent."),
        )
        return at_reference_level(audio, peak[:, None], self.settings)

    def _chunks(self, audio, lengths) -> tuple:
        """Chunks ``(batch * chunks, size)``, their lengths, and weights ``(batch, chunks)``."""
        size, lengths = chunk_size(self.settings), heard_samples(lengths, self.settings)
        longest = tf.reduce_max(lengths)
        count = (longest + size - 1) // size
        audio = tf.pad(audio[:, :longest], [[0, 0], [0, count * size - longest]])
        own = chunk_lengths(lengths, count, self.settings)
        chunks = tf.reshape(audio, [-1, count, size])
        peaks = tf.reduce_max(tf.abs(chunks), axis=2)
        heard = heard_chunks(own, peaks, self.silence_db, self.settings)
        # What is not heard must still be audio.
        own = tf.where(own > 0, own, size)
        return (
            tf.reshape(chunks, [-1, size]),
            tf.reshape(own, [-1]),
            tf.cast(heard, "float32"),
        )

    def checked_text(self, ids, lengths) -> tuple:
        """The same ids, padded to one of a few lengths, and their lengths, if they can be read."""
        gpt = self.model.gpt
        known = (ids >= 0) & (ids < gpt.num_text_tokens)
        lengths = required(
            lengths,
            (lengths > 0, "a text has nothing that can be spoken."),
            (lengths <= tf.shape(ids)[1], "id_lengths tells of more ids than there are."),
            (
                lengths <= gpt.max_text_tokens,
                f"a text has more than {gpt.max_text_tokens} tokens: send it in pieces.",
            ),
            (known, "a text id is not in the vocabulary."),
        )
        longest = tf.reduce_max(lengths)
        ids = ids[:, :longest]
        room = tf.minimum(-longest % TEXT_MULTIPLE, gpt.max_text_tokens - longest)
        return tf.pad(ids, [[0, 0], [0, room]]), lengths
