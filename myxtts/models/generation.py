"""Autoregressive generation of audio codes with a static key-value cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras import ops

from myxtts.models.conditioning import HIDDEN, causal_bias, key_bias
from myxtts.models.sampling import (
    REMOVED,
    check_sampling,
    draw,
    filter_logits,
    penalise_repetition,
)

if TYPE_CHECKING:
    from myxtts.models.gpt import GPT


def generate(
    gpt: GPT,
    text_ids,
    text_lengths,
    conditioning_latents,
    uniforms,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    greedy: bool = False,
) -> dict:
    """Generate audio codes until every row has stopped or the uniforms are used up.

    It runs inside a graph, compiled by XLA or not, and is a function of its
    inputs alone.

    Args:
        gpt: the model.
        text_ids: int ``(batch, text)``, padded, without start and stop.
        text_lengths: int ``(batch,)``.
        conditioning_latents: ``(batch, latents, model_dim)``.
        uniforms: float ``(batch, steps)`` in [0, 1), one number a draw.
        temperature, top_k, top_p, repetition_penalty: see :mod:`myxtts.models.sampling`;
            0 for ``top_k`` and 1 for the others leave the distribution alone.
        greedy: take the likeliest code instead of drawing.

    Returns:
        ``codes`` int ``(batch, steps)`` padded with the stop code, ``lengths`` ``(batch,)``
        without the stop code, ``latents`` ``(batch, steps, model_dim)`` (latent i predicted
        code i) and ``finished`` bool ``(batch,)``, False where the steps ran out. At most
        ``gpt.max_new_codes`` steps are made.

    Raises:
        ConfigError: a sampling option is out of range, or the text is too long.
    """
    check_sampling(temperature, top_k, top_p, repetition_penalty)
    uniforms = uniforms[:, : gpt.max_new_codes]
    batch, steps = ops.shape(uniforms)[0], ops.shape(uniforms)[1]
    prompt, valid = gpt.prompt(text_ids, text_lengths, conditioning_latents)
    first_slot = ops.shape(prompt)[1]
    latent, caches = _read_prompt(gpt, prompt, valid, steps)
    cache_valid = ops.concatenate([valid, ops.ones((batch, steps), dtype="bool")], axis=1)
    slots = ops.arange(first_slot + steps)

    def choose(latent, seen, step):
        logits = ops.cast(gpt.audio_head(latent[:, 0]), "float32")
        # The start code has no place inside speech.
        start = ops.one_hot(gpt.start_audio_token, gpt.num_audio_tokens, dtype="float32")
        logits = penalise_repetition(logits + REMOVED * start, seen, repetition_penalty)
        if greedy:
            return ops.cast(ops.argmax(logits, axis=-1), "int32")
        uniform = ops.take(uniforms, step, axis=1)
        return draw(filter_logits(logits, temperature, top_k, top_p), uniform)

    def body(step, latent, codes, latents, finished, seen, caches):
        chosen = choose(latent, seen, step)
        finished = ops.logical_or(finished, ops.equal(chosen, gpt.stop_audio_token))
        chosen = ops.where(finished, gpt.stop_audio_token, chosen)
        codes = ops.slice_update(codes, (0, step), chosen[:, None])
        latents = ops.slice_update(latents, (0, step, 0), latent)
        seen = ops.logical_or(seen, ops.one_hot(chosen, gpt.num_audio_tokens, dtype="bool"))
        bias = key_bias(cache_valid) + ops.where(slots <= first_slot + step, 0.0, HIDDEN)
        latent, caches = _decode_step(
            gpt, gpt.embed_code(chosen, step + 1), caches, first_slot + step, bias
        )
        return step + 1, latent, codes, latents, finished, seen, caches

    def going_on(step, latent, codes, latents, finished, seen, caches):
        return ops.logical_not(ops.all(finished))

    state = (
        ops.convert_to_tensor(0, dtype="int32"),
        latent,
        ops.full((batch, steps), gpt.stop_audio_token, dtype="int32"),
        ops.zeros((batch, steps, gpt.model_dim), dtype=latent.dtype),
        ops.zeros((batch,), dtype="bool"),
        ops.zeros((batch, gpt.num_audio_tokens), dtype="bool"),
        caches,
    )
    _, _, codes, latents, finished, _, _ = ops.while_loop(
        going_on, body, state, maximum_iterations=steps
    )
    lengths = ops.sum(ops.cast(ops.not_equal(codes, gpt.stop_audio_token), "int32"), axis=1)
    return {"codes": codes, "lengths": lengths, "latents": latents, "finished": finished}


def _read_prompt(gpt: GPT, prompt, valid, steps):
    """Run the prompt, and return the last latent ``(batch, 1, dim)`` and caches with room."""
    bias = causal_bias(ops.shape(prompt)[1]) + key_bias(valid)
    hidden, caches = prompt, []
    for block in gpt.blocks:
        hidden, (keys, values) = block(hidden, bias)
        room = [[0, 0], [0, 0], [0, steps], [0, 0]]
        caches.append((ops.pad(keys, room), ops.pad(values, room)))
    return gpt.finish(hidden[:, -1:]), caches


def _decode_step(gpt: GPT, hidden, caches, slot, bias):
    """Latent ``(batch, 1, dim)`` after one more code, whose keys go to ``slot``."""
    updated = []
    for block, (keys, values) in zip(gpt.blocks, caches, strict=True):
        hidden, cache = block(hidden, bias, cache=(keys, values, slot))
        updated.append(cache)
    return gpt.finish(hidden), updated
