"""A training run: corpora in, preset folder out."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from myxtts.data.batches import Batches, make_dataset, make_validation
from myxtts.data.corpus import Corpus
from myxtts.data.plan import BatchPlan
from myxtts.data.store import Feature
from myxtts.errors import CheckpointError
from myxtts.locks import locked
from myxtts.settings import Settings, to_dict
from myxtts.trackers import Trackers
from myxtts.training.cluster import Alone, everything, passing_folder, take
from myxtts.training.stage import Stage, System
from myxtts.training.stages.xtts import XTTS_SYSTEM
from myxtts.training.start import PRESET, keep_config, mend_run, prepare_folder
from myxtts.training.strategies import join
from myxtts.training.trainer import Trainer

logger = logging.getLogger(__name__)

# How settings end that are no part of what is trained: where files lie.
PLACES = ("_dir", "_path", "_paths", "_data", ".init_from", ".tokenizer", ".trials")


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

    Where ``config.training.strategy`` spreads it over processes, each of them calls this.

    Args:
        config: of ``system``, an :class:`~myxtts.config.XTTSConfig` for XTTS.
        system: what is trained.

    Raises:
        MyXTTSError: the configuration, the corpora, the weights or the run folder are unfit,
            or another run is going on in that folder, or another worker has ended.
    """
    # First of all: TensorFlow connects processes only before it computes.
    cluster = join(config.training.strategy)
    config = system.complete(config)
    with cluster.joined(), run_folder(config, cluster) as run_dir:
        keras.utils.set_random_seed(config.training.seed)
        if config.training.mixed_precision:
            keras.config.set_dtype_policy("mixed_bfloat16")
        models, corpus, validation = _prepare(config, system, run_dir, cluster)
        config = models[0].config  # a corpus may have changed it
        stages = [item for item in system.stages if config.training.stage in ("all", item.name)]
        # All at once: what a later stage cannot do is said before the first.
        streams = [Streams(stage, corpus, validation, config, cluster) for stage in stages]
        keep_config(config, run_dir)
        best = {
            stage.name: train_stage(stage, models, stream, run_dir, cluster)
            for stage, stream in zip(stages, streams, strict=True)
        }
        if cluster.chief:
            system.finish(config, run_dir / PRESET)
        cluster.barrier()
    preset = (run_dir if cluster.chief else Path(config.training.output_dir)) / PRESET
    return TrainingResult(preset, models[0].trained_steps, best)


@contextmanager
def run_folder(config: Settings, cluster: Alone) -> Iterator[Path]:
    """The run's folder, locked, for the chief; for the others a passing one.

    Raises:
        CheckpointError: as :func:`~myxtts.training.start.prepare_folder`, or it is locked.
    """
    if cluster.chief:
        run_dir = prepare_folder(config)
        with locked(run_dir):
            mend_run(run_dir)
            cluster.barrier()
            yield run_dir
        return
    cluster.barrier()
    with passing_folder() as own:
        yield own


def _prepare(
    config: Settings, system: System, run_dir: Path, cluster: Alone
) -> tuple[list, Corpus, Corpus]:
    """A model for each replica of this process, and the corpora, which are the same everywhere."""
    with cluster.chief_first():
        if not cluster.chief:
            take(Path(config.training.output_dir), run_dir)
        model, corpus, validation = system.prepare(config, run_dir)
    models = [model]
    for device in cluster.devices[1:]:
        with passing_folder() as own, _aside(device):
            take(run_dir, own)
            models.append(system.prepare(config, own)[0])
    if cluster.count > 1:
        cluster.agree(facts(model.config, corpus, validation))
    return models, corpus, validation


def facts(config: Settings, train: Corpus, validation: Corpus) -> dict[str, Any]:
    """What the workers of a training must have in common, by name: settings and corpora.

    Folders and files may lie elsewhere; what is in the corpora may not differ.
    """
    sections = {name: to_dict(getattr(config, name)) for name in ("model", "data", "training")}
    found = {name: value for name, value in _leaves(sections) if not name.endswith(PLACES)}
    for name, corpus in (("training", train), ("validation", validation)):
        rows = np.stack([corpus.lengths, corpus.speakers]).astype("int64")
        digest = hashlib.sha256(rows.tobytes())
        for item in getattr(corpus, "utterances", ()):
            digest.update(item.text.encode("utf-8"))
        told = f"{len(corpus.lengths)} utterances (SHA-256 {digest.hexdigest()[:12]})"
        found[f"{name} corpus"] = told
    return found


def _leaves(values: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


class Streams:
    """The batches of a stage.

    Args:
        stage: whose they are.
        train, validation: corpora.
        config: of the system.
        cluster: whose batches they are; None for a process that is alone.

    Raises:
        MyXTTSError: the corpus does not suffice for the stage.
    """

    def __init__(
        self,
        stage: Stage,
        train: Corpus,
        validation: Corpus,
        config: Settings,
        cluster: Alone | None = None,
    ):
        self.corpora = train, validation
        self.share = (cluster or Alone()).share(stage.by_row)
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
        return make_dataset(self.plan, self.build, start, self.share)

    def validation(self) -> Batches:
        """One pass over the validation set."""
        return make_validation(self.corpora[1].lengths, self.batch_size, self.judge)


def xla_pays(streams: Streams, training: Any) -> bool:
    """Whether compiled steps are worth their compilation, one for each size of a batch.

    Of bfloat16 XLA makes little on a processor, where oneDNN is twice as fast as for float32.
    """
    few = streams.buckets is not None
    return few and not (training.mixed_precision and not tf.config.list_physical_devices("GPU"))


def train_stage(
    stage: Stage, models: list, streams: Streams, run_dir: Path, cluster: Alone | None = None
) -> float | None:
    """Train one stage and save the preset; return its best validation metric.

    Args:
        stage: what is trained.
        models: of each replica of this process.
        streams: of its batches.
        run_dir: where it is kept.
        cluster: the replicas; None for one that is alone.
    """
    cluster, model = cluster or Alone(), models[0]
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
    cluster.sharer(lambda: [everything(item) for item in models])()
    with cluster.chief_first():
        streams.prepare(stage.features(model))
    task, *others = _tasks(stage, models, cluster)
    xla = training.xla if training.xla is not None else xla_pays(streams, training)
    trainer = Trainer(
        name,
        task,
        settings,
        training,
        run_dir,
        streams.train,
        streams.validation,
        xla,
        stage.trackers(model.config, run_dir) if cluster.chief else Trackers(),
        cluster,
        others,
        stage.padding,
    )
    progress = trainer.run()
    for item in models:
        item.trained_steps[name] = progress.step
    if cluster.chief:
        stage.hand_on(task, streams.validation)
        model.save_to_preset(run_dir / PRESET)
        logger.info("%s: done; the model so far is in %s", name, run_dir / PRESET)
    return progress.best


def _tasks(stage: Stage, models: list, cluster: Alone) -> list:
    tasks = [stage.task(models[0], models[0].config)]
    for device, model in zip(cluster.devices[1:], models[1:], strict=True):
        with _aside(device):
            tasks.append(stage.task(model, model.config))
    return tasks


@contextmanager
def _aside(device: str) -> Iterator[None]:
    """Make on ``device`` what is drawn nothing for: the first replica draws as one alone would."""
    state = random.getstate()
    try:
        with tf.device(device):
            yield
    finally:
        random.setstate(state)
