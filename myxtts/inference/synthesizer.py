"""Text and a reference in, waveform out."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import XTTS_CONDITIONING
from myxtts.audio.io import padded, read_audio
from myxtts.config import SynthesisConfig
from myxtts.errors import AudioError, ConfigError, TextError
from myxtts.inference.guards import SECONDS_PER_CODE, falls_silent, repeats
from myxtts.inference.streaming import StreamingVocoder
from myxtts.inference.voice import Voice
from myxtts.models.generation import advance, begin
from myxtts.models.vocoding import OUTPUT_SAMPLE_RATE, codes_to_waveform
from myxtts.models.xtts import XTTS
from myxtts.text.split import split_text

logger = logging.getLogger(__name__)

# Coqui's: a shorter chunk of reference tells nothing.
MIN_CHUNK_SECONDS = 0.33
MIN_REFERENCE_SECONDS = 0.3
REFERENCE_PEAK = 0.75
# Shapes are padded to these multiples so that few graphs serve all texts.
TEXT_MULTIPLE = 32
CODE_MULTIPLE = 32
PAUSE_SECONDS = 0.12
# What a token of text takes to say, with some to spare: 140 ms.
CODES_PER_TOKEN = 3


@dataclass(frozen=True)
class Take:
    """One attempt at one piece of a text.

    Attributes:
        waveform: float32 ``(samples,)``.
        codes: int ``(length,)``.
        finished: whether it ended by its stop code and not by the length bound.
        flags: what is wrong with it: ``unfinished``, ``repeats``, ``silence``.
    """

    waveform: np.ndarray
    codes: np.ndarray
    finished: bool
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Synthesis:
    """A spoken text.

    Attributes:
        waveform: float32 ``(samples,)`` at ``sample_rate``.
        sample_rate: in Hz.
        vocoder: ``griffin_lim`` or ``hifi``.
        codes: audio codes of each piece of the text.
        finished: for each piece, whether it ended by its stop code and not by the length bound.
        flags: for each piece, what is wrong with the best of its attempts.
    """

    waveform: np.ndarray
    sample_rate: int
    vocoder: str
    codes: list[np.ndarray]
    finished: list[bool]
    flags: list[tuple[str, ...]]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.waveform) / self.sample_rate


class Synthesizer:
    """Speaks with an :class:`XTTS`.

    Args:
        model: a trained model, as ``XTTS.from_preset`` gives it.
        settings: sampling and vocoder; the model's own when None.
    """

    def __init__(self, model: XTTS, settings: SynthesisConfig | None = None):
        self.model = model
        self.settings = settings or model.config.synthesis
        self.vocoder = choose_vocoder(model, self.settings.vocoder)
        self._generate = tf.function(self._generate_codes, reduce_retracing=True)
        self._begin = tf.function(self._begin_stream, reduce_retracing=True)
        self._advance = tf.function(self._advance_stream, reduce_retracing=True)
        self._streaming = StreamingVocoder(model.decoder)

    def condition(self, references: Sequence[str | Path | np.ndarray]) -> Voice:
        """The voice of ``references``, as Coqui's ``get_conditioning_latents`` makes it.

        The speaker embedding is the mean over the references; the latents are the mean
        over chunks of all references joined.

        Args:
            references: audio files, or float arrays ``(samples,)`` at 22.05 kHz.

        Raises:
            AudioError: a reference cannot be read, is silent or is shorter than 0.3 s.
        """
        if not references:
            raise AudioError("no reference audio was given.")
        clips = [self._reference(item) for item in references]
        encoder = self.model.audio_encoder
        embeddings = encoder.speaker_embedding(encoder.features(*padded(clips)))
        latents = encoder.conditioning_latents(encoder.features(*padded(self._chunks(clips))))
        return Voice(
            np.mean(np.asarray(latents, "float32"), axis=0, keepdims=True),
            np.mean(np.asarray(embeddings, "float32"), axis=0, keepdims=True),
            self.model.fingerprint,
            self.model.encoder_provenance,
            tuple(hashlib.sha256(clip.tobytes()).hexdigest() for clip in clips),
        )

    def speak(self, text: str, voice: Voice, language: str = "en") -> Synthesis:
        """Speak ``text``, however long, in ``voice``.

        Raises:
            TextError: nothing in ``text`` can be spoken, or the language is unknown.
            CheckpointError: the voice is another model's.
        """
        voice.require(self.model)
        takes = [
            self._best_take(piece, voice, language, number)
            for number, piece in enumerate(self._split(text, language))
        ]
        return Synthesis(
            waveform=_join([take.waveform for take in takes]),
            sample_rate=OUTPUT_SAMPLE_RATE,
            vocoder=self.vocoder,
            codes=[take.codes for take in takes],
            finished=[take.finished for take in takes],
            flags=[take.flags for take in takes],
        )

    def stream(self, text: str, voice: Voice, language: str = "en") -> Iterator[np.ndarray]:
        """Speak ``text`` in chunks, float32 ``(samples,)`` at 24 kHz, while it is being made.

        Joined, they are what :meth:`speak` gives without retries. With Griffin-Lim, which
        needs the whole, a chunk is a piece of the text.

        Raises:
            TextError: nothing in ``text`` can be spoken, or the language is unknown.
            CheckpointError: the voice is another model's.
        """
        voice.require(self.model)
        for number, piece in enumerate(self._split(text, language)):
            if number:
                yield np.zeros(int(PAUSE_SECONDS * OUTPUT_SAMPLE_RATE), "float32")
            if self.vocoder == "hifi":
                yield from self._stream_piece(piece, voice, language, number)
            else:
                yield self._take(piece, voice, language, self._rng(number, 0)).waveform

    def _split(self, text: str, language: str) -> list[str]:
        pieces = split_text(text, self.model.tokenizer, language, self._piece_tokens())
        if not pieces:
            raise TextError(f"the text {text[:40]!r} has nothing that can be spoken.")
        return pieces

    def _piece_tokens(self) -> int:
        """Tokens of text that the model can both read and finish speaking at once."""
        gpt = self.model.gpt
        return min(gpt.max_text_tokens - 1, gpt.max_new_codes // CODES_PER_TOKEN)

    def _reference(self, reference: str | Path | np.ndarray) -> np.ndarray:
        """Samples of one reference, as much of it as is used."""
        rate = XTTS_CONDITIONING.sample_rate
        name = "the reference array"
        if isinstance(reference, (str, Path)):
            name = str(reference)
            reference, _ = read_audio(reference, rate)
        reference = np.asarray(reference, "float32")
        if len(reference) < MIN_REFERENCE_SECONDS * rate:
            raise AudioError(
                f"{name} lasts {len(reference) / rate:.2f} s; a reference needs at least "
                f"{MIN_REFERENCE_SECONDS} s."
            )
        clip = reference[: int(self.settings.max_ref_length * rate)]
        peak = float(np.max(np.abs(clip)))
        if peak < 10 ** (self.model.config.data.silence_db / 20):
            raise AudioError(f"{name} is silent.")
        return clip * np.float32(REFERENCE_PEAK / peak) if self.settings.sound_norm_refs else clip

    def _chunks(self, clips: list[np.ndarray]) -> list[np.ndarray]:
        """The references joined and cut into chunks; a last one too short is left out."""
        rate = XTTS_CONDITIONING.sample_rate
        joined = np.concatenate(clips)
        if self.settings.gpt_cond_len:
            joined = joined[: int(self.settings.gpt_cond_len * rate)]
        size = int(self.settings.gpt_cond_chunk_len * rate)
        chunks = [joined[start : start + size] for start in range(0, len(joined), size)]
        return [chunk for chunk in chunks if len(chunk) >= MIN_CHUNK_SECONDS * rate] or chunks[:1]

    def _rng(self, piece: int, attempt: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed + attempt, piece])

    def _best_take(self, text: str, voice: Voice, language: str, number: int) -> Take:
        """The first attempt without a flag, else the one with the fewest."""
        takes: list[Take] = []
        # Greedy speech would only say the same again.
        tries = 1 + (self.settings.retries if self.settings.temperature else 0)
        for attempt in range(tries):
            takes.append(self._take(text, voice, language, self._rng(number, attempt)))
            if not takes[-1].flags:
                break
            logger.info("%r: %s in attempt %d", text[:40], ", ".join(takes[-1].flags), attempt + 1)
        return min(takes, key=lambda take: len(take.flags))

    def _take(self, text: str, voice: Voice, language: str, rng: np.random.Generator) -> Take:
        ids, bound, uniforms = self._inputs(text, language, rng)
        result = self._generate(*ids, voice.latents, tf.constant(uniforms), self._least(text))
        length = min(int(result["lengths"][0]), bound)
        finished = bool(result["finished"][0]) and length < bound
        codes = np.asarray(result["codes"][0, :length])
        heard = length + self._closing(finished)
        waveform = self._vocode(codes, result["latents"][:, :heard], voice)
        signs = {
            "unfinished": not finished,
            "repeats": repeats(codes),
            "silence": falls_silent(waveform),
        }
        flags = tuple(name for name, seen in signs.items() if seen)
        return Take(waveform, codes, finished, flags)

    def _inputs(self, text: str, language: str, rng: np.random.Generator) -> tuple:
        """Padded text ids with their length, the bound in codes, and uniforms to draw with."""
        ids = np.array(self.model.tokenizer.encode(text, language), "int32")
        bound = self._code_bound(text)
        size = min(_round_up(len(ids), TEXT_MULTIPLE), self.model.gpt.max_text_tokens)
        padded = np.zeros((1, size), "int32")
        padded[0, : len(ids)] = ids
        uniforms = rng.random((1, _round_up(bound, CODE_MULTIPLE)), "float32")
        return (tf.constant(padded), tf.constant([len(ids)])), bound, uniforms

    def _stream_piece(
        self, text: str, voice: Voice, language: str, number: int
    ) -> Iterator[np.ndarray]:
        ids, bound, uniforms = self._inputs(text, language, self._rng(number, 0))
        bound = min(bound, self.model.gpt.max_new_codes)
        state = self._begin(*ids, voice.latents, uniforms.shape[1])
        spoken, codes, step = self._streaming.start(), np.zeros(0, "int32"), 0
        final = False
        while not final:
            size = min(self.settings.stream_codes, bound - step)
            result, state = self._advance(state, uniforms[:, step : step + size], self._least(text))
            length, step = int(result["lengths"][0]), step + size
            codes = np.concatenate([codes, result["codes"][0, :length]])
            rambles = repeats(codes)
            final = bool(result["finished"][0]) or step >= bound or rambles
            heard = length + self._closing(bool(result["finished"][0]) and length < size)
            latents = np.asarray(result["latents"][0, :heard], "float32")
            chunk, spoken = self._streaming.push(spoken, latents, voice.speaker_embedding, final)
            if len(chunk):
                yield chunk
        if rambles:
            logger.warning("%r: the model repeats itself; the rest is left out.", text[:40])

    def _sampling(self) -> dict:
        settings = self.settings
        return {
            "temperature": settings.temperature or 1.0,
            "top_k": settings.top_k,
            "top_p": settings.top_p,
            "repetition_penalty": settings.repetition_penalty,
            "greedy": settings.temperature == 0,
            "coqui_compatible": settings.coqui_compatible,
        }

    def _generate_codes(self, text_ids, text_lengths, latents, uniforms, least):
        return self.model.gpt.generate(
            text_ids, text_lengths, latents, uniforms, min_codes=least, **self._sampling()
        )

    def _begin_stream(self, text_ids, text_lengths, latents, capacity):
        compatible = self.settings.coqui_compatible
        return begin(self.model.gpt, text_ids, text_lengths, latents, capacity, compatible)

    def _advance_stream(self, state, uniforms, least):
        return advance(self.model.gpt, state, uniforms, min_codes=least, **self._sampling())

    def _closing(self, finished: bool) -> int:
        """Latents beyond the last code that are heard: Coqui decodes the stop code's too."""
        return int(finished and self.settings.coqui_compatible)

    def _code_bound(self, text: str) -> int:
        seconds = 2.0 + self.settings.seconds_per_character * len(text)
        return min(math.ceil(seconds / SECONDS_PER_CODE), self.model.gpt.max_new_codes)

    def _least(self, text: str) -> tf.Tensor:
        """Codes before which the speech may not end."""
        seconds = self.settings.min_seconds_per_character * len(text)
        least = 0 if self.settings.coqui_compatible else int(seconds / SECONDS_PER_CODE)
        return tf.constant(min(least, self._code_bound(text) - 1))

    def _vocode(self, codes: np.ndarray, latents, voice: Voice) -> np.ndarray:
        if not len(codes):
            return np.zeros(0, "float32")
        if self.vocoder == "hifi":
            wave = self.model.decoder(latents, voice.speaker_embedding)
            return np.asarray(wave[0], "float32")
        return codes_to_waveform(self.model, codes)


