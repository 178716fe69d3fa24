"""The loop of a fit: history, the best so far, saving, resuming, and when to stop."""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from myxtts.digests import SUMS, write_sums
from myxtts.files import write_whole
from tools.kokoro.resuming import digest, resume, write_state
from tools.kokoro.voices import save_voice
from tools.kokoro_voice.config import OptimizerConfig
from tools.kokoro_voice.gradients import METHODS, Diverged
from tools.kokoro_voice.objective import Measurement, Objective
from tools.kokoro_voice.report import draw_history

logger = logging.getLogger(__name__)

STATE = "optimizer_state.pt"
HISTORY = "optimization_history.json"
PICTURE = "optimization_history.png"
COLUMNS = ("iteration", "loss", "similarity", "syntheses")


@dataclass
class Progress:
    """What a fit has seen: a row for each iteration, and the best point."""

    best: Measurement
    history: dict[str, list] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    best_iteration: int = 0

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return len(self.history["iteration"])

    def add(self, measured: Measurement, syntheses: int) -> None:
        """Keep the next iteration's row."""
        row = (self.iteration + 1, measured.loss, measured.similarity, syntheses)
        for name, value in zip(COLUMNS, row, strict=True):
            self.history[name].append(value)
        self.consider(measured)

    def consider(self, measured: Measurement) -> None:
        """Keep a point if it is the best so far."""
        if measured.loss < self.best.loss:
            self.best, self.best_iteration = measured, self.iteration


class Fit:
    """One run of a method into a folder.

    Args:
        objective: what to minimise.
        config: the method, its steps and when to stop.
        start: where it begins, spoken already.
        folder: where the files go.
    """

    def __init__(
        self, objective: Objective, config: OptimizerConfig, start: Measurement, folder: Path
    ) -> None:
        self.objective, self.config, self.folder = objective, config, folder
        self.method = METHODS[config.gradient_method](objective, config, start.coordinates)
        self.progress = Progress(best=start)
        self._identity = _identity(objective, config, start.coordinates)
        self._snapshot = self._state()

    def run(self, on_step: Callable[[Progress], None] | None = None) -> str:
        """Go on until a reason to stop, which is returned; the files are written by then.

        Reasons: ``iterations``, ``patience``, ``time``, ``diverged``, ``interrupted``.
        """
        self._began = time.monotonic()
        try:
            reason = self._iterate(on_step)
            self._measure_end()
        except KeyboardInterrupt:
            logger.info("interrupted: the best voice so far is kept.")
            reason = "interrupted"
            # A half-done iteration leaves no trace, so that --resume repeats it whole.
            self._restore(self._snapshot)
        self._save()
        draw_history(self.folder / PICTURE, self.progress.history)
        return reason

    def resume(self) -> None:
        """Go back to where the folder's earlier run stopped.

        Raises:
            CheckpointError: there is none, it is damaged, or it was run with other settings.
        """
        resume(self.folder / STATE, self._identity, self._restore)

    def _iterate(self, on_step: Callable[[Progress], None] | None) -> str:
        progress, total = self.progress, self.config.num_iterations
        with tqdm(total=total, initial=progress.iteration, unit="step") as bar:
            while (reason := self._reason_to_stop()) is None:
                try:
                    measured = self.method.step(progress.iteration + 1)
                except Diverged:
                    logger.warning("the loss is no longer a number: the fit stops here.")
                    return "diverged"
                progress.add(measured, self.objective.syntheses)
                self._snapshot = self._state()
                bar.set_postfix(similarity=f"{measured.similarity:.4f}", refresh=False)
                bar.update()
                if progress.iteration % self.config.save_every == 0:
                    self._save_iteration(measured)
                if on_step is not None:
                    on_step(progress)
        return reason

    def _reason_to_stop(self) -> str | None:
        progress, config = self.progress, self.config
        if progress.iteration >= config.num_iterations:
            return "iterations"
        if config.patience and progress.iteration - progress.best_iteration >= config.patience:
            return "patience"
        if config.max_seconds and time.monotonic() - self._began >= config.max_seconds:
            return "time"
        return None

    def _measure_end(self) -> None:
        """The last move has not been spoken yet, and may be the best."""
        spoken = self.objective.syntheses
        (end,) = self.objective.measure(self.method.coordinates[None])
        if np.isfinite(end.loss):
            self.progress.consider(end)
        # Not part of the path: a resumed run begins with this point.
        self.objective.syntheses = spoken

    def _save_iteration(self, measured: Measurement) -> None:
        name = f"voice_iter_{self.progress.iteration:04d}.pt"
        save_voice(self.folder / name, self.objective.space.pack(measured.coordinates))
        self._save()

    def _save(self) -> None:
        """Voices in the three forms, history, and the state to resume from."""
        pack = self.objective.space.pack
        # First, so that a killed process leaves no voice with another's hash.
        (self.folder / SUMS).unlink(missing_ok=True)
        for suffix in (".pt", ".npz", ".bin"):
            save_voice(self.folder / f"voice_best{suffix}", pack(self.progress.best.coordinates))
        save_voice(self.folder / "voice_final.pt", pack(self.method.coordinates))
        history = json.dumps(self.progress.history, indent=1)
        write_whole(self.folder / HISTORY, f"{history}\n")
        write_state(self.folder / STATE, self._snapshot)
        write_sums(self.folder, [path.name for path in self.folder.glob("voice_*.*")])

    def _state(self) -> dict[str, Any]:
        best = self.progress.best
        return {
            "identity": self._identity,
            "history": copy.deepcopy(self.progress.history),
            "best": [torch.from_numpy(best.coordinates), best.loss, best.similarity],
            "best_iteration": self.progress.best_iteration,
            "method": self.method.state(),
            "syntheses": self.objective.syntheses,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        best = state["best"]
        self.progress = Progress(
            Measurement(best[0].numpy(), *best[1:]),
            copy.deepcopy(state["history"]),
            state["best_iteration"],
        )
        self.method.restore(state["method"])
        self.objective.syntheses = state["syntheses"]
        self._snapshot = state


def _identity(objective: Objective, config: OptimizerConfig, start: np.ndarray) -> dict[str, Any]:
    """What a resumed run must share with its beginning."""
    space = objective.space
    return {
        **config.trajectory(),
        "backend": objective.backend.name,
        "embedder": objective.embedder.name,
        "target": digest(objective.target.cpu().numpy()),
        "voices": digest(space.origin, space.directions, space.spread),
        "start point": digest(start),
        "phonemes": [list(tokens) for tokens in objective.tokens],
    }
