"""Stage ``hifigan``: a HiFi-GAN learns to make waveforms of mel spectrograms."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import XTTS_DVAE, MelSpec
from myxtts.audio.mel import MelSpectrogram
from myxtts.data.vocoder import segments
from myxtts.losses import stft_loss, whole_mean
from myxtts.training.adversary import Adversary, Game
from myxtts.training.optimizers import make_optimizer
from myxtts.training.stage import Stage, Task
from myxtts.vocoder_config import HIFIGAN_STAGE


class HifiGanTask(Task):
    """Mel, spectral, adversarial and feature-matching losses of crops (Kong et al. 2020).

    Args:
        model: see :class:`myxtts.training.stages.hifigan_system.HifiGanModel`.
        config: its training is read.
    """

    metric = "mel_loss"

    def __init__(self, model, config):
        self.model, self.network, self.training = model, model.network, config.training
        training = config.training
        self.mel = MelSpectrogram(loss_mel(config.model.sample_rate), name="loss_mel")
        self.adversary = Adversary(
            training.discriminators, training.discriminator_width, training.adversarial_objective
        )
        # Steps before this run, which one that is gone on with cannot read elsewhere.
        self.before = keras.Variable(model.network.trained_steps, dtype="int64", trainable=False)
        learners = (self.network.trainable_variables, self.adversary.trainable_variables)
        self.groups = [
            (make_optimizer(training.hifigan, training, variables), variables)
            for variables in learners
        ]
        start, steps = training.adversarial_start, training.hifigan.steps
        self.game = Game(self.adversary, self.groups, start, steps)
        # What judges teach is heard, and makes no distance of mels smaller.
        self.keeps_last = self.game.plays

    @property
    def variables(self) -> list:
        """The network, its judges, and how many steps came before this run."""
        return [*self.network.variables, *self.adversary.variables, self.before]

    def losses(self, batch: dict, training: bool) -> dict[str, tf.Tensor]:
        """How far the spectra of what is said of a batch are from the recording's."""
        return self._distances(batch["wave"], self.network(batch["mels"], training=training))

    def phase(self) -> bool:
        return self.game.is_on

    def train_step(self, batch: dict) -> dict[str, tf.Tensor]:
        wave, training = batch["wave"], self.training
        with tf.GradientTape() as tape:
            fake = self.network(batch["mels"], training=True)
            numbers = self._distances(wave, fake)
        judgement = self.game.play(wave, fake, training.feature_loss_weight)
        return numbers | self.game.step(tape, numbers["loss"], fake, judgement)

    def weight(self, batch: dict) -> tf.Tensor:
        return tf.cast(tf.shape(batch["wave"])[0], "float32")

    def pictures(self, batch: dict) -> dict[str, np.ndarray]:
        """Mels of the first crop and of what is said of it."""
        said = self.network(batch["mels"][:1])
        return {
            "mel/target": np.asarray(self.mel(batch["wave"][:1])[0]),
            "mel/spoken": np.asarray(self.mel(said)[0]),
        }

    def sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """Validation utterances, and as the network says them from their mels."""
        corpus, rate, found = self.model.validation, self.network.sizes.sample_rate, {}
        for number in range(min(self.training.heard, len(corpus))):
            mel, wave = corpus.substitutes.read(
                number, lambda place: (corpus.mel(place), corpus.wave(place))
            )
            found[f"target/{number}"] = rate, wave
            found[f"generated/{number}"] = rate, np.asarray(self.network(mel[None])[0])
        return found

    def _distances(self, real, fake) -> dict[str, tf.Tensor]:
        mel = whole_mean(tf.abs(self.mel(real) - self.mel(fake)))
        spectra = stft_loss(real, fake)
        loss = self.training.mel_loss_weight * mel + self.training.stft_loss_weight * spectra
        return {"loss": loss, "mel_loss": mel, "stft_loss": spectra}


def loss_mel(sample_rate: int) -> MelSpec:
    """Front-end of the mel loss: the whole band, of crops however short."""
    return dataclasses.replace(
        XTTS_DVAE, sample_rate=sample_rate, f_max=sample_rate / 2, pad_mode="constant"
    )


def tell_steps(task: HifiGanTask, validation) -> None:
    """Leave on the model how many steps came before the run, which a resumed one knows."""
    task.model.before = int(task.before)


STAGE = Stage(HIFIGAN_STAGE, HifiGanTask, segments, hand_on=tell_steps)
