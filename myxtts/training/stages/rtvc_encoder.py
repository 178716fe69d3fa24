"""RTVC's training of its speaker encoder: GE2E on prepared mels, with ``encoder.pt`` beside.

It is the speaker stage with RTVC's batches, loss, initial weights and Adam. torch's LSTM has two
biases where Keras has one: their gradients are equal, both count in the norm that is clipped, and
their sum moves twice as fast.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from myxtts import replicas
from myxtts.data.rtvc_mels import MelCorpus, first_utterances, mel_batches, open_mels
from myxtts.data.speakers import SpeakerPlan
from myxtts.errors import MyXTTSError
from myxtts.files import write_whole
from myxtts.models.speaker_encoder import RANDOM, PretrainedSpeakerEncoder
from myxtts.presets.variables import named
from myxtts.speaker_config import SpeakerConfig
from myxtts.speaker_losses import SimilarityLoss
from myxtts.trackers import Trackers, Visdom
from myxtts.training.clouds import Cloud
from myxtts.training.optimizers import TorchAdam, set_steps
from myxtts.training.stage import Stage, System, Task
from myxtts.training.stages.speaker_system import SpeakerModel
from myxtts.verification.batch_eer import similarity_eer
from myxtts.weights.rtvc_encoder import (
    LOSS,
    NORM_EPSILON,
    EncoderFile,
    drawn,
    load_encoder,
    moments_to_keras,
    moments_to_torch,
    read_encoder,
    to_torch,
    values_of,
    write_encoder,
)

logger = logging.getLogger(__name__)

EXPORT = "encoder.pt"
# Speakers of a batch that are drawn as points.
DRAWN_SPEAKERS = 10
# Of torch's two biases.
BIASES = 2


@dataclass(frozen=True)
class Rhythm:
    """What RTVC's programs do beside training, and how many steps apart; 0 for never.

    Attributes:
        vis_every: lines of loss and EER.
        umap_every: pictures ``umap_{step:06d}.png``.
        backup_every: copies ``encoder_{step:06d}.bak``.
        visdom: address of the visdom server that is told the curves; None: none is.
    """

    vis_every: int = 10
    umap_every: int = 100
    backup_every: int = 7500
    visdom: str | None = None


class RTVCModel(SpeakerModel):
    """A speaker encoder with its prepared mels, its first weights and its run folder."""

    def __init__(self, encoder, config, speakers, origin, stored: EncoderFile, rhythm, run_dir):
        super().__init__(encoder, config, speakers, None, origin)
        self.stored, self.rhythm, self.run_dir = stored, rhythm, run_dir


class RTVCEncoderTask(Task):
    """Lower the GE2E loss on windows of 160 frames; the loss on fixed ones says which is best.

    Args:
        model: :class:`RTVCModel`.
        config: its training is read.
    """

    def __init__(self, model: RTVCModel, config: SpeakerConfig):
        self.model, self.training, stored = model, config.training, model.stored
        self.encoder = model.encoder.encoder
        self.encoder.epsilon = NORM_EPSILON
        self.loss = SimilarityLoss(config.utterances_per_speaker)
        self.loss.build()
        load_encoder(self.encoder, stored, config.training.init_from or EXPORT)
        for key, variable in zip(LOSS, self.loss.weights, strict=True):
            variable.assign(stored.arrays[key])
        self.before = keras.Variable(stored.step - 1, dtype="int64", trainable=False)
        # What each of the two biases was before this run.
        biases = [key for key in stored.arrays if ".bias_" in key]
        self.origin = {
            key: keras.Variable(stored.arrays[key], trainable=False, name=key.replace(".", "_"))
            for key in biases
        }
        self.by_path = named(self.encoder.weights, self.encoder.name)
        own = [path for path in self.by_path if path.endswith("lstm_cell/bias")]
        self._biases = [self.by_path[path] for path in own]
        rest = [variable for path, variable in self.by_path.items() if path not in own]
        self.groups = [
            self._group([*rest, *self.loss.trainable_variables], 1),
            self._group(self._biases, BIASES),
        ]
        if stored.means:
            self._take_moments(stored)
        self._cloud = Cloud()

    @property
    def variables(self) -> list:
        """Encoder, loss, and what an export needs of the weights it began with."""
        own = [self.before, *self.origin.values()]
        return [*self.encoder.variables, *self.loss.variables, *own]

    def losses(self, batch: dict, training: bool) -> dict[str, tf.Tensor]:
        similarities = self.loss.similarities(self.encoder.embed_partials(batch["mels"]))
        eer = tf.numpy_function(similarity_eer, [similarities], tf.float64, stateful=False)
        eer = tf.ensure_shape(tf.cast(eer, "float32"), ())
        return {"loss": self.loss.of(similarities), "in_batch_eer": 100.0 * eer}

    def weight(self, batch: dict) -> tf.Tensor:
        return tf.cast(tf.shape(batch["mels"])[0], "float32")

    def train_step(self, batch: dict) -> dict[str, tf.Tensor]:
        """One step of Adam, with the gradient clipped as if there were two biases."""
        variables = [variable.value for _, group in self.groups for variable in group]
        with tf.GradientTape() as tape:
            numbers = self.losses(batch, training=True)
        gradients = tape.gradient(numbers["loss"], variables)
        gradients = replicas.current().averaged(gradients, variables)
        count = len(self._biases)
        norm = tf.linalg.global_norm([*gradients, *gradients[-count:]])
        factor = tf.minimum(1.0, self.training.gradient_clip / (norm + 1e-6))
        gradients = [gradient * factor for gradient in gradients]
        (first, own), (second, biases) = self.groups
        first.apply(gradients[:-count], own)
        second.apply(gradients[-count:], biases)
        return numbers | {"gradient_norm": norm}

    def stepped(self, step: int, numbers: dict[str, tf.Tensor], batch: dict | None) -> None:
        """Lines, pictures and backups where they are due."""
        rhythm, own = self.model.rhythm, self._step(step)
        if _due(own, rhythm.vis_every):
            loss, eer = float(numbers["loss"]), float(numbers["in_batch_eer"]) / 100
            logger.info("Step %6d   Loss: %.4f   EER: %.4f", own, loss, eer)
        if _due(own, rhythm.umap_every):
            rows = DRAWN_SPEAKERS * self.loss.utterances
            embeddings = self.encoder.embed_partials(batch["mels"][:rows]).numpy()
            speakers = np.unique(batch["speakers"][:rows].numpy(), return_inverse=True)[1]
            picture = tf.io.encode_png(self._cloud.picture(embeddings, speakers)).numpy()
            self._write(lambda path: write_whole(path, picture), f"umap_{own:06d}.png")
        if _due(own, rhythm.backup_every):
            stored = self.stored(step)
            self._write(lambda path: write_encoder(path, stored), f"encoder_{own:06d}.bak")

    def saved(self, step: int) -> None:
        """Write ``encoder.pt``."""
        stored = self.stored(step)
        self._write(lambda path: write_encoder(path, stored), EXPORT)

    def stored(self, step: int) -> EncoderFile:
        """What an ``encoder.pt`` of this moment holds."""
        origin = {key: variable.numpy() for key, variable in self.origin.items()}
        arrays = to_torch(values_of(self.encoder), origin)
        arrays |= {key: v.numpy() for key, v in zip(LOSS, self.loss.weights, strict=True)}
        made = int(self.optimizers[0].iterations)
        if not made:
            return EncoderFile(self._step(step) + 1, arrays)
        means, squares = (self._moments(kind) for kind in ("_momentums", "_velocities"))
        return EncoderFile(self._step(step) + 1, arrays, means, squares, made)

    def _step(self, step: int) -> int:
        return int(self.before) + step

    def _group(self, variables: list, times: int) -> tuple:
        rate = times * self.training.speaker.learning_rate
        optimizer = TorchAdam(rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
        optimizer.build(variables)
        return optimizer, variables

    def _slots(self, kind: str) -> dict[int, keras.Variable]:
        """Adam's state of a kind by the identity of the variable."""
        return {
            id(variable): slot
            for optimizer, variables in self.groups
            for variable, slot in zip(variables, getattr(optimizer, kind), strict=True)
        }

    def _moments(self, kind: str) -> dict[str, np.ndarray]:
        slots = self._slots(kind)
        own = {path: slots[id(v)].numpy() for path, v in self.by_path.items()}
        of_loss = zip(LOSS, self.loss.weights, strict=True)
        return moments_to_torch(own) | {key: slots[id(v)].numpy() for key, v in of_loss}

    def _take_moments(self, stored: EncoderFile) -> None:
        for kind, values in (("_momentums", stored.means), ("_velocities", stored.squares)):
            slots, own = self._slots(kind), moments_to_keras(values)
            for path, variable in self.by_path.items():
                slots[id(variable)].assign(own[path])
            for key, variable in zip(LOSS, self.loss.weights, strict=True):
                slots[id(variable)].assign(values[key])
        for optimizer in self.optimizers:
            set_steps(optimizer, stored.steps_made)

    def _write(self, write, name: str) -> None:
        try:
            write(self.model.run_dir / name)
        except MyXTTSError as error:
            logger.warning("%s The run goes on without %s.", error, name)


