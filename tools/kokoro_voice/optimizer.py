"""Fit a Kokoro voice to a recording.

optimizer = create_optimizer(config=OptimizerConfig(num_iterations=100))
result = optimizer.optimize(target_audio_path="target.wav", output_dir="outputs/exp1")
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.audio.io import write_audio
from myxtts.errors import ConfigError, TextError
from myxtts.files import locked, writable_folder
from tools.kokoro.backends.interface import SAMPLE_RATE, Backend
from tools.kokoro.backends.opening import open_backend
from tools.kokoro.device import usable_device
from tools.kokoro.phonemes import phonemize
from tools.kokoro.voice_sources import find_voices
from tools.kokoro.voice_space import VoiceSpace
from tools.kokoro.voices import load_voices
from tools.kokoro_voice.config import OptimizerConfig
from tools.kokoro_voice.coordinates import build_space
from tools.kokoro_voice.embedders import Embedder, open_embedder
from tools.kokoro_voice.fitting import STATE, Fit, Progress
from tools.kokoro_voice.objective import Measurement, Objective, read_target, target_embedding

logger = logging.getLogger(__name__)


class VoiceGradientOptimizer:
    """Searches the space of real voices for the one that sounds like a recording.

    Args:
        backend: who speaks.
        embedder: who judges likeness.
        voices: real voices ``(510, 1, 256)`` by name; they span the space.
        config: everything else.
        start: a voice ``(510, 1, 256)`` to begin at, in place of what ``config.start`` names.

    Raises:
        DataError: the voices span no space.
        ConfigError: ``config.start`` is none of the voices.
    """

    def __init__(
        self,
        backend: Backend,
        embedder: Embedder,
        voices: dict[str, np.ndarray],
        config: OptimizerConfig,
        start: np.ndarray | None = None,
    ) -> None:
        self.backend, self.embedder, self.config = backend, embedder, config
        self.space = build_space(np.stack(list(voices.values())), config)
        known = voices if start is None else {config.start: start}
        self.start = start_coordinates(self.space, known, config)

    def optimize(
        self,
        target_audio_path: str | Path,
        output_dir: str | Path,
        text: str | None = None,
        resume: bool = False,
        on_step: Callable[[Progress], None] | None = None,
    ) -> dict[str, Any]:
        """Fit a voice and write everything to ``output_dir``.

        Args:
            target_audio_path: a recording of the voice, one second or more.
            output_dir: folder for voices, history, picture, samples and state.
            text: spoken in every step; None takes the configuration's.
            resume: go on with the folder's earlier run.
            on_step: called after every iteration.

        Returns:
            ``output_dir``, ``voice`` (path of the best), similarities, counts, and why
            the fit ``stopped``.

        Raises:
            AudioError: the target is missing, no audio, too short or silent.
            TextError: a text has no phonemes, or more than 510.
            CheckpointError: the folder cannot be written or is another process's, or its run
                cannot be resumed.
        """
        folder = writable_folder(output_dir)
        with locked(folder):
            return self._fit(folder, target_audio_path, text, resume, on_step)

    def _fit(
        self,
        folder: Path,
        target_audio_path: str | Path,
        text: str | None,
        resume: bool,
        on_step: Callable[[Progress], None] | None,
    ) -> dict[str, Any]:
        began = time.monotonic()
        objective = self.objective(target_audio_path, text)
        (start,) = objective.measure(self.start[None])
        write_audio(folder / "sample_before.wav", objective.speak(self.start), SAMPLE_RATE)
        # What is spoken before and after the search is not part of it.
        objective.syntheses = 0
        fit = Fit(objective, self.config, start, folder)
        if resume:
            fit.resume()
        else:
            _clear(folder)
        result = {"stopped": fit.run(on_step), "syntheses": objective.syntheses}
        after = objective.speak(fit.progress.best.coordinates)
        write_audio(folder / "sample_after.wav", after, SAMPLE_RATE)
        seconds = round(time.monotonic() - began, 2)
        return {**self._result(folder, start, fit.progress), **result, "seconds": seconds}

    def objective(self, target_audio_path: str | Path, text: str | None = None) -> Objective:
        """What :meth:`optimize` minimises for a target, to be measured at will.

        Raises:
            AudioError, TextError: as :meth:`optimize`.
        """
        config = self.config
        if text is not None:
            config = dataclasses.replace(config, text_for_generation=text)
        tokens = [self.backend.tokens(phonemes) for phonemes in _phonemes(config)]
        target = target_embedding(target_audio_path, self.embedder)
        return Objective(self.backend, self.embedder, self.space, target, tokens, config)

    def _result(self, folder: Path, start: Measurement, progress: Progress) -> dict[str, Any]:
        return {
            "output_dir": str(folder),
            "voice": str(folder / "voice_best.pt"),
            "similarity_start": round(start.similarity, 6),
            "similarity_best": round(progress.best.similarity, 6),
            "best_iteration": progress.best_iteration,
            "iterations": progress.iteration,
            "components": self.space.components,
            "embedder": self.embedder.name,
            "backend": self.backend.name,
        }


def create_optimizer(
    kokoro_pipeline: Any = None,
    config: OptimizerConfig | None = None,
    start: np.ndarray | None = None,
) -> VoiceGradientOptimizer:
    """An optimizer whose parts are what ``config`` names.

    Args:
        kokoro_pipeline: a ``kokoro.KPipeline``, a ``KModel`` or a :class:`Backend`; None
            opens the backend that ``config`` names.
        config: None takes the defaults.
        start: a voice ``(510, 1, 256)`` to begin at, in place of what ``config.start`` names.

    Raises:
        ConfigError: the device, backend or embedder is not there.
        DataError: there are no voices.
        WeightsError: there are no weights.
    """
    config = config or OptimizerConfig()
    device = usable_device(config.device)
    voices = load_voices(find_voices(config.voices))
    embedder = open_embedder(config, device)
    backend = _backend(kokoro_pipeline, config, device)
    return VoiceGradientOptimizer(backend, embedder, voices, config, start)


def check_inputs(target: str | Path, output_dir: str | Path, config: OptimizerConfig) -> None:
    """Refuse bad input before anything large is loaded.

    Raises:
        AudioError, CheckpointError, ConfigError, TextError: as :meth:`optimize` would.
    """
    usable_device(config.device)
    read_target(target)
    _phonemes(config)
    writable_folder(output_dir)


def start_coordinates(
    space: VoiceSpace, voices: dict[str, np.ndarray], config: OptimizerConfig
) -> np.ndarray:
    """Coordinates ``(components,)`` of ``config.start``; the centroid's are zero."""
    if config.start == "centroid":
        return np.zeros(space.components, "float32")
    if config.start not in voices:
        raise ConfigError(f"start is {config.start!r}; it must be centroid or one of the voices.")
    voice = voices[config.start]
    if config.length_model == "replicate":
        voice = np.broadcast_to(voice[config.target_frame_idx], voice.shape)
    return space.coordinates(voice).astype("float32")


