"""A speaker encoder as it is trained: what it starts from, its recordings, its preset."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from pathlib import Path

import numpy as np

from myxtts.data.speakers import (
    Recording,
    SpeakerCorpus,
    find_recordings,
    hold_out,
    measure,
    without_short_speakers,
)
from myxtts.data.trials import TrialCorpus, Trials, open_trials, write_trials
from myxtts.errors import CheckpointError, WeightsError
from myxtts.files import read_object, write_whole
from myxtts.models.speaker_encoder import RANDOM, SECTIONS, PretrainedSpeakerEncoder
from myxtts.settings import to_dict
from myxtts.speaker_config import PUBLISHED, SpeakerConfig
from myxtts.training.folders import has_checkpoints
from myxtts.training.stage import System
from myxtts.training.stages import speaker
from myxtts.training.start import CONFIG
from myxtts.weights.speaker_encoders import described, pretrained_speaker_encoder

logger = logging.getLogger(__name__)

# In the run folder: the trials, and where the weights came from that it started with.
TRIALS, ORIGIN = "trials.txt", "origin.json"
# What a headless WavLM is given to tell speakers apart by, beside its published weights.
GIVEN = ("head/", "layer_weights")


class SpeakerModel:
    """A speaker encoder with what its training needs to know.

    Args:
        encoder: what learns.
        config: of the run.
        speakers: their names, of the training corpus.
        trials: to validate on.
        origin: provenance of the weights it started with.
    """

    def __init__(
        self,
        encoder: PretrainedSpeakerEncoder,
        config: SpeakerConfig,
        speakers: list[str],
        trials: Trials,
        origin: str,
    ):
        self.encoder, self.config, self.speakers = encoder, config, speakers
        self.trials, self.origin = trials, origin
        self.trained_steps: dict[str, int] = {}

    def save_to_preset(self, folder: Path) -> None:
        """Write the encoder alone, frozen as whoever uses it wants it, and with a provenance."""
        steps, loss = self.trained_steps.get("speaker", 0), self.config.training.loss
        origin = "random weights" if self.origin == RANDOM else self.origin
        digest = weights_sha256(self.encoder)
        self.encoder.provenance = f"{origin} trained by {loss}, {steps} steps@sha256:{digest}"
        self.encoder.freeze = True
        try:
            self.encoder.save_to_preset(folder)
        finally:
            self.encoder.freeze = False


def weights_sha256(encoder: PretrainedSpeakerEncoder) -> str:
    """SHA-256 over the names and values of an encoder's variables."""
    digest = hashlib.sha256()
    for name, variable in sorted(encoder.variables_by_name().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(np.asarray(variable)).tobytes())
    return digest.hexdigest()


def complete(config: SpeakerConfig) -> SpeakerConfig:
    """``config`` with the sizes that come with the weights it starts from.

    A run that is there already says them, as the weights may be gone.

    Raises:
        WeightsError: the weights are not there, or contradict the configuration.
    """
    if config.training.init_from is None:
        return config
    run, kind = Path(config.training.output_dir) / CONFIG, config.model.speaker_encoder_type
    if run.is_file():
        stored = SpeakerConfig.from_yaml(run).model
        same = stored.speaker_encoder_type == kind
        return dataclasses.replace(config, model=stored) if same else config
    sizes = described(config.model.section(), _path(config))
    if kind == "wavlm" and not sizes.wavlm.head:
        given = {"head": True, "layer_sum": True, "head_dim": config.model.wavlm.head_dim}
        sizes = dataclasses.replace(sizes, wavlm=dataclasses.replace(sizes.wavlm, **given))
        logger.info("this WavLM has no speaker head: it gets one with random weights")
    name = SECTIONS.get(kind)
    return config.merged({"model": {name: to_dict(getattr(sizes, name))}} if name else {})


