"""What teaches the GPT to read: to know at which place of the text it speaks."""

from __future__ import annotations

import keras
from keras import ops

from myxtts import replicas
from myxtts.config import TrainingConfig, XTTSConfig
from myxtts.data.alignment import UNKNOWN_TOKEN
from myxtts.errors import DataError
from myxtts.generation.confidence import LEAST_ATTENTION, reading_attention, reading_blocks
from myxtts.losses import (
    IGNORED_TARGET,
    beta_binomial_log_prior,
    forward_sum_loss,
    masked_accuracy,
    masked_cross_entropy,
)
from myxtts.models.gpt import GPT


class ReadingLosses:
    """Alignment of chosen attention heads with the text, and the id that the next code speaks.

    Where durations tell which text id a code speaks, the alignment's loss is minus the log of
    the attention to it. Where they do not, it is the forward-sum over all monotonic alignments,
    if that is wanted.

    Args:
        settings: weights, blocks and heads.
        gpt: what learns.

    Attributes:
        blocks: those whose attention is wanted, none without a weight.
        variables: of the linear head that names the id. It is no part of the model.
    """

    def __init__(self, settings: TrainingConfig, gpt: GPT):
        self.settings = settings
        self.blocks = reading_blocks(settings)
        self.variables: list = []
        if settings.token_loss_weight:
            self.head = keras.layers.Dense(gpt.num_text_tokens, name="token_head")
            self.head.build((None, None, gpt.model_dim))
            self.variables = self.head.trainable_variables

    def __call__(self, inputs: dict, outputs: dict, code_tokens) -> tuple:
        """What is added to the loss, and its parts by name.

        Args:
            inputs, outputs: of the GPT's call with ``attention_blocks`` of these ``blocks``.
            code_tokens: int ``(batch, codes)``, see :func:`myxtts.data.xtts.gpt_batch`.
        """
        loss, numbers = 0.0, {}
        if self.blocks:
            untimed = inputs if self.settings.forward_sum else None
            aligned, share = alignment_loss(self.attention(outputs), code_tokens, untimed)
            numbers |= {"alignment_loss": aligned, "alignment_share": share}
            loss += self.settings.alignment_loss_weight * aligned
        if self.variables:
            targets = token_targets(inputs["text_ids"], code_tokens)
            logits = self.head(outputs["audio_latents"][:, :-1])
            numbers["token_loss"] = masked_cross_entropy(logits, targets)
            numbers["token_accuracy"] = masked_accuracy(logits, targets)
            loss += self.settings.token_loss_weight * numbers["token_loss"]
        return loss, numbers

    def attention(self, outputs: dict):
        """Of the chosen heads, ``(batch, heads, codes, text)``, without start and stop."""
        return reading_attention(outputs, self.settings.alignment_heads)


def without_durations(config: XTTSConfig, weight: str, otherwise: str = "") -> DataError:
    """The refusal of a corpus whose times nobody knows, by the loss that needs them.

    Args:
        config: of the run.
        weight: name of the loss's weight in ``config.training``.
        otherwise: what could be done.
    """
    return DataError(
        f"{config.data.train_data}: training.{weight} needs 'durations' in metadata.jsonl, and no "
        f"utterance has any{otherwise}."
    )


def token_targets(text_ids, code_tokens):
    """Text id that each code speaks, ``(batch, codes)``; -1 where that is not known."""
    ids = ops.take_along_axis(text_ids, ops.maximum(code_tokens, 0), axis=1)
    return ops.where(code_tokens == UNKNOWN_TOKEN, IGNORED_TARGET, ids)


def alignment_loss(attention, code_tokens, inputs: dict | None = None) -> tuple:
    """Loss in nats a code, and the share of the attention that is where it should be.

    Args:
        attention: ``(batch, heads, codes, text)``.
        code_tokens: int ``(batch, codes)``; -1 counts nothing.
        inputs: of the GPT, for its ``code_lengths`` and ``text_lengths``; with them a row of
            nothing but -1 takes the forward-sum.
    """
    known = code_tokens != UNKNOWN_TOKEN
    loss, share = _by_durations(attention, code_tokens, known)
    codes = ops.sum(ops.cast(known, "float32"))
    if inputs is not None:
        untimed = ops.logical_not(ops.any(known, axis=1))
        lengths = inputs["code_lengths"], inputs["text_lengths"]
        more = _by_forward_sum(attention, untimed, *lengths)
        loss, share = loss + more[0], share + more[1]
        codes += ops.sum(ops.where(untimed, ops.cast(lengths[0], "float32"), 0.0))
    loss, share, codes = replicas.totals(loss, share, codes)
    codes = ops.maximum(codes, 1.0)
    return loss / codes, share / codes


def _by_durations(attention, code_tokens, known) -> tuple:
    """Sums over the known codes of their loss and of the attention to the right id."""
    right = ops.one_hot(code_tokens, ops.shape(attention)[3], dtype="float32")
    weights = ops.sum(attention * right[:, None], axis=-1)
    nats = -ops.mean(ops.log(weights + LEAST_ATTENTION), axis=1)
    share = ops.mean(weights, axis=1)
    return ops.sum(ops.where(known, nats, 0.0)), ops.sum(ops.where(known, share, 0.0))


def _by_forward_sum(attention, untimed, code_lengths, text_lengths) -> tuple:
    """Sums over the codes of untimed rows, each head aligned of its own."""
    batch, heads, codes, text = (ops.shape(attention)[axis] for axis in range(4))
    rows = ops.reshape(attention, (batch * heads, codes, text))
    lengths = [ops.repeat(lengths, heads) for lengths in (code_lengths, text_lengths)]
    prior = beta_binomial_log_prior(*lengths, codes, text)
    losses, probabilities = forward_sum_loss(ops.log(rows + LEAST_ATTENTION) + prior, *lengths)
    share = ops.sum(probabilities * rows, axis=(1, 2))
    wanted = ops.repeat(untimed, heads)
    sums = [ops.sum(ops.where(wanted, values, 0.0)) for values in (losses, share)]
    return sums[0] / heads, sums[1] / heads
