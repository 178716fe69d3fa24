"""Stage ``dvae``: learn the audio codes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.griffin_lim import griffin_lim
from myxtts.config import XTTSConfig
from myxtts.models.xtts import XTTS
from myxtts.training.optimizers import apply_gradients, make_optimizer

# Of van den Oord et al. 2017.
COMMITMENT_WEIGHT = 0.25


class DVAETask:
    """Reconstruct log-mels through the codebook.

    Batches: ``mel`` ``(batch, frames, n_mels)`` un-normalised, ``mel_mask``
    ``(batch, frames)``.
    """

    metric = "recon_loss"

    def __init__(self, model: XTTS, config: XTTSConfig):
        self.model = model
        self.dvae = model.dvae
        training = config.training
        self.optimizers = [make_optimizer(training.dvae, training, self.dvae.trainable_variables)]

    @property
    def variables(self) -> list:
        """All state of the DVAE: weights, codebook statistics, revival seeds."""
        return self.dvae.variables

    def train_step(self, batch: dict) -> dict:
        with tf.GradientTape() as tape:
            outputs = self._forward(batch, training=True)
            loss = self._loss(outputs)
        groups = [(self.optimizers[0], self.dvae.trainable_variables)]
        norm = apply_gradients(groups, tape, loss)
        return self._numbers(outputs, loss) | {"gradient_norm": norm}

    def validation_step(self, batch: dict) -> dict:
        outputs = self._forward(batch, training=False)
        weight = tf.reduce_sum(tf.cast(batch["mel_mask"], "float32"))
        loss = self._loss(outputs)
        return self._numbers(outputs, loss) | {"weight": weight}

    def pictures(self, batch: dict) -> dict[str, np.ndarray]:
        """The first mel of the batch and its reconstruction."""
        frames = int(np.sum(np.asarray(batch["mel_mask"][0])))
        outputs = self._forward(batch, training=False)
        rebuilt = self._mel(outputs, frames)
        return {"mel/target": np.asarray(batch["mel"][0])[:frames], "mel/rebuilt": rebuilt}

    def sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """The first reconstruction through Griffin-Lim."""
        mel = self.pictures(batch)["mel/rebuilt"]
        return {"rebuilt": (XTTS_DVAE.sample_rate, griffin_lim(mel, XTTS_DVAE))}

    def _forward(self, batch: dict, training: bool) -> dict:
        mel = self.model.mel_norm(batch["mel"])
        return self.dvae(mel, valid=batch["mel_mask"], training=training)

    @staticmethod
    def _loss(outputs: dict):
        return outputs["recon_loss"] + COMMITMENT_WEIGHT * outputs["commitment_loss"]

    def _mel(self, outputs: dict, frames: int) -> np.ndarray:
        stats = np.asarray(self.model.mel_norm.mel_stats)
        return np.asarray(outputs["mel"][0], "float32")[:frames] * stats

    @staticmethod
    def _numbers(outputs: dict, loss) -> dict:
        names = ("recon_loss", "commitment_loss", "codebook_usage")
        return {"loss": loss} | {name: outputs[name] for name in names}
