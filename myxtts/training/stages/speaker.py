"""Stage ``speaker``: learn to tell speakers apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from myxtts import replicas
from myxtts.data.speaker_batches import training_batches, trial_batches
from myxtts.data.speakers import SpeakerCorpus, SpeakerPlan
from myxtts.data.trials import TrialCorpus
from myxtts.losses import LEFT_OUT, GE2ELoss, unit_length
from myxtts.models.wavlm import WavLMEncoder
from myxtts.settings import to_dict
from myxtts.speaker_config import SpeakerConfig, SpeakerTrainingConfig
from myxtts.speaker_losses import AAMSoftmaxLoss, AngularPrototypicalLoss, scheduled_margin
from myxtts.timing import SPEAKER_RATE
from myxtts.trackers import Comet, Trackers, WandB
from myxtts.training.clouds import Cloud
from myxtts.training.optimizers import make_optimizer
from myxtts.training.stage import Stage, Task
from myxtts.verification.trials import detection_errors

# Above every error rate: none has been measured.
NO_EER = 1e9
# Recordings of a validation whose cosines are drawn, and that are drawn as points.
DRAWN, POINTS = 64, 1000
# Recordings of a batch that are kept to listen to.
HEARD = 8


class SpeakerTask(Task):
    """Lower a loss on speaker embeddings; the trial EER says which weights are best.

    The loss's own weights (scale and bias, or the centres of classes) are kept in checkpoints and
    are no part of the model. A WavLM's parts that learn at rates of their own have each an
    optimizer, and each has its gradient clipped by itself.

    Args:
        model: with an ``encoder``, the names of its ``speakers`` and its ``trials``, see
            :class:`myxtts.training.stages.speaker_system.SpeakerModel`.
        config: its training is read.
    """

    metric = "eer"

    def __init__(self, model, config: SpeakerConfig):
        self.model, self.training = model, config.training
        self.encoder = model.encoder.encoder
        self.has_pairs = config.utterances_per_speaker > 1
        self.loss = make_loss(config.training, len(model.speakers))
        self.loss.build((None,), (None, model.encoder.embedding_dim))
        # Of the rate, which falls where the EER stalls; the least EER; validations since then.
        self.share = keras.Variable(1.0, trainable=False, name="share")
        self.least = keras.Variable(NO_EER, trainable=False, name="least")
        self.stalled = keras.Variable(0, dtype="int32", trainable=False, name="stalled")
        self.groups = self._groups()
        self._cloud = Cloud()
        self._embeddings = np.zeros((0, 0), "float32")

    @property
    def variables(self) -> list:
        """Encoder, loss and the state of the rate; seeds of dropout are among them."""
        own = [self.share, self.least, self.stalled]
        return [*self.encoder.variables, *self.loss.variables, *own]

    def losses(self, batch: dict, training: bool) -> dict[str, tf.Tensor]:
        if training and self.training.aam_margin_end and isinstance(self.loss, AAMSoftmaxLoss):
            self.loss.margin.assign(self._margin())
        # Of what differs in training, ECAPA-TDNN and Coqui's ResNet have nothing but the norms.
        moving = training and not self.training.keep_statistics
        embeddings = self.encoder(batch["audio"], batch["lengths"], training=moving)
        numbers = {"loss": self.loss(batch["speakers"], embeddings)}
        if self.has_pairs:
            numbers["in_batch_eer"] = in_batch_eer(batch["speakers"], embeddings)
        return numbers

    def validation_step(self, batch: dict) -> dict[str, tf.Tensor]:
        """``embeddings`` ``(batch, dim)`` of recordings, and their ``places``."""
        embeddings = self.encoder(batch["audio"], batch["lengths"], training=False)
        return {"embeddings": ops.cast(embeddings, "float32"), "places": batch["places"]}

    def validate(self, batches: Iterable[dict], step: Callable) -> dict[str, float]:
        """EER in percent and minDCF on the trials; where they stall, the rate falls."""
        trials, found = self.model.trials, {}
        for batch in batches:
            made = step(batch)
            found |= zip(made["places"].numpy().tolist(), made["embeddings"].numpy(), strict=True)
        self._embeddings = np.stack([found[place] for place in range(len(trials.corpus))])
        errors = detection_errors(trials.scores(self._embeddings), trials.targets)
        self._slow_down(errors.eer)
        return {"eer": errors.eer, "min_dcf": errors.min_dcf, "rate_share": float(self.share)}

    def pictures(self, batch: dict) -> dict[str, np.ndarray]:
        """Recordings of the trials: cosines of the first, and most of them as points."""
        if not self._draws():
            return {}
        some, speakers = self._unit()[:POINTS], self.model.trials.groups()[:POINTS]
        cosines = some[:DRAWN] @ some[:DRAWN].T
        return {"trials/cosines": cosines, "trials/points": self._cloud.picture(some, speakers)}

    def sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """The first recordings of the trials, once: they never change."""
        return self._heard(batch, "trials") if self._draws() and not self._step() else {}

    def training_sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """The first recordings of a batch as they were augmented, with their speakers' names."""
        return self._heard(batch, "train") if self._draws() else {}

    def points(self) -> dict:
        """Embeddings of the trials' recordings, named by the files and their folders."""
        if not self._draws():
            return {}
        paths = [item.path for item in self.model.trials.corpus.recordings]
        labels = [f"{path.parent.name}/{path.name}" for path in paths]
        return {"name": "trials", "vectors": self._unit(), "labels": labels}

    def _heard(self, batch: dict, kind: str) -> dict[str, tuple[int, np.ndarray]]:
        names = self.model.speakers if kind == "train" else None
        rows = [np.asarray(batch[name])[:HEARD] for name in ("audio", "lengths", "speakers")]
        told = enumerate(zip(*rows, strict=True))
        return {
            f"{kind}/{place}" + (f" {names[int(speaker)]}" if names else ""): (
                SPEAKER_RATE,
                audio[: int(length)],
            )
            for place, (audio, length, speaker) in told
        }

    def _unit(self) -> np.ndarray:
        lengths = np.linalg.norm(self._embeddings, axis=1, keepdims=True)
        return self._embeddings / np.maximum(lengths, 1e-12)

    def _step(self) -> int:
        return int(self.optimizers[0].iterations)

    def _draws(self) -> bool:
        """Whether this validation is one that is drawn; of the step alone, so a resumed run too."""
        number = self._step() // self.training.validate_every
        return self.training.pictures and number % self.training.pictures_every == 0

    def _slow_down(self, eer: float) -> None:
        if eer < float(self.least):
            self.least.assign(eer)
            self.stalled.assign(0)
            return
        self.stalled.assign(int(self.stalled) + 1)
        if int(self.stalled) >= self.training.plateau_patience:
            self.share.assign(float(self.share) * self.training.plateau_factor)
            self.stalled.assign(0)

    def _margin(self):
        training = self.training
        step = self.optimizers[0].iterations
        ends = training.aam_margin_start, training.aam_margin_end
        return scheduled_margin(step, *ends, training.aam_margin)

    def _groups(self) -> list[tuple]:
        by_rate: dict[float, list] = {1.0: list(self.loss.trainable_variables)}
        for rate, variables in learning_parts(self.encoder, self.training):
            by_rate.setdefault(rate, []).extend(variables)
        stage, groups = self.training.speaker, []
        for rate, variables in by_rate.items():
            own = dataclasses.replace(stage, learning_rate=rate * stage.learning_rate)
            groups.append((make_optimizer(own, self.training, variables, self.share), variables))
        return groups


