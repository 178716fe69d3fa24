"""A training run: corpora in, preset folder out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from myxtts.data.batches import make_dataset, make_validation
from myxtts.data.corpus import Corpus
from myxtts.data.plan import BatchPlan
from myxtts.errors import CheckpointError
from myxtts.files import locked
from myxtts.settings import Settings
from myxtts.training.stage import Stage, System
from myxtts.training.stages.xtts import XTTS_SYSTEM
from myxtts.training.start import CONFIG, PRESET, prepare_folder
from myxtts.training.trainer import Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """Outcome of a run.

    Attributes:
        preset: folder of the trained model.
        steps: optimiser steps of every stage trained so far.
        best: best validation metric of the stages trained in this call.
    """

    preset: Path
    steps: dict[str, int]
    best: dict[str, float | None]

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return {"preset": str(self.preset), "steps": self.steps, "best": self.best}


def train(config: Settings, system: System = XTTS_SYSTEM) -> TrainingResult:
    """Run the stages that ``config.training.stage`` names and keep the model as a preset.

    Args:
        config: of ``system``, an :class:`~myxtts.config.XTTSConfig` for XTTS.
        system: what is trained.

    Raises:
        MyXTTSError: the configuration, the corpora, the weights or the run folder are unfit,
            or another run is going on in that folder.
    """
    run_dir = prepare_folder(config)
    with locked(run_dir):
        keras.utils.set_random_seed(config.training.seed)
        if config.training.mixed_precision:
            keras.config.set_dtype_policy("mixed_bfloat16")
        model, corpus, validation = system.prepare(config, run_dir)
        config = model.config  # a corpus may have changed it
        stages = [item for item in system.stages if config.training.stage in ("all", item.name)]
        # All at once: what a later stage cannot do is said before the first.
        streams = [_streams(stage, corpus, validation, config) for stage in stages]
        config.to_yaml(run_dir / CONFIG)
        best = {
            stage.name: train_stage(stage, model, *pair, run_dir)
            for stage, pair in zip(stages, streams, strict=True)
        }
        system.finish(config, run_dir / PRESET)
    return TrainingResult(run_dir / PRESET, model.trained_steps, best)


def train_stage(
    stage: Stage,
    model: Any,
    batches: Callable[[int], tf.data.Dataset],
    validation: Callable[[], tf.data.Dataset],
    run_dir: Path,
) -> float | None:
    """Train one stage and save the preset; return its best validation metric."""
    name, training = stage.name, model.config.training
    settings = getattr(training, name)
    if not settings.steps:
        logger.info("%s: no steps, skipped", name)
        return None
    for needed in stage.needs:
        if not model.trained_steps.get(needed):
            raise CheckpointError(
                f"stage {name} needs a trained {needed}; run --stage {needed} or --stage all."
            )
    task = stage.task(model, model.config)
    progress = Trainer(name, task, settings, training, run_dir, batches, validation).run()
    model.trained_steps[name] = progress.step
    stage.hand_on(task, validation)
    model.save_to_preset(run_dir / PRESET)
    logger.info("%s: done; the model so far is in %s", name, run_dir / PRESET)
    return progress.best


def _streams(stage: Stage, train: Corpus, validation: Corpus, config: Settings) -> tuple:
    """Functions to the batches of a stage, as :class:`Trainer` takes them."""
    settings = getattr(config.training, stage.name)
    plan = BatchPlan(
        train.lengths,
        train.speakers,
        settings.batch_size,
        config.training.seed,
        stage.speakers_per_batch(train, config) if settings.steps else 0,
    )
    build, judge = (stage.batches(corpus, config) for corpus in (train, validation))
    return (
        lambda start: make_dataset(plan, build, start),
        lambda: make_validation(validation.lengths, settings.batch_size, judge),
    )
