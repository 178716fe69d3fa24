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

from myxtts.audio.io import padded
from myxtts.config import SynthesisConfig
from myxtts.errors import AudioError, ConfigError, TextError
from myxtts.generation.guards import falls_silent, repeats, stops_doubtfully
from myxtts.generation.references import read_reference, reference_chunks
from myxtts.generation.vocoding import codes_to_waveform, stretched
from myxtts.inference.coder import Coder, Request
from myxtts.inference.streaming import StreamingVocoder
from myxtts.inference.voice import Voice
from myxtts.models.xtts import XTTS
from myxtts.text.languages import table_of
from myxtts.text.split import split_text
from myxtts.timing import OUTPUT_RATE, PAUSE_SAMPLES, SECONDS_PER_CODE

logger = logging.getLogger(__name__)

# Padded audio and its lengths.
AUDIO = (tf.TensorSpec((None, None)), tf.TensorSpec((None,), "int32"))
# What a token of text takes to say, with some to spare: 140 ms.
CODES_PER_TOKEN = 3


@dataclass(frozen=True)
class Take:
    """One attempt at one piece of a text.

    Attributes:
        waveform: float32 ``(samples,)``.
        codes: int ``(length,)``.
        finished: whether it ended by its stop code and not by the length bound.
        flags: what is wrong with it: ``unfinished``, ``repeats``, ``silence``,
            ``doubtful_stop``.
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
        self._coder = Coder(model.gpt, self.settings)
        # In a graph, features that nothing reads are never computed.
        heard = {"input_signature": AUDIO, "autograph": False}
        self._embedding = tf.function(self._speaker_embedding, **heard)
        self._latents = tf.function(self._conditioning_latents, **heard)
        self._decode = tf.function(model.decoder, reduce_retracing=True, autograph=False)
        self._streaming = StreamingVocoder(model.decoder, self.settings.speed)

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
        silence_db = self.model.config.data.silence_db
        clips = [read_reference(item, self.settings, silence_db) for item in references]
        chunks = reference_chunks(clips, self.settings, silence_db)
        return Voice(
            np.mean(self._latents(*padded(chunks)), axis=0, keepdims=True),
            np.mean(self._embedding(*padded(clips)), axis=0, keepdims=True),
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
            sample_rate=OUTPUT_RATE,
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
            ConfigError: the settings ask for a beam search.
            TextError: nothing in ``text`` can be spoken, or the language is unknown.
            CheckpointError: the voice is another model's.
        """
        if self.settings.num_beams > 1:
            raise ConfigError(
                "a beam search knows its codes only when it has ended, too late for a stream: "
                "use --num-beams 1, or leave out --stream."
            )
        voice.require(self.model)
        return self._stream_pieces(self._split(text, language), voice, language)

    def _stream_pieces(
        self, pieces: list[str], voice: Voice, language: str
    ) -> Iterator[np.ndarray]:
        for number, piece in enumerate(pieces):
            if number:
                yield np.zeros(PAUSE_SAMPLES, "float32")
            if self.vocoder == "hifi":
                yield from self._stream_piece(piece, voice, language, number)
            else:
                yield self._take(piece, voice, language, self._rng(number, 0)).waveform

    def _split(self, text: str, language: str) -> list[str]:
        longest = self.settings.max_characters or table_of(language).max_characters
        pieces = split_text(text, self.model.tokenizer, language, self._piece_tokens(), longest)
        if not pieces:
            raise TextError(f"the text {text[:40]!r} has nothing that can be spoken.")
        return pieces

    def _piece_tokens(self) -> int:
        """Tokens of text that the model can both read and finish speaking at once."""
        gpt = self.model.gpt
        return min(gpt.max_text_tokens - 1, gpt.max_new_codes // CODES_PER_TOKEN)

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
        made = self._coder.whole(self._request(text, voice, language, rng))
        heard = len(made.codes) + self._closing(made.finished)
        waveform = self._vocode(made.codes, made.latents[:heard], voice)
        signs = {
            "unfinished": not made.finished,
            "repeats": repeats(made.codes),
            "silence": falls_silent(waveform, speed=self.settings.speed),
            "doubtful_stop": made.finished and self._stops_doubtfully(made.latents[-1:]),
        }
        flags = tuple(name for name, seen in signs.items() if seen)
        return Take(waveform, made.codes, made.finished, flags)

    def _stops_doubtfully(self, latent: np.ndarray) -> bool:
        """Whether the stop code was a poor choice after ``latent`` ``(1, model_dim)``."""
        gpt = self.model.gpt
        logits = np.asarray(tf.cast(gpt.audio_head(latent), "float32"))
        return stops_doubtfully(logits[0], gpt.stop_audio_token)

    def _request(self, text: str, voice: Voice, language: str, rng: np.random.Generator) -> Request:
        ids = np.array(self.model.tokenizer.encode(text, language), "int32")
        return Request(ids, voice.latents, self._code_bound(text), self._least(text), rng)

    def _stream_piece(
        self, text: str, voice: Voice, language: str, number: int
    ) -> Iterator[np.ndarray]:
        request = self._request(text, voice, language, self._rng(number, 0))
        spoken, codes = self._streaming.start(), np.zeros(0, "int32")
        for piece in self._coder.pieces(request):
            codes = np.concatenate([codes, piece.codes])
            rambles = repeats(codes)
            final = piece.finished or len(codes) >= request.bound or rambles
            heard = piece.latents[: len(piece.codes) + self._closing(piece.finished)]
            chunk, spoken = self._streaming.push(spoken, heard, voice.speaker_embedding, final)
            if len(chunk):
                yield chunk
            if rambles:
                logger.warning("%r: the model repeats itself; the rest is left out.", text[:40])
                return

    def _speaker_embedding(self, audio, lengths):
        encoder = self.model.audio_encoder
        return tf.cast(encoder.speaker_embedding(encoder.features(audio, lengths)), "float32")

    def _conditioning_latents(self, audio, lengths):
        encoder = self.model.audio_encoder
        return tf.cast(encoder.conditioning_latents(encoder.features(audio, lengths)), "float32")

    def _closing(self, finished: bool) -> int:
        """Latents beyond the last code that are heard: Coqui decodes the stop code's too."""
        return int(finished and self.settings.coqui_compatible)

    def _code_bound(self, text: str) -> int:
        seconds = 2.0 + self.settings.seconds_per_character * len(text)
        return min(math.ceil(seconds / SECONDS_PER_CODE), self.model.gpt.max_new_codes)

    def _least(self, text: str) -> int:
        """Codes before which the speech may not end."""
        seconds = self.settings.min_seconds_per_character * len(text)
        least = 0 if self.settings.coqui_compatible else int(seconds / SECONDS_PER_CODE)
        return min(least, self._code_bound(text) - 1)

    def _vocode(self, codes: np.ndarray, latents, voice: Voice) -> np.ndarray:
        hifi = self.vocoder == "hifi"
        if not (len(latents) if hifi else len(codes)):
            return np.zeros(0, "float32")
        if not hifi:
            return codes_to_waveform(self.model, codes, self.settings.speed)
        latents = stretched(latents[None], self.settings.speed)
        return np.asarray(self._decode(tf.constant(latents), voice.speaker_embedding)[0], "float32")


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
    pause = np.zeros(PAUSE_SAMPLES, "float32")
    joined: list[np.ndarray] = []
    for wave in waves:
        joined += [pause, wave] if joined else [wave]
    return np.concatenate(joined).astype("float32")
