"""Checkpoints of a training stage: whole or not at all, the last few and the best."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from operator import itemgetter
from pathlib import Path
from typing import Any

from myxtts.digests import check_seal, file_sha256, sealed
from myxtts.errors import CheckpointError
from myxtts.files import (
    discard_folder,
    read_object,
    remove_abandoned,
    replacing_folder,
    sweep,
    write_whole,
)
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

    A checkpoint is a folder that appears by one rename, and everything that a step produced is
    in it: weights, optimisers, progress, history, and the SHA-256 of each. What else is told of
    checkpoints (``best.json``, which of them are kept) follows from the newest one and is
    completed by :meth:`restore` where a killed process left it undone.

    Args:
        folder: made when the first checkpoint is written.
        task: its ``variables`` and the ``variables`` of its ``optimizers`` are the state.
        keep: latest checkpoints to keep, beside the best.

    Attributes:
        history: records of the stage up to the checkpoint that was restored; None where it
            brought none.
    """

    folder: Path
    task: Any
    keep: int
    history: list[dict] | None = None

    def save(
        self, progress: Progress, history: Sequence[dict] | None = None, passing: bool = False
    ) -> None:
        """Write a checkpoint, point to the best and drop those that are no longer kept.

        Args:
            progress: of the stage.
            history: the stage's records so far.
            passing: whether an unbroken run would not have written this one; it goes with the
                next.

        Raises:
            CheckpointError: it cannot be written; earlier checkpoints are untouched.
        """
        target = self._path(progress.step)
        state: dict[str, Any] = {**asdict(progress), "passing": passing}
        state["history"] = None if history is None else list(history)
        with replacing_folder(target) as fresh:
            for file, variables in self._files().items():
                save_variables(fresh / file, variables)
            state["sha256"] = {file: file_sha256(fresh / file) for file in self._files()}
            (fresh / STATE).write_text(json.dumps(sealed(state)), encoding="utf-8")
        self._tidy(progress)

    def restore(self) -> Progress | None:
        """Load the newest checkpoint that is whole; None when there is none at all.

        Raises:
            CheckpointError: there are checkpoints and not one is whole, or the newest belongs
                to another configuration or cannot be read for a reason outside of it.
        """
        problem: CheckpointError | None = None
        for step in reversed(self.steps()):
            try:
                progress = self._load(step)
            except CheckpointError as error:
                if "another configuration" in str(error) or _may_pass(error):
                    raise
                problem = problem or error
                logger.warning("%s Trying the checkpoint before it.", error)
                continue
            self._complete(progress, newest=problem is None)
            return progress
        if problem is not None:
            raise problem
        return None

    def load_best(self) -> int | None:
        """Load the weights of the best checkpoint; return its step, None without one.

        Where that is damaged the weights stay as they are, and the log says so.
        """
        step = self.best_step()
        if step is None:
            return None
        try:
            sha256 = self._state(step).get("sha256", {}).get(TASK_FILE)
            load_variables(self._path(step) / TASK_FILE, self._files()[TASK_FILE], sha256)
        except CheckpointError as error:
            if _may_pass(error):
                raise
            logger.warning("%s It was the best; the weights of the last step stay.", error)
            return None
        return step

    def steps(self) -> list[int]:
        """Steps of the checkpoints there are, in order."""
        matches = (re.fullmatch(r"step-(\d{8,})", path.name) for path in self.folder.glob("step-*"))
        return sorted(int(match[1]) for match in matches if match)

    def best_step(self) -> int | None:
        """Step of the best checkpoint, None without one."""
        try:
            step = json.loads((self.folder / BEST).read_text(encoding="utf-8"))["step"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return step if step in self.steps() else None

    def _load(self, step: int) -> Progress:
        path, state = self._path(step), self._state(step)
        check_seal(state, path / STATE)
        try:
            known = {item.name for item in fields(Progress)} & state.keys()
            progress = Progress(**{name: state[name] for name in known})
            digests, history = dict(state.get("sha256", {})), state.get("history")
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{path / STATE} is missing or damaged: {error}.") from error
        if progress.step != step:
            raise CheckpointError(f"{path / STATE} is damaged: it is of step {progress.step}.")
        for file, variables in self._files().items():
            load_variables(path / file, variables, digests.get(file))
        self.history = history
        return progress

    def _state(self, step: int) -> dict:
        return read_object(self._path(step) / STATE, CheckpointError, "is missing or damaged")

    def _complete(self, progress: Progress, newest: bool) -> None:
        """Do what the process that wrote the checkpoint may not have come to."""
        if newest:
            self._tidy(progress)
        else:
            # Damaged ones stay until the next save, for whoever can mend them.
            self._point_best(progress)
        if progress.best is not None and self.best_step() is None:
            told = "the best checkpoint, of step %d, is no longer in %s; the last will stand for it"
            logger.warning(told, progress.best_step, self.folder)

    def _tidy(self, progress: Progress) -> None:
        self._point_best(progress)
        self._prune(progress)

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
        if progress.best_step in self.steps():
            content = json.dumps({"step": progress.best_step})
            write_whole(self.folder / BEST, content, durable=False)

    def _prune(self, progress: Progress) -> None:
        # Later ones are of a course that was left: they were damaged, or restore() had used them.
        earlier = [step for step in self.steps() if step < progress.step]
        lasting = [step for step in earlier if not self._is_passing(step)]
        latest = [*lasting, progress.step][-self.keep :]
        for step in self.steps():
            if step not in latest and step != self.best_step():
                discard_folder(self._path(step))
        # What a killed process had begun to write, or to remove.
        for path in self.folder.glob(".step-*"):
            remove_abandoned(path)
        sweep(self.folder)

    def _is_passing(self, step: int) -> bool:
        try:
            return bool(self._state(step).get("passing"))
        except CheckpointError:
            return False


def kept_history(run_dir: Path) -> list[dict]:
    """Records of every stage that has checkpoints in a run's folder, in the order of training.

    They are those of the newest checkpoint of each stage that is whole.
    """
    stages = {path.parent for path in run_dir.glob("checkpoints/*/step-*")}
    found = [newest for folder in stages if (newest := _newest_history(folder))]
    return [record for _, records in sorted(found, key=itemgetter(0)) for record in records]


def _newest_history(folder: Path) -> tuple[int, list[dict]] | None:
    """When the newest checkpoint was written that is whole and has a history, and that."""
    kept = CheckpointFolder(folder, None, 1)
    for step in reversed(kept.steps()):
        path = kept._path(step) / STATE
        try:
            state = kept._state(step)
            check_seal(state, path)
            written = path.stat().st_mtime_ns
        except (CheckpointError, OSError):
            continue
        if isinstance(state.get("history"), list):
            return written, state["history"]
    return None


def _may_pass(error: CheckpointError) -> bool:
    """Whether the environment is at fault, and the file may be read another time."""
    cause = error.__cause__
    return isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)


def _numbered(variables: list) -> dict:
    return {f"{index:05d}": variable for index, variable in enumerate(variables)}
