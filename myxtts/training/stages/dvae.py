"""Stage ``dvae``: learn the audio codes."""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.griffin_lim import griffin_lim
from myxtts.config import XTTSConfig
from myxtts.data.corpus import Corpus
from myxtts.data.xtts import PADDING, TOKENS_PER_CODE, batch_options, dvae_batch
from myxtts.errors import ConfigError
from myxtts.losses import masked_accuracy, masked_cross_entropy
from myxtts.models.layer import Conv1D
from myxtts.models.xtts import XTTS
from myxtts.training.optimizers import make_optimizer
from myxtts.training.reading import without_durations
from myxtts.training.stage import Stage, Task

# Of van den Oord et al. 2017.
COMMITMENT_WEIGHT = 0.25
# Codes on both sides that help to tell what one speaks: as far as the decoder's first layers hear.
TOKEN_KERNEL = 3


class DVAETask(Task):
    """Reconstruct log-mels through the codebook; see :func:`myxtts.data.xtts.dvae_batch`.

    With a weight for it, the codes learn to tell the phonemes as well, by a head that is no
    part of the model: what is easily read off them is easily written by the GPT (SpeechTokenizer,
    Zhang et al. 2023, teaches its first codes by features of HuBERT; durations teach as much).
    """

    metric = "recon_loss"

    def __init__(self, model: XTTS, config: XTTSConfig):
        self.model = model
        require_speakers(config, model)
        training, variables = config.training, model.dvae.trainable_variables
        self.token_weight = training.code_token_loss_weight
        self.token_variables: list = []
        if self.token_weight:
            self.token_head = token_head(config)
            self.token_variables = self.token_head.trainable_variables
        variables = variables + self.token_variables
        self.groups = [(make_optimizer(training.dvae, training, variables), variables)]

    @property
    def variables(self) -> list:
        """All state of the DVAE: weights, codebook statistics, revival seeds."""
        return self.model.dvae.variables + self.token_variables

    def losses(self, batch: dict, training: bool) -> dict:
        outputs = self._forward(batch, training)
        loss = outputs["recon_loss"] + COMMITMENT_WEIGHT * outputs["commitment_loss"]
        names = ("recon_loss", "commitment_loss", "codebook_usage")
        numbers = {name: outputs[name] for name in names}
        if self.token_weight:
            tokens = batch["tokens"]
            logits = self.token_head(outputs["quantised"])
            ids = logits.shape[2] // TOKENS_PER_CODE
            logits = tf.reshape(logits, (-1, tf.shape(tokens)[1], ids))
            numbers["token_loss"] = masked_cross_entropy(logits, tokens)
            numbers["token_accuracy"] = masked_accuracy(logits, tokens)
            loss += self.token_weight * numbers["token_loss"]
        return {"loss": loss} | numbers

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


def token_head(config: XTTSConfig) -> keras.layers.Layer:
    """Codebook entries to the logits of every text id for each part of a code, side by side."""
    parts = TOKENS_PER_CODE * config.model.gpt.num_text_tokens
    head = Conv1D(parts, TOKEN_KERNEL, padding="same", name="token_head")
    head.build((None, None, config.model.dvae.codebook_dim))
    return head


def require_durations(corpus: Corpus, config: XTTSConfig) -> int:
    """Raise ``DataError`` if codes are to learn phonemes, and no utterance has their times."""
    if config.training.code_token_loss_weight and not corpus.timed:
        raise without_durations(config, "code_token_loss_weight")
    return 0  # speakers: batches need no certain number


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
    speakers_per_batch=require_durations,
    padding=PADDING,
)
