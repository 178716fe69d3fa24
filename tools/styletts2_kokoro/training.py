"""The loop that trains the projection through Kokoro: epochs, the best so far, and resuming."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from tqdm import tqdm

from myxtts.trackers import Trackers
from tools.kokoro.backends.interface import DifferentiableBackend
from tools.kokoro.resuming import digest, resume, write_state
from tools.kokoro.voice_space import VoiceSpace, spread_penalty
from tools.styletts2_kokoro.alignment import Alignment, align
from tools.styletts2_kokoro.config import TrainingConfig
from tools.styletts2_kokoro.dataset import Clip, Speaker
from tools.styletts2_kokoro.judging import SCORE, Judges, best_epoch
from tools.styletts2_kokoro.losses import Losses, mel_distance, style_gradient
from tools.styletts2_kokoro.projection import Projection
from tools.styletts2_kokoro.speaker_map import SpeakerMap
from tools.styletts2_kokoro.style_mel import SAMPLE_RATE, style_mel

logger = logging.getLogger(__name__)

STATE = "checkpoints/last.pt"
LARGEST_GRADIENT = 1.0
# Of a speaker's clips, so many say what the embedder is to hear.
TARGET_CLIPS = 20
# How loud Kokoro speaks, root mean square. How loud a recording is, is nobody's voice.
LEVEL_DBFS = -23.0


class Embedder(Protocol):
    """A speaker encoder that passes gradients."""

    name: str

    def embed(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Embedding ``(size,)`` of a waveform ``(samples,)`` at a rate in Hz."""


@dataclass(frozen=True)
class Parts:
    """Who works together in a training.

    Attributes:
        backend: who speaks.
        embedder: whose cosine is trained by.
        judges: who choose the best epoch.
        space: of the coordinates.
        map: where the projection starts.
    """

    backend: DifferentiableBackend
    embedder: Embedder
    judges: Judges
    space: VoiceSpace
    map: SpeakerMap


@dataclass(frozen=True)
class Item:
    """A clip to train with: its speaker's number, its mel ``(80, frames)``, and what is spoken."""

    speaker: int
    mel: torch.Tensor
    tokens: tuple[int, ...]
    has_text: bool


