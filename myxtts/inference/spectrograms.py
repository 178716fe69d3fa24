"""Texts in a voice as mel spectrograms: what SV2TTS's vocoders are given."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from myxtts.config import SynthesisConfig
from myxtts.errors import ConfigError, TextError
from myxtts.generation.alignment import attention_flags, crossing
from myxtts.generation.driver import Attempt, Reading
from myxtts.generation.mels import FRAMES_A_CHARACTER, LEAST_FRAMES, MOST_FRAMES, QUIET
from myxtts.models.tacotron import Tacotron
from myxtts.text.front_end import in_phonemes
from myxtts.text.phonemes import words_apart
from myxtts.text.split import split_text
from myxtts.text.symbols import SymbolTokenizer
from myxtts.weights import rtvc_synthesizer

# Reads letters to a synthesizer that was taught phonemes.
FRONT_END = "hibari"
MOST_WORDS, FEWEST_CHARACTERS = 20, 25
# Said before a text that is too short to be said alone, and cut off again.
CONTEXT = "Now i will say it clearly to all of you."
# 0.15 seconds at 80 frames a second, of the value of silence.
PAUSE_FRAMES, SILENCE = 12, -4.0


@dataclass(frozen=True)
class MelTake:
    """One attempt at a piece of a text.

    Attributes:
        mel: ``(frames, mels)``.
        attention: ``(steps, characters)``, of the end mark too.
        flags: what is wrong with it.
        score: all are equally good.
    """

    mel: np.ndarray
    attention: np.ndarray
    flags: tuple[str, ...]
    score: float = 0.0

    @property
    def waveform(self) -> np.ndarray:
        """The mel, which is what takes are joined of here."""
        return self.mel


class SpectrogramSynthesizer:
    """Speaks texts with a Tacotron; what its attention shows to be wrong is said again.

    To a model whose symbols have phonemes, letters are read by hibari-tts; phonemes may also be
    given, in brackets.

    Args:
        model: the Tacotron.
        cleaners: of texts.
        retries: attempts more at a piece that has a flag, each with the next seed. They have the
            pre-nets' dropout, and so differ, where the first has none.
        most_words: of a piece.
        context: said before short texts and cut off again; "" for none.
        plain: as RTVC: each text whole, once, and without context.
        dropout: whether first attempts have the pre-nets' dropout; as the model says when None.
    """

    def __init__(
        self,
        model: Tacotron,
        cleaners: Sequence[str] = ("english_cleaners",),
        retries: int = 3,
        most_words: int = MOST_WORDS,
        context: str = CONTEXT,
        plain: bool = False,
        dropout: bool | None = None,
    ):
        self.model, self.plain = model, plain
        said = plain or model.config.dropout_in_speech
        self.dropout = said if dropout is None else dropout
        self.tokenizer = SymbolTokenizer(model.config.symbols, cleaners)
        self.settings = replace(SynthesisConfig(), retries=0 if plain else retries)
        self.most_words, self.context = most_words, "" if plain else context
        # Of the pieces of the last call: their takes.
        self.takes: list[list[MelTake]] = []
        signature = [
            tf.TensorSpec([1, None], "int32"),
            tf.TensorSpec([1, model.config.speaker_dims], "float32"),
            tf.TensorSpec([], "int32"),
        ]
        self._speak = {
            dropout: tf.function(
                functools.partial(self._generate, dropout),
                input_signature=signature,
                autograph=False,
            )
            for dropout in (False, True)
        }

    @classmethod
    def open(
        cls, path: str | Path, symbols: tuple[str, ...] | None = None, **options
    ) -> SpectrogramSynthesizer:
        """Of a preset folder or of RTVC's ``synthesizer.pt``.

        Raises:
            MyXTTSError: it is neither, or is damaged.
        """
        if Path(path).is_dir():
            return cls(Tacotron.from_preset(path), **options)
        return cls(rtvc_synthesizer.read(path, symbols), **options)

    def synthesize(
        self, texts: Sequence[str], embeddings: np.ndarray, seed: int = 0
    ) -> list[np.ndarray]:
        """Mels float32 ``(mels, frames)`` of the texts, in [-4, 4] or a little beyond.

        Args:
            texts: any, however long or short.
            embeddings: ``(texts, dim)``, or one ``(dim,)`` for all of them.
            seed: of the dropout; the same gives the same speech.

        Raises:
            TextError: a text has nothing that can be spoken.
            WeightsError: the model reads phonemes, and hibari-tts is not installed.
            ConfigError: the embeddings are of another size or number.
        """
        own = np.asarray(embeddings, "float32")
        own = np.broadcast_to(own, (len(texts), own.shape[-1])) if own.ndim == 1 else own
        if own.shape != (len(texts), self.model.config.speaker_dims):
            raise ConfigError(
                f"embeddings of shape {own.shape}; ({len(texts)}, "
                f"{self.model.config.speaker_dims}) is wanted."
            )
        self.takes = [
            self._read(text, embedding, seed) for text, embedding in zip(texts, own, strict=True)
        ]
        return [_joined([take.mel for take in takes]).T for takes in self.takes]

    def pieces(self, text: str) -> list[str]:
        """What of ``text`` is said at once.

        Raises:
            TextError: nothing of it can be spoken.
        """
        text = self._as_read(re.sub(r"\s+", " ", text).strip())
        if self.plain:
            return [text]
        pieces = split_text(text, _Words(), "en", self.most_words)
        if not pieces:
            raise TextError(f"the text {text[:40]!r} has nothing that can be spoken.")
        return pieces

    def _as_read(self, text: str) -> str:
        """``text`` in phonemes, where the model reads those."""
        if not self.tokenizer.phonemes:
            return text
        return words_apart(in_phonemes(text, "en", FRONT_END))

    @functools.cached_property
    def _context(self) -> str:
        return self._as_read(self.context)

    def _read(self, text: str, embedding: np.ndarray, seed: int) -> list[MelTake]:
        reading = Reading(self.pieces(text), self.settings)
        for attempt in reading:
            # Without its context where that did not help.
            with_context = attempt.number < max(self.settings.retries, 1)
            reading.add(self.take(attempt, embedding, seed, with_context))
        return reading.takes

    def take(
        self, attempt: Attempt, embedding: np.ndarray, seed: int, context: bool = True
    ) -> MelTake:
        """One attempt at one piece."""
        short = len(attempt.text) < FEWEST_CHARACTERS and context and bool(self.context)
        before = len(self.tokenizer.encode(self._context)) if short else 0
        text = f"{self._context} {attempt.text}" if short else attempt.text
        ids = np.array([self.tokenizer.encode(text)], "int32")
        limit = min(MOST_FRAMES, LEAST_FRAMES + FRAMES_A_CHARACTER * ids.shape[1])
        first, piece = attempt.seeds(seed)
        self.model.seeds.state.assign([first % 2**31, piece])
        dropout = self.dropout or attempt.number > 0
        made = self._speak[dropout](ids, embedding[None], MOST_FRAMES if self.plain else limit)
        mel, attention, length, ended = (np.asarray(item)[0] for item in made)
        mel, steps = mel[:length], int(length) // self.model.r
        attention = attention[:steps]
        flags = attention_flags(attention, bool(ended), not self.plain)
        if before:
            cut = _between(mel, attention, before)
            mel, attention = mel[cut:], attention[cut // self.model.r :, before:]
        return MelTake(_without_silence(mel), attention, flags)

    def _generate(self, dropout, ids, embeddings, limit):
        spoken = self.model.generate(ids, embeddings, limit=limit, dropout=dropout)
        return spoken.linear, spoken.attention, spoken.lengths, spoken.ended


class _Words:
    """Counts words where others count tokens."""

    def language_token(self, language: str) -> str:
        return ""

    def count(self, text: str, language: str) -> int:
        return len(text.split())


def _between(mel: np.ndarray, attention: np.ndarray, character: int) -> int:
    """The quietest frame between the mark that ends a context and the ``character`` behind it.

    The attention alone is late by a sound: it comes to rest on a character while that is spoken.
    """
    r, last = len(mel) // len(attention), len(attention) - 1
    # The mark and a space stand before the character.
    first, end = (min(crossing(attention, place), last) for place in (character - 2, character))
    loudness = mel[first * r : (end + 1) * r].mean(axis=1)
    return first * r + int(len(loudness) - 1 - np.argmin(loudness[::-1]))


def _without_silence(mel: np.ndarray) -> np.ndarray:
    """``mel`` up to its last frame that is no silence; some of it where there is none."""
    loud = np.flatnonzero(mel.max(axis=1) >= QUIET)
    return mel[: int(loud[-1]) + 1] if len(loud) else mel[:1]


def _joined(mels: list[np.ndarray]) -> np.ndarray:
    pause = np.full((PAUSE_FRAMES, mels[0].shape[1]), SILENCE, "float32")
    parts = [part for mel in mels for part in (pause, mel)]
    return np.concatenate(parts[1:])
