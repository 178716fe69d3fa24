"""Stage ``gpt``: predict audio codes from text and a voice."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import tensorflow as tf

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.griffin_lim import griffin_lim
from myxtts.config import XTTSConfig
from myxtts.data.buckets import Buckets
from myxtts.data.corpus import Corpus
from myxtts.data.store import Feature
from myxtts.data.xtts import PADDING, batch_options, gpt_batch, length_buckets
from myxtts.data.xtts_features import audio_codes
from myxtts.errors import ConfigError, DataError
from myxtts.generation.vocoding import codes_to_mel
from myxtts.losses import (
    IGNORED_TARGET,
    ContrastiveSpeakerLoss,
    GE2ELoss,
    masked_accuracy,
    masked_cross_entropy,
)
from myxtts.models.xtts import XTTS
from myxtts.timing import FRAMES_PER_CODE
from myxtts.training.optimizers import make_optimizer
from myxtts.training.reading import ReadingLosses, without_durations
from myxtts.training.stage import Stage, Task

# Coqui's trainer counts so many codes beyond the end of an utterance.
MORE_STOPS = 3
FINE_TUNED = " (fine-tuned)"
# Of a speaker in a batch, where nobody says otherwise.
UTTERANCES_PER_SPEAKER = 2


class GPTTask(Task):
    """Cross-entropy of text and audio codes, as Coqui's XTTS trainer weighs them.

    The audio encoder learns here too; an unfrozen pretrained encoder has an optimizer
    of its own, at ``training.speaker_encoder_learning_rate``. The speaker losses see the
    (projected) speaker embeddings of the batch's references; the reading losses, where in the
    text the GPT is. Batches are those of
    :func:`myxtts.data.xtts.gpt_batch`.
    """

    metric = "audio_loss"

    def __init__(self, model: XTTS, config: XTTSConfig):
        self.model = model
        self.training = config.training
        self.speaker_losses = speaker_losses(config)
        self.reading = ReadingLosses(config.training, model.gpt)
        # GE2E learns a scale and a bias, the contrastive loss nothing.
        owned = [
            getattr(loss, "trainable_variables", []) for _, loss in self.speaker_losses.values()
        ]
        self.loss_variables = sum(owned, self.reading.variables)
        settings, training = config.training.gpt, config.training
        pretrained = []
        if model.config.model.use_pretrained_speaker_encoder:
            pretrained = model.audio_encoder.speaker_encoder.trainable_variables
        careful = {id(variable) for variable in pretrained}
        others = [var for var in self.trainable_variables if id(var) not in careful]
        self.groups = [(make_optimizer(settings, training, others), others)]
        if pretrained:
            rate = training.speaker_encoder_learning_rate
            slow = dataclasses.replace(settings, learning_rate=rate)
            self.groups.append((make_optimizer(slow, training, pretrained), pretrained))

    @property
    def variables(self) -> list:
        """All state this stage changes, dropout seeds included.

        The speaker path is the decoder stage's, unless it learns here too: going on with
        this stage must not set it back.
        """
        encoder = self.model.audio_encoder
        state = self.model.gpt.variables + encoder.conditioning_state
        if self.speaker_losses:
            state = state + encoder.speaker_state
        return state + self.loss_variables

    @property
    def trainable_variables(self) -> list:
        """What this stage updates; a speaker path of its own only under a speaker loss."""
        encoder = self.model.audio_encoder
        variables = self.model.gpt.trainable_variables + encoder.conditioning_variables
        if self.speaker_losses:
            variables = variables + encoder.speaker_variables
        return variables + self.loss_variables

    def weight(self, batch: dict):
        return tf.cast(tf.reduce_sum(code_lengths(batch["mel_lengths"])), "float32")

    def pictures(self, batch: dict) -> dict[str, np.ndarray]:
        """Of the first utterance: mels of true and of predicted codes, and the alignments.

        One is of all heads, and one of those that learn it, if any do.
        """
        inputs = self._inputs(batch, training=False)[0]
        outputs = self.model.gpt(inputs, attention_blocks=self.reading.blocks)
        length, letters = int(inputs["code_lengths"][0]), int(inputs["text_lengths"][0])
        guessed = np.argmax(np.asarray(outputs["audio_logits"][0, :length], "float32"), axis=-1)
        alignment = np.asarray(self.model.gpt.alignment(inputs)[0, :length, : letters + 2])
        learned = {}
        if self.reading.blocks:
            heads = np.asarray(self.reading.attention(outputs)[0, :, :length, :letters])
            learned["alignment/learned"] = heads.mean(axis=0)
        return {
            "mel/target": codes_to_mel(self.model, inputs["audio_codes"][0, :length]),
            # The start and stop codes have no mel.
            "mel/predicted": codes_to_mel(
                self.model, np.minimum(guessed, self.model.dvae.num_codes - 1)
            ),
            "alignment": alignment,
            **learned,
        }

    def sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """Teacher-forced prediction through Griffin-Lim."""
        mel = self.pictures(batch)["mel/predicted"]
        return {"predicted": (XTTS_DVAE.sample_rate, griffin_lim(mel, XTTS_DVAE))}

    def _inputs(self, batch: dict, training: bool) -> tuple[dict, dict]:
        """Inputs of the GPT, and the features of the reference."""
        encoder = self.model.audio_encoder
        features = encoder.heard(encoder.features_from_batch(batch), training=training)
        latents = encoder.conditioning_latents(features, training=training)
        return gpt_inputs(self.model, batch, latents), features

    def losses(self, batch: dict, training: bool) -> dict:
        inputs, features = self._inputs(batch, training)
        compatible = self.training.coqui_compatible
        if compatible:
            inputs |= with_stops(inputs, self.model.gpt.stop_audio_token)
        outputs = self.model.gpt(
            inputs,
            training=training,
            coqui_compatible=compatible,
            attention_blocks=self.reading.blocks,
        )
        if training and "prompt_frames" in batch:
            outputs["audio_targets"] = without_prompt(
                outputs["audio_targets"], batch["prompt_frames"]
            )
        text = masked_cross_entropy(outputs["text_logits"], outputs["text_targets"])
        audio = masked_cross_entropy(outputs["audio_logits"], outputs["audio_targets"])
        loss = self.training.text_loss_weight * text + self.training.audio_loss_weight * audio
        numbers = {
            "text_loss": text,
            "audio_loss": audio,
            "accuracy": masked_accuracy(outputs["audio_logits"], outputs["audio_targets"]),
        }
        if self.reading.blocks or self.reading.variables:
            more, read = self.reading(inputs, outputs, batch["code_tokens"])
            loss, numbers = loss + more, numbers | read
        if self.speaker_losses:
            encoder = self.model.audio_encoder
            embedding = encoder.speaker_embedding(features, training=training)
            for name, (weight, objective) in self.speaker_losses.items():
                numbers[name] = objective(batch["speaker_ids"], embedding)
                loss += weight * numbers[name]
        return {"loss": loss} | numbers


def speaker_losses(config: XTTSConfig) -> dict:
    """The speaker losses that have a weight, each as ``(weight, loss)`` under its name."""
    model, training = config.model, config.training
    losses: dict = {}
    if training.contrastive_loss_weight:
        objective = ContrastiveSpeakerLoss(
            model.contrastive_loss_temperature, model.contrastive_loss_margin
        )
        losses["contrastive_loss"] = (training.contrastive_loss_weight, objective)
    if training.ge2e_loss_weight:
        objective = GE2ELoss(training.ge2e_variant)
        objective.build()
        losses["ge2e_loss"] = (training.ge2e_loss_weight, objective)
    return losses


def code_lengths(frames):
    """Audio codes of utterances of ``frames`` mel frames: two stride-2 convolutions."""
    half = (frames + 1) // 2
    return (half + 1) // 2


def encode_codes(model: XTTS, batch: dict) -> tuple:
    """Codes ``(batch, length)`` of a batch and their lengths ``(batch,)``."""
    if "audio_codes" in batch:
        return batch["audio_codes"], code_lengths(batch["mel_lengths"])
    codes = model.dvae.encode(model.mel_norm(batch["mel"]))
    return tf.stop_gradient(codes), code_lengths(batch["mel_lengths"])


def gpt_inputs(model: XTTS, batch: dict, latents) -> dict:
    """Inputs of :class:`~myxtts.models.gpt.GPT` for a training batch."""
    codes, lengths = encode_codes(model, batch)
    return {
        "text_ids": batch["text_ids"],
        "text_lengths": batch["text_lengths"],
        "audio_codes": codes,
        "code_lengths": lengths,
        "conditioning_latents": latents,
    }


def with_stops(inputs: dict, stop: int) -> dict:
    """``audio_codes`` and ``code_lengths`` of GPT inputs with three more stop codes a row.

    Coqui's trainer takes every utterance for so much longer, and learns all its stops.
    """
    codes, lengths = inputs["audio_codes"], inputs["code_lengths"]
    own = tf.sequence_mask(lengths, tf.shape(codes)[1])
    codes = tf.pad(tf.where(own, codes, stop), [[0, 0], [0, MORE_STOPS]], constant_values=stop)
    return {"audio_codes": codes, "code_lengths": lengths + MORE_STOPS}


def without_prompt(targets, prompt_frames):
    """Targets ``(batch, length)`` of which the codes inside the prompt are not to be learned.

    The GPT has heard them. Coqui's trainer means the same, but masks the last utterance of
    a batch only, and counts mel frames where codes are.

    Args:
        targets: codes, one for four mel frames.
        prompt_frames: ``(batch, 2)``, first and end of the prompt in mel frames.
    """
    position = tf.range(tf.shape(targets)[1])[None]
    first, end = code_lengths(prompt_frames[:, :1]), prompt_frames[:, 1:] // FRAMES_PER_CODE
    heard = tf.logical_and(position >= first, position < end)
    return tf.where(heard, IGNORED_TARGET, targets)


def speakers_per_batch(corpus: Corpus, config: XTTSConfig) -> int:
    """Speakers of a balanced batch; a speaker loss needs two, with two utterances each."""
    wished, size = config.data.speakers_per_batch, config.training.gpt.batch_size
    if not config.training.has_speaker_loss:
        return wished
    counts = np.bincount(corpus.speakers)
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


def fit_for_reading(corpus: Corpus, config: XTTSConfig) -> None:
    """Refuse reading losses that have nothing to learn from.

    Raises:
        DataError: no utterance has durations.
    """
    training = config.training
    if not (training.token_loss_weight or training.alignment_loss_weight) or corpus.timed:
        return
    if training.token_loss_weight:
        raise without_durations(config, "token_loss_weight")
    if training.alignment_loss_weight and not training.forward_sum:
        otherwise = "; --forward-sum finds the alignment without"
        raise without_durations(config, "alignment_loss_weight", otherwise)


def mark_fine_tuned(model: XTTS) -> None:
    """Weights that have been trained further are no longer what was published."""
    section, encoder = model.config.model, model.audio_encoder.speaker_encoder
    moved = section.use_pretrained_speaker_encoder and not section.freeze_speaker_encoder
    if moved and not encoder.provenance.endswith(FINE_TUNED):
        encoder.provenance += FINE_TUNED


def _batches(corpus: Corpus, config: XTTSConfig) -> partial:
    return partial(
        gpt_batch, corpus, options=batch_options(config, config.training.has_speaker_loss)
    )


def code_features(model: XTTS) -> dict[str, Feature]:
    """The audio codes of recordings: the DVAE stands still, so they are computed once."""
    norm = model.mel_norm

    def encode(mel):
        return model.dvae.encode(norm(mel))

    return {"audio_codes": audio_codes(encode, [*model.dvae.weights, norm.mel_stats])}


def _buckets(corpus: Corpus, config: XTTSConfig) -> Buckets | None:
    codes = config.training.batch_codes
    if not codes:
        return None
    if config.training.has_speaker_loss or config.data.speakers_per_batch:
        raise ConfigError(
            "training.batch_codes draws utterances by their length, and a speaker loss or "
            "data.speakers_per_batch by their speaker; leave one of them at 0."
        )
    return length_buckets(corpus, codes)


def _planned(corpus: Corpus, config: XTTSConfig) -> int:
    fit_for_reading(corpus, config)
    return speakers_per_batch(corpus, config)


STAGE = Stage(
    "gpt",
    GPTTask,
    batches=_batches,
    needs=("dvae",),
    speakers_per_batch=_planned,
    features=code_features,
    buckets=_buckets,
    padding=PADDING,
    hand_on=lambda task, validation: mark_fine_tuned(task.model),
)
