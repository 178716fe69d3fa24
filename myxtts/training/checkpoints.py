"""Checkpoints of a training stage: whole or not at all, the last few and the best."""

from __future__ import annotations

import json
import logging
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from myxtts.errors import CheckpointError
from myxtts.files import replacing_folder, write_whole
from myxtts.presets.variables import load_variables, save_variables

logger = logging.getLogger(__name__)

STATE = "state.json"
BEST = "best.json"
TASK_FILE = "task.safetensors"


@dataclass
class Progress:
    """How far a stage has come.

    Attributes:
        step: optimiser steps made.
        best: lowest validation metric so far; None before the first validation.
        best_step: step of it.
        stalled: validations since then.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0
    stalled: int = 0


@dataclass
class CheckpointFolder:
    """Checkpoints of one stage under ``folder``.

    Args:
        folder: made when the first checkpoint is written.
        task: its ``variables`` and the ``variables`` of its ``optimizers`` are the state.
        keep: latest checkpoints to keep, beside the best.
    """

    folder: Path
    task: Any
    keep: int

    def save(self, progress: Progress) -> None:
        """Write a checkpoint, point to the best and drop those that are no longer kept.

        Raises:
            CheckpointError: it cannot be written; earlier checkpoints are untouched.
        """
        target = self._path(progress.step)
        with replacing_folder(target) as fresh:
            for file, variables in self._files().items():
                save_variables(fresh / file, variables)
            (fresh / STATE).write_text(json.dumps(asdict(progress)), encoding="utf-8")
        self._point_best(progress)
        self._prune(progress)

    def restore(self) -> Progress | None:
        """Load the newest checkpoint that is whole; None when there is none at all.

        Raises:
            CheckpointError: there are checkpoints and not one can be read, or the newest
                belongs to another configuration.
        """
        problem: CheckpointError | None = None
        for step in reversed(self.steps()):
            try:
                return self._load(step)
            except CheckpointError as error:
                if "another configuration" in str(error):
                    raise
                problem = problem or error
                logger.warning("%s Trying the checkpoint before it.", error)
        if problem is not None:
            raise problem
        return None

    def load_best(self) -> int | None:
        """Load the weights of the best checkpoint; return its step, None without one."""
        step = self.best_step()
        if step is None:
            return None
        load_variables(self._path(step) / TASK_FILE, self._files()[TASK_FILE])
        return step

    def steps(self) -> list[int]:
        """Steps of the checkpoints there are, in order."""
        matches = (re.fullmatch(r"step-(\d{8,})", path.name) for path in self.folder.glob("step-*"))
        return sorted(int(match[1]) for match in matches if match)

    def best_step(self) -> int | None:
        """Step of the best checkpoint, None without one."""
        try:
            step = json.loads((self.folder / BEST).read_text(encoding="utf-8"))["step"]
        except (OSError, ValueError, KeyError):
            return None
        return step if step in self.steps() else None

    def _load(self, step: int) -> Progress:
        path = self._path(step)
        try:
            progress = Progress(**json.loads((path / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"{path / STATE} is missing or damaged: {error}.") from error
        for file, variables in self._files().items():
            load_variables(path / file, variables)
        return progress

    def _files(self) -> dict[str, dict]:
        """Variables of every file, numbered: names of optimiser slots are not unique."""
        files = {TASK_FILE: _numbered(self.task.variables)}
        for index, optimizer in enumerate(self.task.optimizers):
            files[f"optimizer-{index}.safetensors"] = _numbered(optimizer.variables)
        return files

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _point_best(self, progress: Progress) -> None:
        if progress.best is None or progress.best_step == self.best_step():
            return
        write_whole(self.folder / BEST, json.dumps({"step": progress.best_step}))

    def _prune(self, progress: Progress) -> None:
        # Later ones are of a course that was left: they were damaged, or restore() had used them.
        latest = [step for step in self.steps() if step <= progress.step][-self.keep :]
        for step in self.steps():
            if step not in latest and step != self.best_step():
                shutil.rmtree(self._path(step), ignore_errors=True)
        # What a killed process had begun to write.
        for path in self.folder.glob(".step-*"):
            shutil.rmtree(path, ignore_errors=True)


def _numbered(variables: list) -> dict:
    return {f"{index:05d}": variable for index, variable in enumerate(variables)}