def choose_vocoder(model: XTTS, wanted: str) -> str:
    """Resolve ``auto`` by what the decoder stage measured, and say so.

    Raises:
        ConfigError: ``hifi`` is wanted and the decoder has never been trained.
    """
    trained = model.trained_steps.get("decoder", 0) > 0
    if wanted == "hifi" and not trained:
        raise ConfigError("--vocoder hifi: the decoder of this checkpoint has not been trained.")
    if wanted != "auto":
        return wanted
    errors = model.vocoder_errors
    if not trained:
        logger.info("vocoder: griffin_lim (the decoder stage has not been trained)")
        return "griffin_lim"
    if not errors:
        # A converted model: its decoder was trained elsewhere.
        return "hifi"
    chosen = min(errors, key=errors.get)
    logger.info(
        "vocoder: %s (mel error on validation speech: griffin_lim %.2f, hifi %.2f)",
        chosen,
        errors["griffin_lim"],
        errors["hifi"],
    )
    return chosen


def _join(waves: list[np.ndarray]) -> np.ndarray:
    pause = np.zeros(int(PAUSE_SECONDS * OUTPUT_SAMPLE_RATE), "float32")
    joined: list[np.ndarray] = []
    for wave in waves:
        joined += [pause, wave] if joined else [wave]
    return np.concatenate(joined).astype("float32")


def _round_up(value: int, multiple: int) -> int:
    return max(multiple, math.ceil(value / multiple) * multiple)