class Training:
    """One training of a projection, in a folder.

    Args:
        parts: who works together.
        speakers: with their clips.
        config: epochs, losses and the rest.
        folder: where its state is kept.
    """

    def __init__(
        self, parts: Parts, speakers: Sequence[Speaker], config: TrainingConfig, folder: Path
    ) -> None:
        self.parts, self.speakers, self.config, self.folder = parts, speakers, config, folder
        self.items = [item for n, one in enumerate(speakers) for item in self._items(n, one)]
        self.targets = [self._target(one) for one in speakers]
        self._begin(np.stack([one.style for one in speakers]))
        self.history: list[dict[str, float]] = []
        self.alignments: dict[int, tuple[int, Alignment]] = {}
        self._identity = _identity(parts, speakers, config)

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history) - 1

    @property
    def best_epoch(self) -> int:
        return best_epoch(self.history, self.judged_by)

    @property
    def judged_by(self) -> list[str]:
        """Names of the encoders that judge."""
        return self.parts.judges.hearing.name.split("+")

    def best(self) -> Projection:
        """The projection of the best epoch."""
        best = copy.deepcopy(self.projection)
        best.load_state_dict({"correction": self._best})
        return best

    def run(self, trackers: Trackers) -> str:
        """Train to the last epoch, and say why it ended: ``epochs`` or ``interrupted``.

        Raises:
            CheckpointError: the state cannot be written.
        """
        try:
            if not self.history:
                self._keep({}, trackers)
            total = self.config.epochs_projection
            with tqdm(total=total, initial=self.epoch, unit="epoch") as bar:
                while self.epoch < total:
                    self._keep(self._train(self.epoch + 1), trackers)
                    bar.set_postfix(likeness=f"{self.history[-1][SCORE]:.4f}", refresh=False)
                    bar.update()
        except KeyboardInterrupt:
            if not self.history:
                raise
            logger.info("interrupted: the best epoch so far is kept; --resume goes on.")
            return "interrupted"
        return "epochs"

    def resume(self) -> None:
        """Go back to where the folder's earlier run stopped.

        Raises:
            CheckpointError: there is none, it is damaged, or it was run with other settings.
        """
        resume(self.folder / STATE, self._identity, self._restore)

    def _begin(self, styles: np.ndarray) -> None:
        self.styles = styles
        projection = Projection(self.parts.map, styles, self.config.gain)
        self.projection = projection.to(self.parts.backend.device)
        self.optimizer = torch.optim.Adam(projection.parameters(), self.config.lr_projection)
        self._best = projection.correction.detach().cpu().clone()

    def _items(self, number: int, speaker: Speaker) -> list[Item]:
        """A clip without a text is compared with the next one's, stretched."""
        backend, items = self.parts.backend, []
        texts = [clip.phonemes for clip in speaker.train]
        for place, clip in enumerate(speaker.train):
            phonemes = next(filter(None, texts[place:] + texts))
            mel = style_mel(torch.from_numpy(at_level(clip.audio)))
            tokens = tuple(backend.tokens(phonemes))
            items.append(Item(number, mel, tokens, bool(clip.phonemes)))
        return items

    @torch.no_grad()
    def _target(self, speaker: Speaker) -> torch.Tensor:
        """What the embedder is to hear, ``(size,)`` of length one."""
        embed = self.parts.embedder.embed
        clips = speaker.train[:TARGET_CLIPS]
        heard = [embed(torch.from_numpy(clip.audio), SAMPLE_RATE) for clip in clips]
        return torch.nn.functional.normalize(torch.stack(heard).mean(dim=0), dim=0)

    def _train(self, epoch: int) -> dict[str, float]:
        """Speak an epoch's clips, move after each, and tell the mean losses."""
        losses = []
        for index in order(epoch, len(self.items), self.config):
            item = self.items[index]
            found = self._step(item, self._alignment(index, item, epoch))
            if found is not None:
                losses.append(found)
        if not losses:
            logger.warning("epoch %d: no loss is a number; nothing was learned.", epoch)
            return {"mel": math.nan, "cosine": math.nan}
        means = np.mean([[one.mel, one.cosine] for one in losses], axis=0)
        return {"mel": float(means[0]), "cosine": float(means[1])}

    def _alignment(self, index: int, item: Item, epoch: int) -> Alignment:
        """Of an item, as it was made in this epoch or in one of the last few."""
        age = (epoch - 1) // self.config.align_every
        made, alignment = self.alignments.get(index, (-1, None))
        if made != age:
            point = self.projection.coordinates(self.styles[item.speaker])
            row = self.parts.space.styles(point[None], len(item.tokens) - 1)
            style = torch.from_numpy(row)
            backend = self.parts.backend
            alignment = align(backend, item.tokens, style, item.mel, item.has_text)
            self.alignments[index] = (age, alignment)
        return alignment

    def _step(self, item: Item, alignment: Alignment) -> Losses | None:
        """Speak one clip's text and move; None where there is no number to go by."""
        parts, config, row = self.parts, self.config, len(item.tokens) - 1
        point = self.projection(self.styles[item.speaker])
        style = parts.space.style(point, row)
        leaf = style.detach().requires_grad_()
        audio = parts.backend.waveform(item.tokens, leaf, alignment.durations)
        mel = mel_distance(audio, alignment.target(item.mel))
        heard = parts.embedder.embed(audio, SAMPLE_RATE)
        cosine = 1 - torch.cosine_similarity(heard, self.targets[item.speaker], dim=0)
        slope = style_gradient(leaf, mel, cosine, (config.mel_weight, config.cosine_weight))
        if not torch.isfinite(slope).all():
            return None
        self.optimizer.zero_grad()
        # With the slope fixed, this has the losses' gradient with respect to the projection.
        (torch.sum(style * slope) + config.spread_weight * spread_penalty(point)).backward()
        torch.nn.utils.clip_grad_norm_(self.projection.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        return Losses(float(mel.detach()), float(cosine.detach()))

    def _keep(self, losses: dict[str, float], trackers: Trackers) -> None:
        """Judge where the projection stands, and write the state."""
        points = [self.projection.coordinates(style) for style in self.styles]
        scores = self.parts.judges.scores(points)
        self.history.append({"epoch": len(self.history), **losses, **scores})
        if self.best_epoch == self.epoch:
            self._best = self.projection.correction.detach().cpu().clone()
        write_state(self.folder / STATE, self._state())
        trackers.tell(self.epoch, {**losses, **scores})

    def _state(self) -> dict[str, Any]:
        return {
            "identity": self._identity,
            "styles": torch.from_numpy(self.styles),
            "correction": self.projection.correction.detach().cpu(),
            "best": self._best,
            "adam": self.optimizer.state_dict(),
            "history": self.history,
            "alignments": {
                index: [made, one.durations, one.frames]
                for index, (made, one) in self.alignments.items()
            },
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._begin(state["styles"].numpy())
        self.projection.load_state_dict({"correction": state["correction"]})
        self.optimizer.load_state_dict(state["adam"])
        self.history, self._best = list(state["history"]), state["best"]
        self.alignments = {
            index: (made, Alignment(durations, frames))
            for index, (made, durations, frames) in state["alignments"].items()
        }


def at_level(audio: np.ndarray) -> np.ndarray:
    """``(samples,)`` made as loud as Kokoro speaks."""
    rms = np.sqrt(np.mean(np.square(audio, dtype="float64"))) + 1e-9
    return (audio * (10 ** (LEVEL_DBFS / 20) / rms)).astype("float32")


def order(epoch: int, count: int, config: TrainingConfig) -> list[int]:
    """Numbers of the clips of an epoch, counted from 1: each comes once before any comes again."""
    each = min(count, config.clips_per_epoch)
    found = []
    for place in range((epoch - 1) * each, epoch * each):
        draw = np.random.default_rng([config.seed, place // count])
        found.append(int(draw.permutation(count)[place % count]))
    return found


def _identity(parts: Parts, speakers: Sequence[Speaker], config: TrainingConfig) -> dict[str, Any]:
    """What a resumed run must share with its beginning."""
    space, clips = parts.space, [clip for one in speakers for clip in (*one.train, *one.validation)]
    return {
        **config.trajectory(),
        "backend": parts.backend.name,
        "embedder": parts.embedder.name,
        "judges": parts.judges.hearing.name,
        "map": digest(parts.map.weights, parts.map.background, parts.map.gain),
        "voices": digest(space.origin, space.directions, space.spread),
        "speakers": [one.name for one in speakers],
        "clips": digest(*(clip.audio for clip in clips)),
        "texts": digest(*(_letters(clip) for clip in clips)),
    }


def _letters(clip: Clip) -> np.ndarray:
    return np.frombuffer(f"{clip.speaker}\n{clip.phonemes}\n".encode(), "uint8")
