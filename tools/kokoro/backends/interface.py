"""One interface over Kokoro in torch and Kokoro in ONNX Runtime.

A voice is a table ``(510, 1, 256)``; the style for n phonemes is its row n - 1.
``style[:, :128]`` goes to the decoder (timbre), ``style[:, 128:]`` to the
prosody predictor (durations, pitch, energy).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from myxtts.errors import ConfigError, TextError

if TYPE_CHECKING:
    import torch

SAMPLE_RATE = 24_000
STYLE_SIZE = 256
# Where the decoder half of a style ends and the prosody half begins.
HALF = STYLE_SIZE // 2
MAX_PHONEMES = 510


@runtime_checkable
class Backend(Protocol):
    """Kokoro that speaks; equal inputs give equal samples."""

    name: str
    differentiable: bool
    device: str
    provenance: str

    def tokens(self, phonemes: str) -> list[int]:
        """Vocabulary ids of 1 to 510 phonemes, without the zeros at both ends."""

    def synthesize(self, tokens: Sequence[int], styles: np.ndarray) -> list[np.ndarray]:
        """Waveforms, float32 ``(samples,)`` at 24 kHz, for styles ``(batch, 256)``."""


@runtime_checkable
class DifferentiableBackend(Backend, Protocol):
    """Kokoro whose samples have a gradient with respect to the style."""

    def waveform(
        self, tokens: Sequence[int], style: torch.Tensor, durations: torch.Tensor | None = None
    ) -> torch.Tensor:
        """``(samples,)`` for a style ``(1, 256)``, with durations ``(phonemes + 2,)`` in frames."""

    def durations(self, tokens: Sequence[int], style: torch.Tensor) -> torch.Tensor:
        """Predicted frames of every phoneme and both ends, int64 ``(phonemes + 2,)``."""


def speak(backend: Backend, voice: np.ndarray, phonemes: str) -> np.ndarray:
    """Phonemes in a voice ``(510, 1, 256)``: float32 ``(samples,)`` at 24 kHz."""
    tokens = backend.tokens(phonemes)
    (audio,) = backend.synthesize(tokens, voice[len(tokens) - 1])
    return audio


def encode(phonemes: str, vocabulary: Mapping[str, int]) -> list[int]:
    """Ids of the symbols that the vocabulary has; others are dropped.

    Raises:
        TextError: none or more than 510 are left.
    """
    tokens = [vocabulary[symbol] for symbol in phonemes if symbol in vocabulary]
    if not tokens:
        raise TextError(f"{phonemes!r} holds no phoneme that Kokoro knows.")
    check_length(tokens)
    return tokens


def check_length(tokens: Sequence[int]) -> None:
    """Refuse what is longer than a voice.

    Raises:
        TextError: there are no tokens, or more than 510.
    """
    if not 1 <= len(tokens) <= MAX_PHONEMES:
        raise TextError(
            f"the text has {len(tokens)} phonemes; Kokoro takes 1 to {MAX_PHONEMES} at a time."
        )


def check_styles(styles: np.ndarray) -> np.ndarray:
    """``styles`` as float32 ``(batch, 256)``.

    Raises:
        ConfigError: the shape is another, or a value is NaN or infinite.
    """
    styles = np.asarray(styles, "float32")
    if styles.ndim != 2 or styles.shape[1] != STYLE_SIZE:
        raise ConfigError(f"styles have shape {styles.shape}; Kokoro wants (batch, {STYLE_SIZE}).")
    if not np.isfinite(styles).all():
        raise ConfigError("a style holds values that are NaN or infinite.")
    return styles
