"""Autoregressive generation of audio codes with a static key-value cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from keras import ops

from myxtts.generation.sampling import (
    REMOVED,
    check_sampling,
    draw,
    filter_logits,
    penalise_repetition,
)
from myxtts.models.attention import HIDDEN, causal_bias, key_bias, write_slot

if TYPE_CHECKING:
    from myxtts.models.gpt import GPT


def generate(gpt: GPT, text_ids, text_lengths, conditioning_latents, uniforms, **sampling) -> dict:
    """Generate audio codes until every row has stopped or the uniforms are used up.

    It runs inside a graph, compiled by XLA or not, and is a function of its
    inputs alone.

    Args:
        gpt: the model.
        text_ids: int ``(batch, text)``, padded, without start and stop.
        text_lengths: int ``(batch,)``.
        conditioning_latents: ``(batch, latents, model_dim)``.
        uniforms: float ``(batch, steps)`` in [0, 1), one number a draw.
        sampling: see :func:`advance`.

    Returns:
        ``codes`` int ``(batch, steps)`` padded with the stop code, ``lengths`` ``(batch,)``
        without the stop code, ``latents`` ``(batch, steps, model_dim)`` (latent i predicted
        code i) and ``finished`` bool ``(batch,)``, False where the steps ran out. At most
        ``gpt.max_new_codes`` steps are made.

    Raises:
        ConfigError: a sampling option is out of range, or the text is too long.
    """
    uniforms = uniforms[:, : gpt.max_new_codes]
    compatible = sampling.get("coqui_compatible", False)
    steps = ops.shape(uniforms)[1]
    state = begin(gpt, text_ids, text_lengths, conditioning_latents, steps, compatible)
    result, _ = advance(gpt, state, uniforms, **sampling)
    return result


def begin(
    gpt: GPT,
    text_ids,
    text_lengths,
    conditioning_latents,
    capacity,
    coqui_compatible: bool = False,
    codes=None,
) -> dict:
    """Read the prompt; the state from which :func:`advance` can make ``capacity`` codes.

    Args:
        gpt, text_ids, text_lengths, conditioning_latents: as for :func:`generate`.
        capacity: codes there is to be room for, beside those of ``codes``.
        coqui_compatible: count code 1 and the start code as spoken already, which is what
            the placeholder ids of Coqui's prompt do to its repetition penalty.
        codes: int ``(batch, made)``, spoken before and read again, for a speaker without
            memory; rows that have ended go on with stop codes.

    Returns:
        ``step`` (codes made so far), ``latent`` ``(batch, 1, model_dim)`` of the next code,
        ``latents`` ``(batch, made, model_dim)`` that predicted ``codes``,
        ``finished`` ``(batch,)``, ``seen`` ``(batch, num_audio_tokens)``, ``valid``
        ``(batch, slots)`` and ``caches``, keys and values of every block.
    """
    prompt, valid = gpt.prompt(text_ids, text_lengths, conditioning_latents)
    batch = ops.shape(prompt)[0]
    if codes is None:
        codes = ops.zeros((batch, 0), dtype="int32")
    made = ops.shape(codes)[1]
    valid = ops.concatenate([valid, ops.ones((batch, made + capacity), dtype="bool")], axis=1)
    prompt = ops.concatenate([prompt, gpt.embed_codes(codes, 1)], axis=1)
    latents, caches = _read_prompt(gpt, prompt, valid, made + 1)
    return {
        "step": ops.convert_to_tensor(made, dtype="int32"),
        "latent": latents[:, -1:],
        "latents": latents[:, :-1],
        "finished": ops.any(ops.equal(codes, gpt.stop_audio_token), axis=1),
        "seen": _seen(gpt, codes, coqui_compatible),
        "valid": valid,
        "caches": caches,
        "capacity": ops.convert_to_tensor(made + capacity, dtype="int32"),
    }


def grow(state: dict, more: int) -> dict:
    """A state of :func:`begin` or :func:`advance` with room for ``more`` codes.

    A step takes longer the more room there is, so that it is best made as it is needed.
    """
    room = [[0, 0], [0, 0], [0, more], [0, 0]]
    return state | {
        "valid": ops.pad(state["valid"], [[0, 0], [0, more]], constant_values=True),
        "caches": [
            (ops.pad(keys, room), ops.pad(values, room)) for keys, values in state["caches"]
        ],
        "capacity": state["capacity"] + more,
    }


def advance(
    gpt: GPT,
    state: dict,
    uniforms,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    greedy=False,
    min_codes=0,
    max_codes=None,
    limit=None,
    coqui_compatible: bool = False,
    read: Callable | None = None,
) -> tuple[dict, dict]:
    """Make the next codes, one for each column of ``uniforms``.

    Args:
        gpt: the model.
        state: of :func:`begin` or of an earlier call.
        uniforms: float ``(batch, steps)`` in [0, 1), no more than there is capacity left.
        temperature, top_k, top_p, repetition_penalty: see :mod:`myxtts.generation.sampling`;
            0 for ``top_k`` and 1 for the others leave the distribution alone. Each is a
            number, or a tensor ``(batch, 1)``.
        greedy: take the likeliest code instead of drawing; a bool, or bool ``(batch,)``.
        min_codes: the stop code is not chosen before so many codes, counted from the
            beginning of the speech; a number, or int ``(batch, 1)``.
        max_codes: rows ``(batch,)`` end after so many codes; None for the steps alone.
        limit: steps made of those that ``uniforms`` has columns for; None for all. As a
            tensor it leaves the shapes, which XLA compiles for, as they are.
        coqui_compatible: leave the start code among those that may be chosen, as Coqui does.
        read: what reads the chosen codes in the GPT's place: given codes, step and caches, it
            returns what :func:`read_code` does; None for the GPT.

    Returns:
        What :func:`generate` returns, of these steps, and the state after them.

    Raises:
        ConfigError: a sampling option is out of range.
    """
    check_sampling(
        temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=repetition_penalty
    )
    batch, steps = ops.shape(uniforms)[0], ops.shape(uniforms)[1]
    first = state["step"]

    if read is None:

        def read(codes, step, caches):
            return read_code(gpt, codes, step, caches, state)

    def choose(latent, seen, step):
        logits = next_logits(gpt, latent, first + step, min_codes, coqui_compatible)
        logits = penalise_repetition(logits, seen, repetition_penalty)
        likeliest = ops.cast(ops.argmax(logits, axis=-1), "int32")
        if greedy is True:
            return likeliest
        uniform = ops.take(uniforms, step, axis=1)
        drawn = draw(filter_logits(logits, temperature, top_k, top_p), uniform)
        return drawn if greedy is False else ops.where(greedy, likeliest, drawn)

    def body(step, latent, codes, latents, finished, seen, caches):
        chosen = choose(latent, seen, step)
        finished = ops.logical_or(finished, ops.equal(chosen, gpt.stop_audio_token))
        if max_codes is not None:
            finished = ops.logical_or(finished, first + step >= max_codes)
        chosen = ops.where(finished, gpt.stop_audio_token, chosen)
        codes = write_slot(codes[..., None], step, chosen)[..., 0]
        latents = write_slot(latents, step, latent)
        seen = ops.logical_or(seen, ops.one_hot(chosen, gpt.num_audio_tokens, dtype="bool"))
        latent, caches = read(chosen, first + step, caches)
        return step + 1, latent, codes, latents, finished, seen, caches

    def going_on(step, latent, codes, latents, finished, seen, caches):
        return ops.logical_not(ops.all(finished))

    loop = (
        ops.convert_to_tensor(0, dtype="int32"),
        state["latent"],
        ops.full((batch, steps), gpt.stop_audio_token, dtype="int32"),
        ops.zeros((batch, steps, gpt.model_dim), dtype=state["latent"].dtype),
        state["finished"],
        state["seen"],
        state["caches"],
    )
    made, latent, codes, latents, finished, seen, caches = ops.while_loop(
        going_on, body, loop, maximum_iterations=steps if limit is None else limit
    )
    lengths = ops.sum(ops.cast(ops.not_equal(codes, gpt.stop_audio_token), "int32"), axis=1)
    after = {"step": first + made, "latent": latent, "finished": finished, "seen": seen}
    result = {"codes": codes, "lengths": lengths, "latents": latents, "finished": finished}
    return result, state | after | {"caches": caches}


def next_logits(gpt: GPT, latent, step, min_codes, coqui_compatible: bool):
    """Scores of the code that ``latent`` predicts, without those it may not be.

    Args:
        gpt: the model.
        latent: ``(batch, 1, model_dim)``.
        step: codes made so far.
        min_codes, coqui_compatible: see :func:`advance`.

    Returns:
        float32 ``(batch, num_audio_tokens)``.
    """
    logits = ops.cast(gpt.audio_head(latent[:, 0]), "float32")
    if not coqui_compatible:
        # The start code has no place inside speech.
        start = ops.one_hot(gpt.start_audio_token, gpt.num_audio_tokens, dtype="float32")
        logits = logits + REMOVED * start
    stop = ops.one_hot(gpt.stop_audio_token, gpt.num_audio_tokens, dtype="float32")
    return logits + ops.where(step < min_codes, REMOVED, 0.0) * stop


def read_code(gpt: GPT, codes, step, caches, state: dict):
    """Read the codes ``(batch,)`` chosen at ``step``.

    Args:
        gpt: the model.
        codes: int ``(batch,)``.
        step: codes made before them.
        caches: keys and values of every block.
        state: of :func:`begin`, for its ``valid`` and ``capacity``.

    Returns:
        The latent ``(batch, 1, model_dim)`` of the next code, and the caches.
    """
    valid = state["valid"]
    slots = ops.arange(ops.shape(valid)[1])
    slot = ops.shape(valid)[1] - state["capacity"] + step
    bias = key_bias(valid) + ops.where(slots <= slot, 0.0, HIDDEN)
    return _decode_step(gpt, gpt.embed_code(codes, step + 1), caches, slot, bias)


def _seen(gpt: GPT, codes, coqui_compatible: bool):
    """Codes that count as spoken, bool ``(batch, num_audio_tokens)``."""
    kinds = gpt.num_audio_tokens
    if coqui_compatible:
        placeholders = ops.convert_to_tensor([[1, gpt.start_audio_token]], dtype="int32")
        placeholders = ops.broadcast_to(placeholders, (ops.shape(codes)[0], 2))
        codes = ops.concatenate([placeholders, codes], axis=1)
    return ops.any(ops.one_hot(codes, kinds, dtype="bool"), axis=1)


def _read_prompt(gpt: GPT, prompt, valid, wanted):
    """Run the prompt; its last ``wanted`` latents, and caches with room for all of ``valid``."""
    length = ops.shape(prompt)[1]
    bias = causal_bias(length) + key_bias(valid[:, :length])
    hidden, caches = prompt, []
    for block in gpt.blocks:
        hidden, (keys, values) = block(hidden, bias)
        room = [[0, 0], [0, 0], [0, ops.shape(valid)[1] - length], [0, 0]]
        caches.append((ops.pad(keys, room), ops.pad(values, room)))
    return gpt.finish(hidden[:, -wanted:]), caches


def _decode_step(gpt: GPT, hidden, caches, slot, bias):
    """Latent ``(batch, 1, dim)`` after one more code, whose keys go to ``slot``."""
    updated = []
    for block, (keys, values) in zip(gpt.blocks, caches, strict=True):
        hidden, cache = block(hidden, bias, cache=(keys, values, slot))
        updated.append(cache)
    return gpt.finish(hidden), updated
