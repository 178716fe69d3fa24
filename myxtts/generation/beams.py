"""Beam search over audio codes: deterministic, and the one place a length penalty acts.

Scores follow Hugging Face's ``generate`` (``num_beams``, ``length_penalty``,
``early_stopping=False``), which is what Coqui's ``inference`` runs: a step adds the
code's log-probability, to which the repetition penalty has been applied after the
softmax; an ended hypothesis is ranked by its sum divided by ``codes ** length_penalty``,
where its codes count the stop code and nothing of the prompt.

Axes: B texts, K beams a text, S steps. A *slot* is a row of the cache, one of the K.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras import ops

from myxtts.errors import ConfigError
from myxtts.generation.sampling import REMOVED, check_sampling, penalise_repetition
from myxtts.generation.state import begin, next_logits, read_code
from myxtts.models.attention import write_slot

if TYPE_CHECKING:
    from myxtts.models.gpt import GPT

NONE = float("-inf")


def beam_search(
    gpt: GPT,
    text_ids,
    text_lengths,
    conditioning_latents,
    steps,
    *,
    num_beams: int,
    length_penalty: float = 1.0,
    repetition_penalty: float = 1.0,
    min_codes=0,
    coqui_compatible: bool = False,
) -> dict:
    """The likeliest speech that ``num_beams`` hypotheses a text lead to.

    It runs inside a graph and is a function of its inputs alone. One beam is greedy speech.

    Args:
        gpt: the model.
        text_ids: int ``(batch, text)``, padded, without start and stop.
        text_lengths: int ``(batch,)``.
        conditioning_latents: ``(batch, latents, model_dim)``.
        steps: longest speech in codes; no more than ``gpt.max_new_codes`` are made.
        num_beams: hypotheses kept a text; memory and time grow with it.
        length_penalty: exponent of the length that divides a hypothesis' score; scores are
            negative, so more of it favours longer speech.
        repetition_penalty: multiplies the log-probability of codes already spoken.
        min_codes: the stop code is not chosen before so many codes.
        coqui_compatible: Coqui's penalised and allowed codes, as in
            :func:`myxtts.generation.state.begin` and ``advance``, and a hypothesis cut at
            the last step may beat one that has ended. Otherwise it is taken only where
            none has ended.

    Returns:
        As :func:`myxtts.generation.state.generate`: ``codes``, ``lengths``, ``latents`` and
        ``finished``. Latents after the one that predicted the stop code are zero.

    Raises:
        ConfigError: an option is out of range, or the text is too long.
    """
    check_beams(num_beams, length_penalty)
    check_sampling(repetition_penalty=repetition_penalty)
    limit = gpt.max_new_codes
    steps = min(steps, limit) if isinstance(steps, int) else ops.minimum(steps, limit)
    prompt = begin(gpt, text_ids, text_lengths, conditioning_latents, steps, coqui_compatible)
    search = _Search(
        gpt,
        {name: _repeated(value, num_beams) for name, value in prompt.items()},
        num_beams,
        length_penalty,
        repetition_penalty,
        min_codes,
        coqui_compatible,
    )
    state = ops.while_loop(
        search.going_on, search.advance, search.start(steps), maximum_iterations=steps
    )
    return search.result(state)


def check_beams(num_beams: int, length_penalty: float) -> None:
    """Raise ``ConfigError`` for a value out of range; a penalty as a tensor passes unchecked."""
    if num_beams < 1:
        raise ConfigError(f"num_beams must be at least 1, not {num_beams!r}.")
    if isinstance(length_penalty, (int, float)) and not -10 <= length_penalty <= 10:
        raise ConfigError(f"length_penalty must be from -10 to 10, not {length_penalty!r}.")


@dataclass(frozen=True)
class _Search:
    """The rules of one search.

    Hypotheses are dictionaries of ``scores`` ``(B, K)``, ``codes`` ``(B, K, S)`` and
    ``slots`` ``(B, K, S)``: the slot from whose latent each code was predicted, so that
    latents can stay where they were made.
    """

    gpt: GPT
    prompt: dict
    beams: int
    length_penalty: float
    repetition_penalty: float
    min_codes: int
    coqui_compatible: bool

    def start(self, steps) -> dict:
        """The state of the loop before the first code."""
        latent = self.prompt["latent"]
        rows = ops.shape(latent)[0]
        batch = rows // self.beams
        # All beams begin alike: only the first may go on, or they would stay alike.
        first = ops.where(ops.equal(ops.arange(self.beams), 0), 0.0, NONE)
        running = {
            "scores": ops.broadcast_to(first[None], (batch, self.beams)),
            "codes": ops.full((batch, self.beams, steps), self.gpt.stop_audio_token, dtype="int32"),
            "slots": ops.zeros((batch, self.beams, steps), dtype="int32"),
        }
        return {
            "step": self.prompt["step"],
            "latent": latent,
            "latents": ops.zeros((rows, steps, self.gpt.model_dim), dtype=latent.dtype),
            "seen": self.prompt["seen"],
            "caches": self.prompt["caches"],
            "running": running,
            "ended": running | {"scores": ops.full((batch, self.beams), NONE, dtype="float32")},
            "open": ops.ones((batch,), dtype="bool"),
        }

    def going_on(self, state: dict):
        """Whether a text is left whose running hypotheses may beat the ended ones."""
        return ops.any(state["open"])

    def advance(self, state: dict) -> dict:
        """One code for every running hypothesis, and what ends with it."""
        step = state["step"]
        candidates = self._candidates(state)
        stops = ops.equal(ops.take(candidates["codes"], step, axis=2), self.gpt.stop_audio_token)
        going = candidates | {"scores": ops.where(stops, NONE, candidates["scores"])}
        running = _best(going, self.beams)
        ended = self._ended(state, candidates, stops)
        hopes = running["scores"][:, 0] / self._divisor(step + 1)
        can_improve = hopes > ended["scores"][:, -1]
        return state | {
            "step": step + 1,
            "latents": write_slot(state["latents"], step, state["latent"]),
            "running": running,
            "ended": ended,
            "open": ops.logical_and(state["open"], can_improve),
            **self._followed(state, running),
        }

    def result(self, state: dict) -> dict:
        """The best hypothesis of every text, as ``generate`` returns it."""
        running, ended = state["running"], state["ended"]
        cut = self._cut(state)
        codes, slots = (
            ops.where(cut[:, None], running[name][:, 0], ended[name][:, 0])
            for name in ("codes", "slots")
        )
        spoken = ops.cast(ops.not_equal(codes, self.gpt.stop_audio_token), "int32")
        lengths = ops.sum(spoken, axis=1)
        heard = ops.arange(ops.shape(codes)[1]) <= lengths[:, None]
        latents = self._latents(state["latents"], slots)
        return {
            "codes": codes,
            "lengths": lengths,
            "latents": ops.where(heard[..., None], latents, ops.zeros_like(latents)),
            "finished": ops.logical_not(cut),
        }

    def _candidates(self, state: dict) -> dict:
        """The best ``2 K`` continuations of the running hypotheses.

        At most K of them stop, so that K are left to go on.
        """
        running, step, classes = state["running"], state["step"], self.gpt.num_audio_tokens
        logits = next_logits(self.gpt, state["latent"], step, self.min_codes, self.coqui_compatible)
        added = ops.log_softmax(logits, axis=-1)
        added = penalise_repetition(added, state["seen"], self.repetition_penalty)
        scores = ops.reshape(added, (-1, self.beams, classes)) + running["scores"][..., None]
        scores = ops.where(scores < REMOVED / 2, NONE, scores)
        joined = ops.reshape(scores, (-1, self.beams * classes))
        scores, places = ops.top_k(joined, 2 * self.beams)
        parents, chosen = places // classes, places % classes
        now = ops.equal(ops.arange(ops.shape(running["codes"])[2]), step)
        return {
            "scores": scores,
            "codes": ops.where(now, chosen[..., None], _rows(running["codes"], parents)),
            "slots": ops.where(now, parents[..., None], _rows(running["slots"], parents)),
        }

    def _ended(self, state: dict, candidates: dict, stops) -> dict:
        """The best K that have ended; of this step's, only those among its best K count."""
        counts = ops.logical_and(stops, ops.arange(2 * self.beams) < self.beams)
        counts = ops.logical_and(counts, state["open"][:, None])
        ranked = candidates["scores"] / self._divisor(state["step"] + 1)
        new = candidates | {"scores": ops.where(counts, ranked, NONE)}
        old = state["ended"]
        merged = {name: ops.concatenate([old[name], new[name]], axis=1) for name in old}
        return _best(merged, self.beams)

    def _followed(self, state: dict, running: dict) -> dict:
        """Latents, seen codes and caches after the last codes of ``running``."""
        step = state["step"]
        parents, codes = (ops.take(running[name], step, axis=2) for name in ("slots", "codes"))
        rows = _flat(parents, self.beams)
        codes = ops.reshape(codes, (-1,))
        said = ops.one_hot(codes, self.gpt.num_audio_tokens, dtype="bool")
        seen = ops.logical_or(ops.take(state["seen"], rows, axis=0), said)
        caches = [
            tuple(ops.take(item, rows, axis=0) for item in cache) for cache in state["caches"]
        ]
        latent, caches = read_code(self.gpt, codes, step, caches, self.prompt)
        return {"latent": latent, "seen": seen, "caches": caches}

    def _cut(self, state: dict):
        """Where the best hypothesis is one that the last step has cut, bool ``(B,)``."""
        best = state["ended"]["scores"][:, 0]
        if not self.coqui_compatible:
            return ops.isinf(best)
        rival = state["running"]["scores"][:, 0] / self._divisor(state["step"])
        return ops.logical_and(state["open"], rival > best)

    def _latents(self, latents, slots):
        """Latents ``(B, S, model_dim)`` of the slots ``(B, S)``."""
        steps = ops.shape(slots)[1]
        places = ops.reshape(_flat(slots, self.beams), (-1, steps)) * steps + ops.arange(steps)
        return ops.take(ops.reshape(latents, (-1, self.gpt.model_dim)), places, axis=0)

    def _divisor(self, length):
        return ops.power(ops.cast(length, "float32"), self.length_penalty)


def _best(hypotheses: dict, count: int) -> dict:
    """The ``count`` hypotheses of the highest scores, best first."""
    scores, places = ops.top_k(hypotheses["scores"], count)
    chosen = {name: _rows(hypotheses[name], places) for name in ("codes", "slots")}
    return {"scores": scores, **chosen}


def _rows(values, places):
    """``(B, N, S)`` values at the places ``(B, M)`` of their second axis, ``(B, M, S)``."""
    batch, count, steps = ops.shape(values)
    rows = ops.take(ops.reshape(values, (-1, steps)), _flat(places, count), axis=0)
    return ops.reshape(rows, (batch, places.shape[1], steps))


def _flat(places, count: int):
    """Places ``(B, M)`` among ``count`` of each text, ``(B * M,)`` among those of all."""
    return ops.reshape(ops.arange(ops.shape(places)[0])[:, None] * count + places, (-1,))


def _repeated(value, beams: int):
    """A batch, or nested batches, with every row ``beams`` times in a row."""
    if isinstance(value, (list, tuple)):
        return type(value)(_repeated(item, beams) for item in value)
    return ops.repeat(value, beams, axis=0) if len(value.shape) else value
