"""What a run trains: a system's model, stage by stage.

A system is a :class:`System` whose table lists a :class:`Stage` for each of its tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from myxtts.data.batches import Batches, Builder
from myxtts.data.buckets import Buckets
from myxtts.data.corpus import Corpus
from myxtts.data.store import Feature
from myxtts.trackers import Trackers
from myxtts.training.optimizers import apply_gradients


class Task:
    """What a stage optimises: here one loss, by one step of each optimizer a batch.

    Attributes:
        metric: the validation number to minimise.
        groups: pairs of an optimizer and its variables.
        variables: everything but the optimisers' state that a resumed run needs,
            random seeds included.
        keeps_last: whether training ends with the last weights and not with those of the best
            validation.
        compiles_itself: whether the step asks XLA for what it can use it for, so that the
            trainer must not compile the whole.
    """

    metric = "loss"
    keeps_last = False
    compiles_itself = False
    groups: list[tuple[keras.Optimizer, list]]
    variables: list

    @property
    def optimizers(self) -> list:
        return [optimizer for optimizer, _ in self.groups]

    def losses(self, batch: dict, training: bool) -> dict[str, tf.Tensor]:
        """Scalars; ``loss`` is the one that is optimised."""
        raise NotImplementedError

    def weight(self, batch: dict) -> tf.Tensor:
        """How much a batch counts in a validation."""
        raise NotImplementedError

    def train_step(self, batch: dict) -> dict[str, tf.Tensor]:
        """Update the model; return :meth:`losses` and the norm of their gradient."""
        with tf.GradientTape() as tape:
            numbers = self.losses(batch, training=True)
        norm = apply_gradients(self.groups, tape, numbers["loss"])
        return numbers | {"gradient_norm": norm}

    def phase(self) -> Hashable:
        """What :meth:`train_step` is traced by; a step after it has changed has its own graph."""
        return None

    def validation_step(self, batch: dict) -> dict[str, tf.Tensor]:
        """Return :meth:`losses`, and under ``weight`` how much the batch counts."""
        return self.losses(batch, training=False) | {"weight": self.weight(batch)}

    def validate(
        self, batches: Iterable[dict], step: Callable[[dict], dict[str, tf.Tensor]]
    ) -> dict[str, float]:
        """Numbers of a validation, :attr:`metric` among them.

        Args:
            batches: of one pass over the validation set.
            step: :meth:`validation_step`, compiled.
        """
        return weighted_means(batches, step)

    def pictures(self, batch: dict) -> dict[str, np.ndarray]:
        """Matrices ``(time, channels)`` to look at."""
        return {}

    def sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """Waveforms to listen to, as ``(sample rate, samples)``."""
        return {}

    def training_sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """The same of the last training batch before a validation."""
        return {}

    def stepped(self, step: int, numbers: dict[str, tf.Tensor], batch: dict | None) -> None:
        """Called after every step of the trainer, with its numbers and its last batch."""

    def saved(self, step: int) -> None:
        """Called when the checkpoint of a step is written, also of one that Ctrl-C asked for."""

    def points(self) -> dict[str, Any]:
        """``name``, ``vectors`` and ``labels`` of the last validation, for the projector."""
        return {}


class Copies:
    """Which exports of a run are kept besides the last: one for every so many steps.

    Args:
        every: steps; 0: none.
        apart: steps between two exports, the first of a resumed run among them.
    """

    def __init__(self, every: int, apart: int):
        self.every, self.apart = every, apart
        self._last: int | None = None

    def due(self, step: int) -> bool:
        """Whether a multiple of :attr:`every` lies behind the export before, up to this step."""
        last = max(step - self.apart, 0) if self._last is None else self._last
        self._last = step
        return bool(self.every) and step // self.every > last // self.every


def weighted_means(
    batches: Iterable[dict], step: Callable[[dict], dict[str, tf.Tensor]]
) -> dict[str, float]:
    """Means over ``batches`` of what ``step`` gives, weighted by its ``weight``."""
    totals: dict[str, float] = {}
    weight = 0.0
    for batch in batches:
        numbers = {name: float(value) for name, value in step(batch).items()}
        share = numbers.pop("weight")
        weight += share
        for name, value in numbers.items():
            totals[name] = totals.get(name, 0.0) + share * value
    return {name: total / max(weight, 1e-9) for name, total in totals.items()}


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Attributes:
        name: of its :class:`~myxtts.config.StageConfig` in ``config.training``, its
            checkpoints and its logs.
        task: makes what it optimises, of model and configuration.
        batches: makes the function that builds its batches, of corpus and configuration.
        needs: stages whose result it builds on.
        speakers_per_batch: how many speakers share a batch, of training corpus and
            configuration; 0 for batches by length alone. Raises where the corpus does not suffice.
        features: what the batches want of recordings beside the store's own, of the model as it
            then is; computed once, before the first step.
        buckets: sizes of the batches, of training corpus and configuration; None for batches of
            ``batch_size`` utterances, padded to their longest.
        plan: makes what says which utterances meet, of training corpus and configuration, where
            that is no :class:`~myxtts.data.plan.BatchPlan`; it has such a one's ``stream``.
        hand_on: leaves on the model what others want of this stage, beside its weights; given
            the task and a function to one pass over the validation set.
        trackers: that the configuration asks for, of it and the run folder.
        padding: what the arrays of its batches are padded with, 0 where it does not say.
        by_row: whether its builder draws by a row's number in its batch, see
            :class:`~myxtts.data.batches.Share`.
    """

    name: str
    task: Callable[[Any, Any], Task]
    batches: Callable[[Corpus, Any], Builder]
    needs: tuple[str, ...] = ()
    speakers_per_batch: Callable[[Corpus, Any], int] = lambda corpus, config: 0
    features: Callable[[Any], dict[str, Feature]] = lambda model: {}
    buckets: Callable[[Corpus, Any], Buckets | None] = lambda corpus, config: None
    plan: Callable[[Any, Any], Any] | None = None
    hand_on: Callable[[Any, Callable[[], Batches]], None] = lambda task, validation: None
    trackers: Callable[[Any, Path], Trackers] = lambda config, run_dir: Trackers()
    padding: Mapping[str, float] = field(default_factory=dict)
    by_row: bool = False


@dataclass(frozen=True)
class System:
    """A kind of model, and how it is trained.

    Attributes:
        stages: in the order of a whole run.
        prepare: makes the model and its training and validation corpus, of a configuration and
            the run folder, where an earlier run may have left its preset. The model has a
            ``config``, a dictionary ``trained_steps`` by stage, and ``save_to_preset``.
        finish: called with the configuration and the folder of the trained preset.
        complete: the configuration with what only the files that it names say.
    """

    stages: tuple[Stage, ...]
    prepare: Callable[[Any, Path], tuple[Any, Corpus, Corpus]]
    finish: Callable[[Any, Path], None] = lambda config, preset: None
    complete: Callable[[Any], Any] = lambda config: config