def make_loss(training: SpeakerTrainingConfig, speakers: int) -> keras.layers.Layer:
    """The loss that ``training.loss`` names.

    Args:
        training: its settings.
        speakers: classes of the AAM-softmax.

    Raises:
        ConfigError: a setting does not go with the number of speakers.
    """
    if training.loss == "ge2e":
        return GE2ELoss(training.ge2e_variant)
    if training.loss == "angular_prototypical":
        return AngularPrototypicalLoss()
    return AAMSoftmaxLoss(
        speakers,
        training.aam_scale,
        training.aam_margin,
        training.aam_sub_centres,
        training.aam_top_k,
        training.aam_top_k_margin,
    )


def learning_parts(
    encoder: keras.Model, training: SpeakerTrainingConfig
) -> list[tuple[float, list]]:
    """Variables that learn, and at what share of the rate."""
    if not isinstance(encoder, WavLMEncoder):
        return [(1.0, encoder.trainable_variables)]
    head = [] if encoder.head is None else encoder.head.trainable_variables
    if training.trained == "head":
        return [(1.0, head)]
    summed = [] if encoder.layer_weights is None else [encoder.layer_weights]
    parts = [(1.0, head + summed)]
    if training.trained == "frozen":
        return parts
    learning = len(encoder.blocks) if training.trained == "all" else training.last_layers
    for depth, block in enumerate(encoder.blocks[::-1][:learning], 1):
        parts.append((training.layer_decay**depth, block.trainable_variables))
    if training.trained == "all":
        known = {id(variable) for _, variables in parts for variable in variables}
        rest = [item for item in encoder.trainable_variables if id(item) not in known]
        parts.append((training.layer_decay ** (learning + 1), rest))
    return parts