def _phonemes(config: OptimizerConfig) -> Sequence[str]:
    """Of every text, or ``config.phonemes`` in their place."""
    texts = config.phonemes or (config.text_for_generation, *config.texts)
    found = config.phonemes or [phonemize(text, config.language) for text in texts]
    for phonemes, text in zip(found, texts, strict=True):
        # Punctuation has a place in the vocabulary, but nobody's voice is heard in it.
        if not any(symbol.isalpha() for symbol in phonemes):
            raise TextError(f"there is nothing to speak in {text!r}: it has no phonemes.")
    return found


def _backend(given: Any, config: OptimizerConfig, device: str) -> Backend:
    if given is None:
        backend = open_backend(config.backend, config.weights or None, device)
    elif isinstance(given, Backend):
        return given
    else:
        from tools.kokoro.backends.torch import TorchBackend

        model = getattr(given, "model", given)
        if not hasattr(model, "forward_with_tokens"):
            raise ConfigError(f"{type(given).__name__} is neither a KPipeline nor a backend.")
        backend = TorchBackend(model, device, "kokoro pipeline")
    if hasattr(backend, "seed"):
        backend.seed = config.seed
    return backend


def _clear(folder: Path) -> None:
    """Take away the voices of an earlier run, which would be mistaken for this one's."""
    if (folder / STATE).exists():
        logger.info("%s holds an earlier run; its files are replaced.", folder)
    for path in folder.glob("voice_iter_*.pt"):
        path.unlink()
