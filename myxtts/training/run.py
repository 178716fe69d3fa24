"""A training run: corpora in, preset folder out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from myxtts.data.batches import Batches, make_dataset, make_validation
from myxtts.data.corpus import Corpus
from myxtts.data.plan import BatchPlan
from myxtts.data.store import Feature
from myxtts.errors import CheckpointError
from myxtts.locks import locked
from myxtts.settings import Settings
from myxtts.training.stage import Stage, System
from myxtts.training.stages.xtts import XTTS_SYSTEM
from myxtts.training.start import PRESET, keep_config, mend_run, prepare_folder
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
    config = system.complete(config)
    run_dir = prepare_folder(config)
    with locked(run_dir):
        mend_run(run_dir)
        keras.utils.set_random_seed(config.training.seed)
        if config.training.mixed_precision:
            keras.config.set_dtype_policy("mixed_bfloat16")
        model, corpus, validation = system.prepare(config, run_dir)
        config = model.config  # a corpus may have changed it
        stages = [item for item in system.stages if config.training.stage in ("all", item.name)]
        # All at once: what a later stage cannot do is said before the first.
        streams = [Streams(stage, corpus, validation, config) for stage in stages]
        keep_config(config, run_dir)
        best = {
            stage.name: train_stage(stage, model, stream, run_dir)
            for stage, stream in zip(stages, streams, strict=True)
        }
        system.finish(config, run_dir / PRESET)
    return TrainingResult(run_dir / PRESET, model.trained_steps, best)


class Streams:
    """The batches of a stage.

    Args:
        stage: whose they are.
        train, validation: corpora.
        config: of the system.

    Raises:
        MyXTTSError: the corpus does not suffice for the stage.
    """

    def __init__(self, stage: Stage, train: Corpus, validation: Corpus, config: Settings):
        self.corpora = train, validation
        self.batch_size = (settings := getattr(config.training, stage.name)).batch_size
        wanted = bool(settings.steps)
        self.buckets = stage.buckets(train, config) if wanted else None
        speakers = stage.speakers_per_batch(train, config) if wanted else 0
        seed = config.training.seed
        corpus = train.lengths, train.speakers
        self.plan = (
            BatchPlan(*corpus, self.batch_size, seed, speakers, self.buckets)
            if stage.plan is None
            else stage.plan(train, config)
        )
        self.build, self.judge = (stage.batches(corpus, config) for corpus in self.corpora)
        if self.buckets:
            self.build = partial(self.build, buckets=self.buckets)

    def prepare(self, features: Mapping[str, Feature]) -> None:
        """Have more features in both corpora, and compute them."""
        for corpus in self.corpora if features else ():
            corpus.add_features(features)

    def train(self, start: int) -> Batches:
        """Endless stream from the batch with this number on."""
        return make_dataset(self.plan, self.build, start)

    def validation(self) -> Batches:
        """One pass over the validation set."""
        return make_validation(self.corpora[1].lengths, self.batch_size, self.judge)


def xla_pays(streams: Streams, training: Any) -> bool:
    """Whether compiled steps are worth their compilation, one for each size of a batch.

    Of bfloat16 XLA makes little on a processor, where oneDNN is twice as fast as for float32.
    """
    few = streams.buckets is not None
    return few and not (training.mixed_precision and not tf.config.list_physical_devices("GPU"))


def train_stage(stage: Stage, model: Any, streams: Streams, run_dir: Path) -> float | None:
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
    streams.prepare(stage.features(model))
    task = stage.task(model, model.config)
    xla = training.xla if training.xla is not None else xla_pays(streams, training)
    own = stage.trackers(model.config, run_dir)
    trainer = Trainer(
        name, task, settings, training, run_dir, streams.train, streams.validation, xla, own
    )
    progress = trainer.run()
    model.trained_steps[name] = progress.step
    stage.hand_on(task, streams.validation)
    model.save_to_preset(run_dir / PRESET)
    logger.info("%s: done; the model so far is in %s", name, run_dir / PRESET)
    return progress.best
