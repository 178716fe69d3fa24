"""Stage ``dvae``: learn the audio codes."""

from __future__ import annotations

from functools import partial

import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.griffin_lim import griffin_lim
from myxtts.config import XTTSConfig
from myxtts.data.xtts import batch_options, dvae_batch
from myxtts.errors import ConfigError
from myxtts.models.xtts import XTTS
from myxtts.training.optimizers import make_optimizer
from myxtts.training.stage import Stage, Task

# Of van den Oord et al. 2017.
COMMITMENT_WEIGHT = 0.25


class DVAETask(Task):
    """Reconstruct log-mels through the codebook; see :func:`myxtts.data.xtts.dvae_batch`."""

    metric = "recon_loss"

    def __init__(self, model: XTTS, config: XTTSConfig):
        self.model = model
        require_speakers(config, model)
        training, variables = config.training, model.dvae.trainable_variables
        self.groups = [(make_optimizer(training.dvae, training, variables), variables)]

    @property
    def variables(self) -> list:
        """All state of the DVAE: weights, codebook statistics, revival seeds."""
        return self.model.dvae.variables

    def losses(self, batch: dict, training: bool) -> dict:
        outputs = self._forward(batch, training)
        loss = outputs["recon_loss"] + COMMITMENT_WEIGHT * outputs["commitment_loss"]
        names = ("recon_loss", "commitment_loss", "codebook_usage")
        return {"loss": loss} | {name: outputs[name] for name in names}

    def weight(self, batch: dict):
        return tf.reduce_sum(tf.cast(batch["mel_mask"], "float32"))

    def pictures(self, batch: dict) -> dict[str, np.ndarray]:
        """The first mel of the batch and its reconstruction."""
        frames = int(np.sum(np.asarray(batch["mel_mask"][0])))
        rebuilt = np.asarray(self._forward(batch, training=False)["mel"][0], "float32")[:frames]
        return {
            "mel/target": np.asarray(batch["mel"][0])[:frames],
            "mel/rebuilt": rebuilt * np.asarray(self.model.mel_norm.mel_stats),
        }

    def sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """The first reconstruction through Griffin-Lim."""
        mel = self.pictures(batch)["mel/rebuilt"]
        return {"rebuilt": (XTTS_DVAE.sample_rate, griffin_lim(mel, XTTS_DVAE))}

    def _forward(self, batch: dict, training: bool) -> dict:
        mel = self.model.mel_norm(batch["mel"])
        speaker = batch.get("embedding")
        return self.model.dvae(mel, valid=batch["mel_mask"], training=training, speaker=speaker)


def require_speakers(config: XTTSConfig, model: XTTS) -> None:
    """Raise ``ConfigError`` if the DVAE is to hear speakers whom no frozen encoder embeds."""
    section, size = config.model, config.model.dvae.speaker_dim
    if not size:
        return
    frozen = section.use_pretrained_speaker_encoder and section.freeze_speaker_encoder
    known = model.audio_encoder.speaker_encoder.embedding_dim if frozen else 0
    if size != known:
        told = f"{known}, its embedding's size, or 0" if known else "0 without one"
        raise ConfigError(
            f"model.dvae.speaker_dim is of a frozen pretrained speaker encoder: {size} must be "
            f"{told}."
        )


STAGE = Stage(
    "dvae",
    DVAETask,
    batches=lambda corpus, config: partial(dvae_batch, corpus, options=batch_options(config)),
)
