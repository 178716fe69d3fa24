"""How sure a GPT is of what it said: of several takes of a text, the surest is the best read."""

from __future__ import annotations

from keras import ops

from myxtts.audio.mel import sequence_mask
from myxtts.config import TrainingConfig
from myxtts.losses import forward_sum_loss
from myxtts.models.gpt import GPT

# Added to attention weights before their logarithm.
LEAST_ATTENTION = 1e-6


def reading_blocks(training: TrainingConfig) -> tuple[int, ...]:
    """GPT blocks that were taught where in the text they speak; none without that loss."""
    return training.alignment_blocks if training.alignment_loss_weight else ()


def reading_attention(outputs: dict, heads: int):
    """Of the first ``heads`` of these blocks, ``(batch, heads, codes, text)``.

    Args:
        outputs: of the GPT's call with ``attention_blocks``. Start and stop are left out.
        heads: how many of each block were taught.
    """
    return ops.concatenate([w[:, :heads, :-1, 1:-1] for w in outputs["attention"]], axis=1)


def confidence(gpt: GPT, inputs: dict, training: TrainingConfig):
    """Log-likelihood a code ``(batch,)`` in nats, never above 0; higher is surer.

    That of the codes themselves, their stop code too, and, where the GPT was taught to look at
    what it speaks, that of a reading of the whole text in order: the summed weight of all
    monotonic alignments of its attention. Tortoise (Betker 2023) ranks its takes likewise, by a
    model of its own (CLVP).

    Args:
        gpt: what said the codes.
        inputs: of its call; ``code_lengths`` at least 1.
        training: how it was trained.
    """
    blocks = reading_blocks(training)
    outputs = gpt(inputs, attention_blocks=blocks)
    lengths = inputs["code_lengths"]
    found = _of_codes(outputs, lengths + 1)
    if blocks:
        attention = ops.mean(reading_attention(outputs, training.alignment_heads), axis=1)
        weights = ops.log(attention + LEAST_ATTENTION)
        losses, _ = forward_sum_loss(weights, lengths, inputs["text_lengths"])
        found -= losses / ops.cast(lengths, "float32")
    return found


def _of_codes(outputs: dict, lengths):
    """Mean log-likelihood of the codes and their stop, ``(batch,)``."""
    own = sequence_mask(lengths, ops.shape(outputs["audio_targets"])[1])
    targets = ops.where(own, outputs["audio_targets"], 0)
    logits = ops.log_softmax(ops.cast(outputs["audio_logits"], "float32"), axis=-1)
    likely = ops.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return ops.sum(ops.where(own, likely, 0.0), axis=1) / ops.cast(lengths, "float32")
