"""The loop that every training stage runs in."""

from __future__ import annotations

import functools
import logging
import math
import signal
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from myxtts.config import StageConfig
from myxtts.data.batches import Batches
from myxtts.errors import CheckpointError, DataError
from myxtts.trackers import Trackers
from myxtts.training.checkpoints import CheckpointFolder, Progress
from myxtts.training.cluster import Alone
from myxtts.training.logs import RunLog
from myxtts.training.optimizers import take_means, with_means
from myxtts.training.stage import Task, weighted_means
from myxtts.training.waiting import Waiting

logger = logging.getLogger(__name__)

# Steps between two readings of the losses: reading them waits for the device.
LOG_EVERY = 10


@dataclass
class Trainer:
    """Runs a task to its last step: logs, validates, checkpoints, stops early, resumes.

    Args:
        stage: name of the stage.
        task: what to optimise.
        settings: the stage's own.
        config: what its stages share: ``validate_every``, ``checkpoint_every``,
            ``keep_checkpoints``, ``early_stopping``, ``gradient_accumulation`` and
            ``resume``, as in :class:`~myxtts.config.TrainingConfig`.
        run_dir: folder of the run.
        batches: function from a batch number to the endless stream that begins there.
        validation: function to one pass over the validation set.
        xla: whether the training step is compiled by XLA.
        trackers: that are told the numbers too; closed at the end.
        cluster: the replicas that train as one. Only the chief's process validates, writes and
            reads checkpoints; the others take over its state.
        others: the same task for the other replicas of this process.
        padding: of batches, see :class:`~myxtts.training.stage.Stage`.
    """

    stage: str
    task: Task
    settings: StageConfig
    config: Any
    run_dir: Path
    batches: Callable[[int], Batches]
    validation: Callable[[], Batches]
    xla: bool = False
    trackers: Trackers = field(default_factory=Trackers)
    cluster: Alone = field(default_factory=Alone)
    others: list[Task] = field(default_factory=list)
    padding: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self):
        self.total = self.settings.steps
        folder = self.run_dir / "checkpoints" / self.stage
        self.checkpoints = CheckpointFolder(folder, self.task, self.config.keep_checkpoints)
        self.progress = Progress()
        self._stopping = False
        self.waiting = Waiting(self.stage)
        # Numbers not yet read off the device, each with its step.
        self._unread: list[tuple[int, dict]] = []
        self._batch: dict | None = None
        self.tasks = [self.task, *self.others]
        self._share = self.cluster.sharer(lambda: [_state(task) for task in self.tasks])

    def run(self) -> Progress:
        """Train; the task ends with the weights of the best validation, or with the last.

        Raises:
            CheckpointError: checkpoints are in the way, or cannot be read or written.
            DataError: a loss, a gradient or the validation metric is not finite.
            KeyboardInterrupt: Ctrl-C, after a checkpoint was written.
        """
        self._start()
        step = self.progress.step
        self.log = RunLog(self.run_dir, self.stage, step, self.checkpoints.history, self.trackers)
        batches = self.batches(step * self.config.gradient_accumulation)
        self._compile(batches.element_spec)
        bar = tqdm(total=self.total, initial=self.progress.step, desc=self.stage, disable=None)
        self.waiting.begin()
        with closing(self.trackers), self._catching_signals(), bar:
            if not self.progress.step and self.total:
                # What training starts from; an untrained model is no candidate for the best.
                self._validate()
            stream = iter(batches)
            while self.progress.step < self.total and not self._done_early():
                numbers = self._step(stream)
                bar.update()
                self._after_step(numbers, bar)
            if self.cluster.of_chief(self._stopping):
                raise KeyboardInterrupt
        self.log.flush()
        if not self.task.keeps_last and self.cluster.chief:
            self.checkpoints.load_best()
        take_means(self._groups)
        self._share()
        return self.progress

    def _start(self) -> None:
        if self.cluster.chief:
            self._restore()
        self.progress = Progress(**self.cluster.of_chief(asdict(self.progress)))
        self._share()

    def _restore(self) -> None:
        if self.checkpoints.steps() and not self.config.resume:
            raise CheckpointError(
                f"{self.checkpoints.folder} already holds checkpoints; add --resume to go on, or "
                "name another --output-dir."
            )
        if restored := self.checkpoints.restore():
            self.progress = restored
            logger.info("%s: going on from step %d", self.stage, restored.step)

    def _compile(self, spec: dict) -> None:
        # One graph for all lengths; XLA wants fixed ones and compiles a graph for each.
        xla = self.xla and not self.task.compiles_itself

        def compiled(phase: Hashable) -> Callable[[dict], dict]:
            return self.cluster.compile(self.tasks, spec, xla, self.padding, lambda: self._stopping)

        self._graphs = functools.cache(compiled)
        self._validation_step = tf.function(
            self.task.validation_step, input_signature=[spec], autograph=False
        )

    @property
    def _groups(self) -> list[tuple]:
        return getattr(self.task, "groups", [])

    def _train_step(self, batch: dict) -> dict:
        return self._graphs(getattr(self.task, "phase", _nothing)())(batch)

    def _step(self, stream: Iterator) -> dict:
        batches = [
            self._train_step(self._next(stream)) for _ in range(self.config.gradient_accumulation)
        ]
        self.progress.step += 1
        if len(batches) == 1:
            return batches[0]
        return {name: tf.reduce_mean([batch[name] for batch in batches]) for name in batches[0]}

    def _next(self, stream: Iterator) -> dict:
        with self.waiting:
            self._batch = next(stream)
        return self._batch

    def _after_step(self, numbers: dict, bar: tqdm) -> None:
        step = self.progress.step
        # A signal may come at any time; what is decided here holds to the end.
        stopping, last = self.cluster.stopping(self._stopping), step == self.total
        validates = step % self.config.validate_every == 0 or last
        saves = validates or step % self.config.checkpoint_every == 0 or stopping
        logs = step % LOG_EVERY == 0 or last
        self._unread.append((step, numbers))
        if self.cluster.chief:
            getattr(self.task, "stepped", _nothing)(step, numbers, self._batch)
        if saves or logs:
            values = self._read_numbers()
        if logs:
            self._record(values, bar)
        if validates:
            self._judge(self._validate())
        if saves:
            self._save()
            self.waiting.begin()
        if stopping:
            logger.info("stopped at step %d, which is saved; the run can be resumed.", step)
            raise KeyboardInterrupt

    def _read_numbers(self) -> dict[str, float]:
        """Numbers of the last step; those of every step since the last reading are checked."""
        values: dict[str, float] = {}
        for step, numbers in self._unread:
            values = {name: float(value) for name, value in numbers.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    self._refuse(name, value, step)
        self._unread.clear()
        return values

    def _refuse(self, name: str, value: float, step: int) -> None:
        self.log.flush()
        raise DataError(
            f"{self.stage}: {name} is {value} at step {step}; lower the learning rate. "
            "The last checkpoint is untouched."
        )

    def _record(self, values: dict[str, float], bar: tqdm) -> None:
        step = self.progress.step
        rate = {"learning_rate": float(self.task.optimizers[0].learning_rate)}
        self.log.numbers(step, values | rate, "train")
        self.log.times(step, {"waiting_share": self.waiting.share()}, "train")
        bar.set_postfix({"loss": f"{values['loss']:.4f}"}, refresh=False)
        if bar.disable and step % (50 * LOG_EVERY) == 0:
            logger.info("%s %d/%d loss %.4f", self.stage, step, self.total, values["loss"])

    def _validate(self) -> float:
        """The number that the task minimises, by the chief's validation."""
        with with_means(self._groups):
            own = float(self._validated()) if self.cluster.chief else None
        metric = self.cluster.of_chief(own)
        # A validation may change the state: what a plateau of the metric does to a rate, say.
        self._share()
        return metric

    def _validated(self) -> float:
        """The same of this process; the first batch's pictures and sounds are kept."""
        first = None

        def batches() -> Iterator[dict]:
            nonlocal first
            for batch in self.validation():
                first = batch if first is None else first
                yield batch

        judge = getattr(self.task, "validate", weighted_means)
        values = judge(batches(), self._validation_step)
        step = self.progress.step
        self.log.numbers(step, values, "validation")
        self.log.pictures(step, self.task.pictures(first))
        self.log.sounds(step, self.task.sounds(first))
        self._keep_more()
        shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        logger.info("%s step %d: validation %s", self.stage, step, shown)
        return values[self.task.metric]

    def _keep_more(self) -> None:
        """What some tasks alone give: points, and sounds of the last training batch."""
        if points := getattr(self.task, "points", dict)():
            self.log.points(**points)
        heard = getattr(self.task, "training_sounds", None)
        if self._batch is not None and heard is not None:
            self.log.sounds(self.progress.step, heard(self._batch))

    def _judge(self, metric: float) -> None:
        progress = self.progress
        if not math.isfinite(metric):
            self._refuse(f"validation {self.task.metric}", metric, progress.step)
        if progress.best is None or metric < progress.best:
            progress.best, progress.best_step, progress.stalled = metric, progress.step, 0
        else:
            progress.stalled += 1

    def _save(self) -> None:
        step, config = self.progress.step, self.config
        due = step % config.checkpoint_every == 0 or step % config.validate_every == 0
        if self.cluster.chief:
            self.checkpoints.save(self.progress, self.log.own(), not due and step < self.total)
            with with_means(self._groups):
                getattr(self.task, "saved", _nothing)(step)
            self.log.flush()
        # Nobody goes on, or ends, before it is written.
        self.cluster.barrier()

    def _done_early(self) -> bool:
        patience = self.config.early_stopping
        if not patience or self.progress.stalled < patience:
            return False
        best = self.progress.best_step
        logger.info("%s: no better validation since step %d; stopping early.", self.stage, best)
        return True

    @contextmanager
    def _catching_signals(self) -> Iterator[None]:
        """Let Ctrl-C and termination end the current step; a second one breaks it."""

        def stop(number, frame):
            if self._stopping:
                raise KeyboardInterrupt
            self._stopping = True

        with ExitStack() as afterwards:
            with suppress(ValueError):  # not in the main thread: signals go elsewhere
                for name in (signal.SIGINT, signal.SIGTERM):
                    afterwards.callback(signal.signal, name, signal.signal(name, stop))
            yield


def _state(task: Task) -> list:
    """All that a checkpoint has of a task, in a fixed order."""
    return [*task.variables, *(var for item in task.optimizers for var in item.variables)]


def _nothing(*told) -> None:
    """What a task does that has nothing to do after a step."""