def prepare(
    config: SpeakerConfig, run_dir: Path
) -> tuple[SpeakerModel, SpeakerCorpus, TrialCorpus]:
    """The encoder, its training corpus and the recordings of its trials."""
    encoder, origin = start_encoder(config, run_dir)
    recordings, trials = open_recordings(config, run_dir)
    corpus = SpeakerCorpus(recordings, config.data.augmentation.speeds)
    plan = speaker.plan(corpus, config)
    told = "%d speakers, %d recordings, %.1f minutes; %d steps are an epoch"
    minutes = sum(item.seconds for item in recordings) / 60
    logger.info(told, len(corpus.speaker_names), len(recordings), minutes, plan.steps_per_epoch)
    if config.training.epochs:
        steps = config.training.epochs * plan.steps_per_epoch
        steps = max(steps // config.training.gradient_accumulation, 1)
        config = config.merged({"training": {"speaker": {"steps": steps}}})
    model = SpeakerModel(encoder, config, corpus.speaker_names, trials, origin)
    return model, corpus, trials.corpus


def start_encoder(config: SpeakerConfig, run_dir: Path) -> tuple[PretrainedSpeakerEncoder, str]:
    """The encoder before its first step, and where its weights come from.

    Of a run that is resumed only the latter is of use; it is kept in the run folder.

    Raises:
        WeightsError: the weights are not there or do not fit.
    """
    precision = "mixed_bfloat16" if config.training.mixed_precision else "float32"
    section = config.model.section()
    encoder = PretrainedSpeakerEncoder.from_section(section, precision=precision)
    encoder.build()
    kept = run_dir / ORIGIN
    if config.training.init_from is None:
        return encoder, RANDOM
    if kept.is_file() and has_checkpoints(run_dir, "speaker"):
        values = read_object(kept, CheckpointError, "is damaged")
        encoder.licence = values.get("licence")
        return encoder, str(values.get("provenance", RANDOM))
    published = pretrained_speaker_encoder(_name(config), _path(config), freeze=False)
    _take_weights(encoder, published)
    encoder.licence = published.licence
    values = {"provenance": published.provenance, "licence": published.licence}
    write_whole(kept, json.dumps(values))
    return encoder, published.provenance


def open_recordings(config: SpeakerConfig, run_dir: Path) -> tuple[list[Recording], Trials]:
    """Recordings to learn from, and trials of speakers that are not among them.

    The trials are those that are named, else those of the run, else drawn of the validation
    folder or of speakers held out, and kept in the run.

    Raises:
        DataError: there is not enough of one or the other.
    """
    data, seed = config.data, config.training.seed
    recordings = _measured(data.train_data, config, run_dir / "data-train.json")
    held: list[Recording] = []
    if data.trials is None and data.val_data is None:
        recordings, held = hold_out(recordings, data.train_data, seed)
    utterances, repeat = config.utterances_per_speaker, data.short_speakers == "repeat"
    recordings = without_short_speakers(data.train_data, recordings, utterances, repeat)
    if data.trials is not None:
        return recordings, open_trials(data.trials)
    path = run_dir / TRIALS
    if not path.is_file():
        if data.val_data is not None:
            held = _measured(data.val_data, config, run_dir / "data-validation.json")
            _tell_overlap(recordings, held)
        folder = data.val_data or f"{data.train_data} (the speakers held out)"
        write_trials(path, folder, held, data.trials_of_a_kind, seed)
    return recordings, open_trials(path)


def _measured(folder: str, config: SpeakerConfig, path: Path) -> list[Recording]:
    found = find_recordings(folder, config.data.layout)
    kept, report = measure(folder, found, config.data.min_seconds)
    report.write(path)
    logger.info("%s", report)
    return kept


def _tell_overlap(train: list[Recording], validation: list[Recording]) -> None:
    both = {item.speaker for item in train} & {item.speaker for item in validation}
    if both:
        logger.warning(
            "%d speakers of the validation folder are trained on too (%s, say): the EER will be "
            "better than it is for strangers.",
            len(both),
            min(both),
        )


def _take_weights(encoder: PretrainedSpeakerEncoder, published: PretrainedSpeakerEncoder) -> None:
    own, found = encoder.variables_by_name(), published.variables_by_name()
    lacking = [name for name in own if name not in found and not name.startswith(GIVEN)]
    if lacking or len(found.keys() - own.keys()):
        name = min([*lacking, *(found.keys() - own.keys())])
        raise WeightsError(f"the weights to start from are of other sizes: {name} has no twin.")
    for name, variable in found.items():
        if tuple(own[name].shape) != tuple(variable.shape):
            raise WeightsError(f"the weights to start from are of other sizes: {name} differs.")
        own[name].assign(variable)


def _name(config: SpeakerConfig) -> str:
    kind = config.model.speaker_encoder_type
    named = kind == "wavlm" and config.training.init_from == PUBLISHED
    return config.model.wavlm.name if named else kind


def _path(config: SpeakerConfig) -> str | None:
    init = config.training.init_from
    return None if init == PUBLISHED else init


SPEAKER_SYSTEM = System((speaker.STAGE,), prepare, complete=complete)