def in_batch_eer(speakers, embeddings):
    """Equal error rate, in percent, of all pairs of a training batch, a scalar.

    It depends on how many speakers and utterances a batch has and on which were drawn, and the
    weights are moving: it says whether a run learns, and is no measure of an encoder.
    """
    speakers, embeddings = replicas.gathered(speakers), replicas.gathered(embeddings)
    vectors, count = unit_length(embeddings), ops.shape(embeddings)[0]
    cosines = ops.stop_gradient(ops.matmul(vectors, ops.transpose(vectors)))
    paired = ops.arange(count)[:, None] < ops.arange(count)[None, :]
    same = ops.equal(speakers[:, None], speakers[None, :])
    order = ops.argsort(-ops.reshape(ops.where(paired, cosines, LEFT_OUT), (-1,)))

    def accepted(kind):
        hits = ops.take(ops.cast(ops.reshape(paired & kind, (-1,)), "float32"), order)
        return ops.cumsum(hits) / ops.maximum(ops.sum(hits), 1.0)

    accepts, rejects = accepted(~same), 1.0 - accepted(same)
    nearest = ops.argmin(ops.abs(accepts - rejects))
    return 50.0 * (ops.take(accepts, nearest) + ops.take(rejects, nearest))


def batches(corpus: SpeakerCorpus, config: SpeakerConfig):
    """Builder of a corpus's batches: crops to learn from, or the recordings of trials."""
    if isinstance(corpus, TrialCorpus):
        return trial_batches(corpus, config.data)
    return training_batches(corpus, config.data, config.training.seed)


def plan(corpus: SpeakerCorpus, config: SpeakerConfig) -> SpeakerPlan:
    """Which speakers and utterances meet."""
    data = config.data
    return SpeakerPlan(
        corpus.speakers,
        data.speakers_per_batch,
        config.utterances_per_speaker,
        config.training.seed,
    )


def trackers(config: SpeakerConfig, run_dir: Path) -> Trackers:
    """Comet and Weights & Biases, where the configuration names a project there."""
    training, told, makers = config.training, to_dict(config), {}
    if training.comet_project:
        makers["Comet"] = partial(Comet, training.comet_project, run_dir.name, told)
    if training.wandb_project:
        own = training.wandb_project, run_dir.name, run_dir, told
        makers["Weights & Biases"] = partial(WandB, *own)
    return Trackers(makers)


STAGE = Stage("speaker", SpeakerTask, batches, plan=plan, trackers=trackers, by_row=True)
