"""What a fit minimises: distance from the target's speaker embedding, and a penalty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from myxtts.audio.io import read_audio
from myxtts.errors import AudioError
from myxtts.timing import SPEAKER_RATE
from tools.kokoro.backends.interface import SAMPLE_RATE, Backend
from tools.kokoro.voice_space import VoiceSpace, spread_penalty
from tools.kokoro_voice.config import OptimizerConfig
from tools.kokoro_voice.embedders import Embedder

# Of a longer target the beginning serves: one speaker's embedding gains little beyond it.
MAX_TARGET_SECONDS = 60.0
MIN_TARGET_SECONDS = 1.0
SILENCE_DBFS = -60.0
# Batches of fewer syntheses show no progress bar of their own.
SHORT_BATCH = 16


@dataclass(frozen=True)
class Measurement:
    """A point that was spoken: coordinates ``(components,)``, its loss, cosine to the target."""

    coordinates: np.ndarray
    loss: float
    similarity: float


class Objective:
    """Loss of coordinates, with and without a gradient; counts its syntheses.

    Args:
        backend: who speaks.
        embedder: who judges.
        space: the coordinates.
        target: speaker embedding ``(size,)`` to come near.
        tokens: one list of vocabulary ids for each text.
        config: loss, penalty and batch size.
    """

    def __init__(
        self,
        backend: Backend,
        embedder: Embedder,
        space: VoiceSpace,
        target: torch.Tensor,
        tokens: Sequence[Sequence[int]],
        config: OptimizerConfig,
    ) -> None:
        self.backend, self.embedder, self.space = backend, embedder, space
        self.target, self.tokens, self.config = target, tokens, config
        self.syntheses = 0

    @torch.no_grad()
    def measure(self, points: np.ndarray) -> list[Measurement]:
        """Speak and judge coordinates ``(batch, components)``."""
        losses, cosines = np.zeros((2, len(points)))
        spoken = len(points) * len(self.tokens)
        with tqdm(total=spoken, unit="clip", leave=False, disable=spoken < SHORT_BATCH) as bar:
            for tokens in self.tokens:
                for index, audio in enumerate(self._spoken(tokens, points)):
                    loss, cosine = self._judged(torch.from_numpy(audio))
                    losses[index] += float(loss) / len(self.tokens)
                    cosines[index] += float(cosine) / len(self.tokens)
                    bar.update()
        losses += [float(self.penalty(torch.from_numpy(point))) for point in points]
        return [
            Measurement(point, float(loss), float(cosine))
            for point, loss, cosine in zip(points, losses, cosines, strict=True)
        ]

    def measure_with_gradient(self, point: np.ndarray) -> tuple[Measurement, np.ndarray]:
        """Speak and judge ``(components,)``, and the loss's gradient there."""
        coordinates = torch.tensor(point, device=self.backend.device, requires_grad=True)
        total = cosines = 0.0
        # One text after the other: the graph of one synthesis is all that memory has to hold.
        for tokens in self.tokens:
            style = self.space.style(coordinates, len(tokens) - 1)
            loss, cosine = self._judged(self.backend.waveform(tokens, style))
            (loss / len(self.tokens)).backward()
            total += float(loss.detach()) / len(self.tokens)
            cosines += float(cosine.detach()) / len(self.tokens)
            self.syntheses += 1
        penalty = self.penalty(coordinates)
        penalty.backward()
        measured = Measurement(point, total + float(penalty.detach()), cosines)
        return measured, coordinates.grad.cpu().numpy()

    def penalty(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Of coordinates beyond the voices' own spread, see :func:`spread_penalty`."""
        return self.config.spread_weight * spread_penalty(coordinates)

    def speak(self, point: np.ndarray) -> np.ndarray:
        """The first text in the voice at ``(components,)``: ``(samples,)`` at 24 kHz."""
        return next(self._spoken(self.tokens[0], point[None]))

    def _spoken(self, tokens: Sequence[int], points: np.ndarray) -> Iterator[np.ndarray]:
        size = self.config.batch_size
        styles = self.space.styles(points, len(tokens) - 1)
        for start in range(0, len(styles), size):
            batch = styles[start : start + size]
            waveforms = self.backend.synthesize(tokens, batch)
            self.syntheses += len(batch)
            yield from waveforms

    def _judged(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss without the penalty, and cosine to the target."""
        embedding = self.embedder.embed(audio, SAMPLE_RATE)
        cosine = torch.cosine_similarity(embedding, self.target, dim=0)
        if self.config.loss_type == "cosine":
            return 1 - cosine, cosine
        distance = torch.sum((embedding - self.target) ** 2)
        return distance / torch.sum(self.target**2), cosine


def target_embedding(path: str | Path, embedder: Embedder) -> torch.Tensor:
    """Embedding ``(size,)`` of a recording.

    Raises:
        AudioError: the file is missing or no audio, shorter than a second, or silent.
    """
    with torch.no_grad():
        return embedder.embed(torch.from_numpy(read_target(path)), SPEAKER_RATE)


def read_target(path: str | Path) -> np.ndarray:
    """A recording ``(samples,)`` at 16 kHz, in which a voice can be heard.

    Raises:
        AudioError: as :func:`target_embedding`.
    """
    audio, _ = read_audio(path, SPEAKER_RATE, max_seconds=MAX_TARGET_SECONDS)
    seconds = len(audio) / SPEAKER_RATE
    if seconds < MIN_TARGET_SECONDS:
        raise AudioError(
            f"{path} lasts {seconds:.1f} s; a voice wants at least {MIN_TARGET_SECONDS:.0f} s, "
            "better ten."
        )
    level = 10 * np.log10(np.mean(np.square(audio, dtype="float64")) + 1e-20)
    if level < SILENCE_DBFS:
        raise AudioError(f"{path} is silent ({level:.0f} dBFS); there is no voice to fit.")
    return audio