def batches(corpus: MelCorpus, config: SpeakerConfig):
    """Builder of drawn windows, or of the first ones of a validation."""
    judged = isinstance(corpus, JudgedMels)
    return mel_batches(corpus, None if judged else config.training.seed)


class JudgedMels(MelCorpus):
    """Utterances whose loss says how far the training is."""


def plan(corpus: MelCorpus, config: SpeakerConfig) -> SpeakerPlan:
    """Which speakers and utterances meet."""
    sizes = config.data.speakers_per_batch, config.utterances_per_speaker
    return SpeakerPlan(corpus.speakers, *sizes, config.training.seed)


def rtvc_encoder_system(rhythm: Rhythm) -> System:
    """The system that trains RTVC's encoder in a run folder; it goes on from ``encoder.pt``."""

    def prepare(config: SpeakerConfig, run_dir: Path):
        corpus = open_mels(config.data.train_data)
        config = fitting(config, corpus)
        encoder = PretrainedSpeakerEncoder.from_section(config.model.section())
        encoder.build()
        stored, origin = EncoderFile(1, drawn(config.training.seed)), RANDOM
        if config.training.init_from is not None:
            stored, origin = read_encoder(config.training.init_from), EXPORT
            logger.info("going on from %s, step %d", config.training.init_from, stored.step)
        judged = first_utterances(
            corpus, config.data.speakers_per_batch, config.utterances_per_speaker
        )
        judged = JudgedMels(judged.paths, judged.speakers, judged.speaker_names)
        told = "%d speakers, %d utterances"
        logger.info(told, len(corpus.speaker_names), len(corpus.paths))
        names = corpus.speaker_names
        model = RTVCModel(encoder, config, names, origin, stored, rhythm, run_dir)
        return model, corpus, judged

    def trackers(config: SpeakerConfig, run_dir: Path) -> Trackers:
        if rhythm.visdom is None:
            return Trackers()
        return Trackers({"visdom": lambda: Visdom(rhythm.visdom, run_dir.name)})

    return System((replace(STAGE, trackers=trackers),), prepare)


def fitting(config: SpeakerConfig, corpus: MelCorpus) -> SpeakerConfig:
    """``config`` with no more speakers a batch than there are."""
    count, wanted = len(corpus.speaker_names), config.data.speakers_per_batch
    if count >= wanted:
        return config
    logger.warning("a batch has %d speakers instead of %d: there are no more.", count, wanted)
    size = count * config.utterances_per_speaker
    values = {"data": {"speakers_per_batch": count}, "training": {"speaker": {"batch_size": size}}}
    return config.merged(values)


def _due(step: int, every: int) -> bool:
    return bool(every) and step % every == 0


STAGE = Stage("speaker", RTVCEncoderTask, batches, plan=plan, by_row=True)
