"""A training run: corpora in, preset folder out."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from myxtts.config import STAGES, XTTSConfig
from myxtts.data.corpus import Corpus, open_corpus
from myxtts.data.features import FeatureStore, Report, mel_stats
from myxtts.data.pipeline import BatchOptions, make_dataset, make_validation
from myxtts.data.plan import BatchPlan
from myxtts.errors import CheckpointError, ConfigError, DataError
from myxtts.models.xtts import XTTS
from myxtts.settings import to_dict
from myxtts.text.tokenizer import VoiceBpeTokenizer
from myxtts.training.stages.decoder import DecoderTask
from myxtts.training.stages.dvae import DVAETask
from myxtts.training.stages.gpt import GPTTask
from myxtts.training.start import (
    CONFIG,
    PRESET,
    Corpora,
    choose_tokenizer,
    differing_keys,
    introduce,
    make_model,
)
from myxtts.training.trainer import Trainer
from myxtts.weights.model_card import inherit_card

logger = logging.getLogger(__name__)

TASKS = {"dvae": DVAETask, "gpt": GPTTask, "decoder": DecoderTask}
# Stages whose result a stage builds on.
NEEDS = {"dvae": (), "gpt": ("dvae",), "decoder": ("dvae", "gpt")}
# Without a validation corpus, every so many-th utterance is held out.
HOLD_OUT = 20
FINE_TUNED = " (fine-tuned)"
# Of a speaker in a batch, where nobody says otherwise.
UTTERANCES_PER_SPEAKER = 2


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


def train(config: XTTSConfig) -> TrainingResult:
    """Run the stages that ``config.training.stage`` names and keep the model as a preset.

    Raises:
        MyXTTSError: the configuration, the corpora, the weights or the run folder are unfit.
    """
    run_dir = prepare_folder(config)
    keras.utils.set_random_seed(config.training.seed)
    if config.training.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    # The model first: what it lacks is said before hours of features are computed.
    model = make_model(config, run_dir)
    corpora = prepare_corpora(config, run_dir, model.tokenizer)
    stages = STAGES if config.training.stage == "all" else (config.training.stage,)
    if "gpt" in stages and config.training.gpt.steps:
        _speakers_per_batch(corpora.train, config)  # now, not after the stage before it
    model = introduce(model, corpora)
    config = model.config  # a longer vocabulary has changed it
    config.to_yaml(run_dir / CONFIG)
    best = {stage: train_stage(stage, model, corpora, config, run_dir) for stage in stages}
    if config.training.init_from:
        inherit_card(config.training.init_from, run_dir / PRESET)
    return TrainingResult(run_dir / PRESET, model.trained_steps, best)


def prepare_folder(config: XTTSConfig) -> Path:
    """Make the run folder; a run of another model in it is an error."""
    if config.data.train_data is None:
        raise ConfigError("no training corpus: give --train-data (data.train_data).")
    run_dir = Path(config.training.output_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot make the run folder {run_dir}: {error}.") from error
    if (run_dir / CONFIG).is_file():
        stored = XTTSConfig.from_yaml(run_dir / CONFIG)
        changed = differing_keys(to_dict(stored.model), to_dict(config.model))
        if changed:
            raise CheckpointError(
                f"{run_dir} holds a run of another configuration (model.{changed[0]} differs); "
                "name another --output-dir."
            )
    return run_dir


def prepare_corpora(
    config: XTTSConfig, run_dir: Path, known: VoiceBpeTokenizer | None = None
) -> Corpora:
    """Screen both corpora, with the vocabulary that :func:`choose_tokenizer` finds."""
    store = FeatureStore(config.data, config.data.cache_dir or run_dir / "cache")
    train, tokenizer, report = open_corpus(
        config.data.train_data,
        config,
        store,
        lambda found: choose_tokenizer(config, run_dir, known, found),
    )
    reports = {"train": report}
    if config.data.val_data is None:
        logger.info("no validation corpus: every %dth utterance is held out", HOLD_OUT)
        train, validation = _hold_out(train, store, tokenizer)
    else:
        validation, _, reports["validation"] = open_corpus(
            config.data.val_data, config, store, lambda found: tokenizer
        )
    _write_reports(reports, run_dir)
    return Corpora(train, validation, tokenizer, mel_stats(train.utterances, store))


def train_stage(
    stage: str, model: XTTS, corpora: Corpora, config: XTTSConfig, run_dir: Path
) -> float | None:
    """Train one stage and save the preset; return its best validation metric."""
    settings = config.training.stage_config(stage)
    if not settings.steps:
        logger.info("%s: no steps, skipped", stage)
        return None
    for needed in NEEDS[stage]:
        if not model.trained_steps.get(needed):
            raise CheckpointError(
                f"stage {stage} needs a trained {needed}; run --stage {needed} or --stage all."
            )
    task = TASKS[stage](model, config)
    batches, validation = _streams(stage, corpora, config)
    progress = Trainer(stage, task, config.training, run_dir, batches, validation).run()
    model.trained_steps[stage] = progress.step
    if stage == "gpt":
        _mark_fine_tuned(model)
    if stage == "decoder":
        model.vocoder_errors = task.vocoder_errors(validation())
    model.save_to_preset(run_dir / PRESET)
    logger.info("%s: done; the model so far is in %s", stage, run_dir / PRESET)
    return progress.best


def _mark_fine_tuned(model: XTTS) -> None:
    """Weights that have been trained further are no longer what was published."""
    section, encoder = model.config.model, model.audio_encoder.speaker_encoder
    moved = section.use_pretrained_speaker_encoder and not section.freeze_speaker_encoder
    if moved and not encoder.provenance.endswith(FINE_TUNED):
        encoder.provenance += FINE_TUNED


def _streams(stage: str, corpora: Corpora, config: XTTSConfig) -> tuple:
    settings = config.training.stage_config(stage)
    options = _batch_options(stage, config)
    train = corpora.train
    plan = BatchPlan(
        train.frames,
        train.speakers,
        settings.batch_size,
        config.training.seed,
        _speakers_per_batch(train, config) if stage == "gpt" else 0,
    )
    return (
        lambda start: make_dataset(train, plan, stage, options, start),
        lambda: make_validation(corpora.validation, settings.batch_size, stage, options),
    )


def _speakers_per_batch(corpus: Corpus, config: XTTSConfig) -> int:
    """Speakers of a balanced batch; a speaker loss needs two, with two utterances each."""
    wished, size = config.data.speakers_per_batch, config.training.gpt.batch_size
    if not config.training.has_speaker_loss:
        return wished
    counts = np.unique(corpus.speakers, return_counts=True)[1]
    if sum(counts > 1) < 2:
        raise DataError(
            f"{config.data.train_data}: a contrastive or GE2E loss needs two speakers with two "
            f"usable utterances or more, and here are {sum(counts > 1)}."
        )
    chosen = min(wished or max(2, size // UTTERANCES_PER_SPEAKER), len(counts))
    if chosen < 2 or size // chosen < 2:
        raise ConfigError(
            f"batches of {size} utterances of {chosen} speakers give a contrastive or GE2E loss "
            "no pairs; give --gpt-batch-size at least twice --speakers-per-batch, which is 2 or "
            "more."
        )
    return chosen


def _batch_options(stage: str, config: XTTSConfig) -> BatchOptions:
    model = config.model
    hears_audio = not model.use_pretrained_speaker_encoder or not model.freeze_speaker_encoder
    speaker_loss = config.training.has_speaker_loss
    unfrozen = model.use_pretrained_speaker_encoder and not model.freeze_speaker_encoder
    return BatchOptions(
        seed=config.training.seed,
        reference=config.data.reference,
        reference_seconds=config.data.reference_seconds,
        reference_min_seconds=config.data.reference_min_seconds,
        reference_audio=unfrozen or (hears_audio and (stage == "decoder" or speaker_loss)),
    )


def _hold_out(corpus: Corpus, store: FeatureStore, tokenizer: VoiceBpeTokenizer) -> tuple:
    utterances = corpus.utterances
    if len(utterances) < 2:
        return corpus, corpus
    every = min(HOLD_OUT, len(utterances))
    held = utterances[every - 1 :: every]
    rest = [item for index, item in enumerate(utterances) if index % every != every - 1]
    return Corpus(rest, store, tokenizer), Corpus(held, store, tokenizer)


def _write_reports(reports: dict[str, Report], run_dir: Path) -> None:
    for name, report in reports.items():
        report.write(run_dir / f"data-{name}.json")
