"""Text and a reference in, waveform out."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from myxtts.audio.io import padded
from myxtts.config import SynthesisConfig
from myxtts.errors import AudioError, CheckpointError, ConfigError
from myxtts.generation.bounds import code_bounds, heard_latents, piece_tokens
from myxtts.generation.driver import FLAGS, Attempt, Reading, SpeechStream, text_pieces
from myxtts.generation.guards import repeats, signs, stops_doubtfully
from myxtts.generation.references import read_reference, reference_chunks, reference_files
from myxtts.generation.vocoding import (
    GRIFFIN_LIM,
    bounded,
    choose_vocoder,
    codes_to_waveform,
    stretched,
)
from myxtts.inference.coder import Coder, Codes, Request, rows_of
from myxtts.inference.compiled_decoder import decoding, vocode_of
from myxtts.inference.ranking import Ranking
from myxtts.inference.streaming import StreamingVocoder
from myxtts.inference.voice import Voice
from myxtts.models.xtts import XTTS
from myxtts.presets.finding import find_preset
from myxtts.presets.voices import voice_path
from myxtts.text.front_end import Reader
from myxtts.timing import OUTPUT_RATE

logger = logging.getLogger(__name__)

# Padded audio and its lengths.
AUDIO = (tf.TensorSpec((None, None)), tf.TensorSpec((None,), "int32"))
# Chunks of a piece, then its flags.
Chunks = Generator[np.ndarray, None, tuple[str, ...]]


@dataclass(frozen=True)
class Take:
    """One attempt at one piece of a text.

    Attributes:
        waveform: float32 ``(samples,)``.
        codes: int ``(length,)``.
        finished: whether it ended by its stop code and not by the length bound.
        flags: what is wrong with it, of :data:`myxtts.generation.driver.FLAGS`.
        score: of :class:`~myxtts.inference.ranking.Ranking`, 0 where there is one candidate.
    """

    waveform: np.ndarray
    codes: np.ndarray
    finished: bool
    flags: tuple[str, ...]
    score: float = 0.0


@dataclass(frozen=True)
class Synthesis:
    """A spoken text.

    Attributes:
        waveform: float32 ``(samples,)`` at ``sample_rate``.
        sample_rate: in Hz.
        vocoder: ``griffin_lim``, or the decoder's: ``hifi`` or ``istft``.
        codes: audio codes of each piece of the text.
        finished: for each piece, whether it ended by its stop code and not by the length bound.
        flags: for each piece, what is wrong with the best of its attempts.
        attempts: that each piece took.
    """

    waveform: np.ndarray
    sample_rate: int
    vocoder: str
    codes: list[np.ndarray]
    finished: list[bool]
    flags: list[tuple[str, ...]]
    attempts: list[int]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.waveform) / self.sample_rate


class Synthesizer:
    """Speaks with an :class:`XTTS`.

    Args:
        model: a trained model, as ``XTTS.from_preset`` gives it; the one that comes with
            MyXTTS when None.
        settings: sampling and vocoder; the model's own when None.
        engine: in the place of the settings' one: ``tensorflow`` or ``int8``.

    Raises:
        CheckpointError: no model was given and none comes with this copy of MyXTTS.
        ConfigError: the engine is unknown, or its package is missing.
    """

    def __init__(
        self,
        model: XTTS | None = None,
        settings: SynthesisConfig | None = None,
        engine: str | None = None,
    ):
        self.model = model = model or XTTS.from_preset(find_preset())
        settings = settings or model.config.synthesis
        self.settings = dataclasses.replace(settings, engine=engine or settings.engine)
        self.reader = Reader(model.tokenizer, self.settings.front_end)
        self.vocoder = choose_vocoder(model, self.settings.vocoder)
        self._coder = Coder(model.gpt, self.settings)
        # In a graph, features that nothing reads are never computed.
        heard = {"input_signature": AUDIO, "autograph": False}
        self._embedding = tf.function(self._speaker_embedding, **heard)
        self._latents = tf.function(self._conditioning_latents, **heard)
        vocode = vocode_of(model.decoder, self.settings.engine, self.settings.threads)
        decode = decoding(model.decoder, vocode)
        self._decode = tf.function(decode, reduce_retracing=True, autograph=False)
        self._ranking = Ranking(model, self._embedding)
        self._streaming = StreamingVocoder(model.decoder, self.settings.speed, vocode)

    @property
    def engine(self) -> str:
        """What computes the GPT's steps: ``tensorflow``, as all beams are, or ``int8``."""
        return self._coder.engine

    def condition(self, references: Sequence[str | Path | np.ndarray]) -> Voice:
        """The voice of ``references``, as Coqui's ``get_conditioning_latents`` makes it.

        The speaker embedding is the mean over the references; the latents are the mean
        over chunks of all references joined.

        Args:
            references: audio files, folders of them, or float arrays ``(samples,)`` at
                22.05 kHz.

        Raises:
            AudioError: a reference cannot be read, is silent or is shorter than 0.3 s.
        """
        if not references:
            raise AudioError("no reference audio was given.")
        silence_db = self.model.config.data.silence_db
        files = reference_files(references)
        clips = [read_reference(item, self.settings, silence_db) for item in files]
        chunks = reference_chunks(clips, self.settings, silence_db)
        return Voice(
            np.mean(self._latents(*padded(chunks)), axis=0, keepdims=True),
            np.mean(self._embedding(*padded(clips)), axis=0, keepdims=True),
            self.model.fingerprint,
            self.model.encoder_provenance,
            tuple(hashlib.sha256(clip.tobytes()).hexdigest() for clip in clips),
        )

    def voice(self, name: str | Path | None = None, speaker: str | None = None) -> Voice:
        """A voice that was kept: one of the model's own by its name, or a file.

        Args:
            name: None for the model's first voice.
            speaker: name of the voice in a file of several (``speakers_xtts.pth``).

        Raises:
            CheckpointError: there is none of that name, or it is another model's.
        """
        if self.model.preset is None and name is None:
            raise CheckpointError("this model is of no preset, which could have voices of its own.")
        return Voice.load(voice_path(self.model.preset or "", name), self.model, speaker)

    def speak(self, text: str, voice: Voice | None = None, language: str = "en") -> Synthesis:
        """Speak ``text``, however long, in ``voice``, or in the model's own first one.

        Raises:
            TextError: nothing in ``text`` can be spoken, or the language is unknown.
            CheckpointError: the voice is another model's.
        """
        voice = voice or self.voice()
        voice.require(self.model)
        reading = Reading(self._pieces(text, language), self.settings)
        for attempts in reading.rounds():
            for take in self._takes(attempts, voice, language):
                reading.add(take)
        return Synthesis(
            waveform=reading.waveform(),
            sample_rate=OUTPUT_RATE,
            vocoder=self.vocoder,
            codes=[take.codes for take in reading.takes],
            finished=[take.finished for take in reading.takes],
            flags=[take.flags for take in reading.takes],
            attempts=reading.attempts,
        )

    def stream(self, text: str, voice: Voice | None = None, language: str = "en") -> SpeechStream:
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
        voice = voice or self.voice()
        voice.require(self.model)
        pieces = self._pieces(text, language)
        return SpeechStream(pieces, lambda attempt: self.chunks(attempt, voice, language))

    def reading(self, text: str, language: str = "en") -> Reading:
        """What there is to try of ``text``, for :meth:`chunks`.

        Raises:
            TextError: nothing in ``text`` can be spoken, or the language is unknown.
        """
        return Reading(self._pieces(text, language), self.settings)

    def take(self, attempt: Attempt, voice: Voice, language: str = "en") -> Take:
        """One attempt at a piece, whole."""
        return self._takes([attempt], voice, language)[0]

    def taking(
        self, attempts: list[Attempt], voice: Voice, language: str = "en"
    ) -> Generator[None, None, list[Take]]:
        """Attempts at one piece, made together in steps, between which they may be given up."""
        requests, made = [self._request(one, voice, language) for one in attempts], []
        for block in self._coder.blocks(requests):
            made.append(block)
            yield
        return self._judged(requests, rows_of(made), voice)

    def chunks(self, attempt: Attempt, voice: Voice, language: str = "en") -> Chunks:
        """One attempt at a piece as it is made, float32 ``(samples,)`` each; returns its flags."""
        speak = self._whole_chunk if self.vocoder == GRIFFIN_LIM else self._hifi_chunks
        return speak(attempt, voice, language)

    def sibling(self, seed: int, speed: float, coder: Coder) -> Synthesizer:
        """The same model and graphs with another seed, speed and coder.

        Raises:
            ConfigError: a value is out of its range.
        """
        other = copy.copy(self)
        other.settings = replace(coder.settings, seed=seed, speed=speed)
        other._coder = coder
        other._streaming = self._streaming.at_speed(speed)
        return other

    def text_ids(self, text: str, language: str = "en") -> list[np.ndarray]:
        """What the GPT reads: text ids ``(ids,)``, int32, of each piece of ``text``.

        Raises:
            TextError: nothing in ``text`` can be spoken, or the language is unknown.
        """
        return [self._ids(piece, language) for piece in self._pieces(text, language)]

    def _ids(self, piece: str, language: str) -> np.ndarray:
        return np.array(self.reader.encode(piece, language), "int32")

    def _pieces(self, text: str, language: str) -> list[str]:
        gpt = self.model.gpt
        most = piece_tokens(gpt.max_text_tokens, gpt.max_new_codes)
        text = self.reader.prepared(text)
        return text_pieces(text, language, self.settings, self.reader, most)

    def _takes(self, attempts: list[Attempt], voice: Voice, language: str) -> list[Take]:
        """Attempts at one piece, made together."""
        requests = [self._request(attempt, voice, language) for attempt in attempts]
        return self._judged(requests, self._coder.together(requests), voice)

    def _judged(self, requests: list[Request], made: list[Codes], voice: Voice) -> list[Take]:
        waveforms = [self._vocode(one.codes, self._heard(one), voice) for one in made]
        scores = [0.0] * len(made)
        if self.settings.candidates > 1:
            scores = self._ranking.scores(requests[0], made, waveforms, voice)
        flags = map(self._flags, made, waveforms)
        return [
            Take(waveform, one.codes, one.finished, own, score)
            for one, waveform, own, score in zip(made, waveforms, flags, scores, strict=True)
        ]

    def _flags(self, made: Codes, waveform: np.ndarray) -> tuple[str, ...]:
        found = signs(
            made.codes[None],
            np.array([len(made.codes)], "int32"),
            np.array([made.finished]),
            waveform[None],
            np.array([len(waveform)], "int32"),
            self._doubt(made),
            self.settings.speed,
        )
        return tuple(name for name in FLAGS if found[name][0])

    def _doubt(self, made: Codes):
        """Whether the stop code was a poor choice behind its latent, bool ``(1,)``."""
        gpt = self.model.gpt
        logits = tf.cast(gpt.audio_head(made.latents[-1:]), "float32")
        return stops_doubtfully(logits, gpt.stop_audio_token)

    def _request(self, attempt: Attempt, voice: Voice, language: str) -> Request:
        ids = self._ids(attempt.text, language)
        size = np.array([len(attempt.text)])
        most, least = code_bounds(size, self.settings, self.model.gpt.max_new_codes)
        rng = np.random.default_rng(attempt.seeds(self.settings.seed))
        return Request(ids, voice.latents, int(most[0]), int(least[0]), rng)

    def _whole_chunk(self, attempt: Attempt, voice: Voice, language: str) -> Chunks:
        take = self.take(attempt, voice, language)
        yield take.waveform
        return take.flags

    def _hifi_chunks(self, attempt: Attempt, voice: Voice, language: str) -> Chunks:
        request = self._request(attempt, voice, language)
        spoken, codes, finished = self._streaming.start(), np.zeros(0, "int32"), False
        for piece in self._coder.pieces(request):
            codes, finished = np.concatenate([codes, piece.codes]), piece.finished
            rambles = bool(repeats(codes[None], np.array([len(codes)], "int32"))[0])
            final = finished or len(codes) >= request.bound or rambles
            heard = self._heard(piece)
            chunk, spoken = self._streaming.push(spoken, heard, voice.speaker_embedding, final)
            if len(chunk):
                yield chunk
            if rambles:
                text = attempt.text[:40]
                logger.warning("%r: the model repeats itself; the rest is left out.", text)
                return ("repeats",)
        return () if finished else ("unfinished",)

    def _speaker_embedding(self, audio, lengths):
        encoder = self.model.audio_encoder
        return tf.cast(encoder.speaker_embedding(encoder.features(audio, lengths)), "float32")

    def _conditioning_latents(self, audio, lengths):
        encoder = self.model.audio_encoder
        return tf.cast(encoder.conditioning_latents(encoder.features(audio, lengths)), "float32")

    def _heard(self, made: Codes) -> np.ndarray:
        """Latents ``(length, model_dim)`` of which the decoder makes the waveform."""
        return made.latents[: int(heard_latents(len(made.codes), made.finished, self.settings))]

    def _vocode(self, codes: np.ndarray, latents, voice: Voice) -> np.ndarray:
        by_griffin_lim = self.vocoder == GRIFFIN_LIM
        if not len(codes if by_griffin_lim else latents):
            return np.zeros(0, "float32")
        if by_griffin_lim:
            return bounded(codes_to_waveform(self.model, codes, self.settings.speed))
        latents = stretched(latents[None], self.settings.speed)
        wave = self._decode(tf.constant(latents), voice.speaker_embedding)[0]
        return bounded(np.asarray(wave, "float32"))
