"""Text and a reference in, waveform out."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import XTTS_CONDITIONING, XTTS_DVAE
from myxtts.audio.io import read_audio
from myxtts.config import SynthesisConfig
from myxtts.errors import AudioError, ConfigError, TextError
from myxtts.models.vocoding import OUTPUT_SAMPLE_RATE, codes_to_waveform
from myxtts.models.xtts import XTTS
from myxtts.text.split import split_text

logger = logging.getLogger(__name__)

SAMPLES_PER_CODE = 4 * XTTS_DVAE.hop_length
MIN_REFERENCE_SECONDS = 0.3
# Shapes are padded to these multiples so that few graphs serve all texts.
TEXT_MULTIPLE = 32
CODE_MULTIPLE = 32
PAUSE_SECONDS = 0.12
# What a token of text takes to say, with some to spare: 140 ms.
CODES_PER_TOKEN = 3


@dataclass(frozen=True)
class Conditioning:
    """What a voice is to the model.

    Attributes:
        latents: ``(1, num_latents, model_dim)`` for the GPT.
        speaker_embedding: ``(1, embedding_dim)`` for the decoder, of length one.
    """

    latents: np.ndarray
    speaker_embedding: np.ndarray


@dataclass(frozen=True)
class Synthesis:
    """A spoken text.

    Attributes:
        waveform: float32 ``(samples,)`` at ``sample_rate``.
        sample_rate: in Hz.
        vocoder: ``griffin_lim`` or ``hifi``.
        codes: audio codes of each piece of the text.
        finished: for each piece, whether it ended by its stop code and not by the length bound.
    """

    waveform: np.ndarray
    sample_rate: int
    vocoder: str
    codes: list[np.ndarray]
    finished: list[bool]

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

    def condition(self, references: Sequence[str | Path | np.ndarray]) -> Conditioning:
        """Conditioning of a voice, averaged over the pieces of all ``references``.

        Args:
            references: audio files, or float arrays ``(samples,)`` at 22.05 kHz.

        Raises:
            AudioError: a reference cannot be read, is silent or is shorter than 0.3 s.
        """
        if not references:
            raise AudioError("no reference audio was given.")
        pieces = [piece for item in references for piece in self._pieces(item)]
        lengths = np.array([len(piece) for piece in pieces], "int32")
        audio = np.zeros((len(pieces), int(lengths.max())), "float32")
        for row, piece in zip(audio, pieces, strict=True):
            row[: len(piece)] = piece
        latents, embeddings = self.model.audio_encoder.encode(audio, lengths)
        embedding = np.mean(np.asarray(embeddings, "float32"), axis=0, keepdims=True)
        embedding /= max(float(np.linalg.norm(embedding)), 1e-12)
        latents = np.mean(np.asarray(latents, "float32"), axis=0, keepdims=True)
        return Conditioning(latents, embedding)

    def speak(self, text: str, conditioning: Conditioning, language: str = "en") -> Synthesis:
        """Speak ``text``, however long, in the conditioned voice.

        Raises:
            TextError: nothing in ``text`` can be spoken, or the language is unknown.
        """
        tokenizer = self.model.tokenizer
        pieces = split_text(text, tokenizer, language, self._piece_tokens())
        if not pieces:
            raise TextError(f"the text {text[:40]!r} has nothing that can be spoken.")
        rng = np.random.default_rng(self.settings.seed)
        spoken = [self._speak_piece(piece, conditioning, language, rng) for piece in pieces]
        return Synthesis(
            waveform=_join([wave for wave, _, _ in spoken]),
            sample_rate=OUTPUT_SAMPLE_RATE,
            vocoder=self.vocoder,
            codes=[codes for _, codes, _ in spoken],
            finished=[finished for _, _, finished in spoken],
        )

    def _piece_tokens(self) -> int:
        """Tokens of text that the model can both read and finish speaking at once."""
        gpt = self.model.gpt
        return min(gpt.max_text_tokens - 1, gpt.max_new_codes // CODES_PER_TOKEN)

    def _pieces(self, reference: str | Path | np.ndarray) -> list[np.ndarray]:
        """Cut one reference into pieces as long as those seen in training."""
        rate = XTTS_CONDITIONING.sample_rate
        name = "the reference array"
        if isinstance(reference, (str, Path)):
            name = str(reference)
            reference, _ = read_audio(reference, rate)
        if len(reference) < MIN_REFERENCE_SECONDS * rate:
            raise AudioError(
                f"{name} lasts {len(reference) / rate:.2f} s; a reference needs at least "
                f"{MIN_REFERENCE_SECONDS} s."
            )
        if np.max(np.abs(reference)) < 10 ** (self.model.config.data.silence_db / 20):
            raise AudioError(f"{name} is silent.")
        size = int(self.model.config.data.reference_seconds * rate)
        pieces = [reference[start : start + size] for start in range(0, len(reference), size)]
        whole = [piece for piece in pieces if len(piece) >= size // 2]
        return whole or pieces[:1]

    def _speak_piece(
        self, text, conditioning, language, rng
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        ids = np.array(self.model.tokenizer.encode(text, language), "int32")
        bound = self._code_bound(text)
        size = min(_round_up(len(ids), TEXT_MULTIPLE), self.model.gpt.max_text_tokens)
        padded = np.zeros((1, size), "int32")
        padded[0, : len(ids)] = ids
        uniforms = rng.random((1, _round_up(bound, CODE_MULTIPLE)), "float32")
        result = self._generate(
            tf.constant(padded),
            tf.constant([len(ids)]),
            conditioning.latents,
            tf.constant(uniforms),
        )
        length = min(int(result["lengths"][0]), bound)
        finished = bool(result["finished"][0]) and length < bound
        codes = np.asarray(result["codes"][0, :length])
        latents = result["latents"][:, :length]
        return self._vocode(codes, latents, conditioning), codes, finished

    def _generate_codes(self, text_ids, text_lengths, latents, uniforms):
        settings = self.settings
        return self.model.gpt.generate(
            text_ids,
            text_lengths,
            latents,
            uniforms,
            temperature=settings.temperature or 1.0,
            top_k=settings.top_k,
            top_p=settings.top_p,
            repetition_penalty=settings.repetition_penalty,
            greedy=settings.temperature == 0,
        )

    def _code_bound(self, text: str) -> int:
        seconds = 2.0 + self.settings.seconds_per_character * len(text)
        codes = math.ceil(seconds * XTTS_DVAE.sample_rate / SAMPLES_PER_CODE)
        return min(codes, self.model.gpt.max_new_codes)

    def _vocode(self, codes: np.ndarray, latents, conditioning: Conditioning) -> np.ndarray:
        if not len(codes):
            return np.zeros(0, "float32")
        if self.vocoder == "hifi":
            wave = self.model.decoder(latents, conditioning.speaker_embedding)
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
    if not trained or not errors:
        logger.info("vocoder: griffin_lim (the decoder stage has not been trained)")
        return "griffin_lim"
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
