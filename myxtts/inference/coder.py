"""Audio codes of a piece of text, all at once or as they come."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from myxtts.config import SynthesisConfig
from myxtts.generation.beams import beam_search
from myxtts.generation.driver import chunk_codes
from myxtts.generation.sampling import RULES, drawing
from myxtts.generation.state import advance, begin, grow
from myxtts.inference.int8_engine import Int8Engine
from myxtts.models.gpt import GPT

logger = logging.getLogger(__name__)

# Texts are padded to these multiples so that few shapes serve all.
TEXT_MULTIPLE = 32
# Codes that are made, and made room for, at once.
BLOCK = 128
# XLA compiles for every size of the cache.
SLOT_MULTIPLE = 256


@dataclass(frozen=True)
class Request:
    """What a piece of text asks of the GPT.

    Attributes:
        ids: text ids ``(length,)``.
        latents: of the voice, ``(1, latents, model_dim)``.
        bound: codes at most.
        least: codes before which the speech may not end.
        rng: to draw with.
    """

    ids: np.ndarray
    latents: np.ndarray
    bound: int
    least: int
    rng: np.random.Generator


@dataclass(frozen=True)
class Codes:
    """Consecutive audio codes.

    Attributes:
        codes: int ``(length,)``, without the stop code.
        latents: float32 ``(length, model_dim)``, with the stop code's at the end if it came.
        finished: whether the stop code came.
    """

    codes: np.ndarray
    latents: np.ndarray
    finished: bool


class Coder:
    """Speaks audio codes with a GPT.

    With ``settings.xla`` the steps are compiled: much faster, after seconds of compiling
    for each size of the cache (multiples of 256 positions). With ``settings.engine`` ``int8``
    they are those of an :class:`~myxtts.inference.int8_engine.Int8Engine`, but for a beam search.

    Attributes:
        engine: what computes the steps, as in ``settings``.

    Args:
        gpt: of the model.
        settings: of the sampling.
    """

    def __init__(self, gpt: GPT, settings: SynthesisConfig):
        self.gpt = gpt
        self.settings = settings
        self._int8 = self._make_int8()
        self.engine = "int8" if self._int8 else "tensorflow"
        once = {"reduce_retracing": True, "autograph": False}
        self._beams = tf.function(self._beam_search, **once)
        self._start = tf.function(self._begin, **once)
        self._next = tf.function(self._advance, jit_compile=settings.xla, **once)

    def whole(self, request: Request) -> Codes:
        """All codes of ``request``."""
        return self.together([request])[0]

    def together(self, requests: Sequence[Request]) -> list[Codes]:
        """All codes of each of ``requests``, which differ in ``rng`` alone, as one batch."""
        if self.settings.num_beams > 1:
            return list(map(self._search, requests))
        # Compiled steps are those of a stream, so that they are compiled once.
        size = self.settings.stream_codes if self.settings.xla else BLOCK
        return rows_of(list(self._spoken(requests, itertools.repeat(size), size)))

    def blocks(self, requests: Sequence[Request]) -> Iterator[list[Codes]]:
        """The same codes, as many at a time as a stream's chunks have, as they are made.

        :func:`rows_of` makes of all of them what :meth:`together` gives.
        """
        yield from self._spoken(requests, chunk_codes(self.settings), self.settings.stream_codes)

    def pieces(self, request: Request) -> Iterator[Codes]:
        """Those of one request."""
        for (piece,) in self.blocks([request]):
            yield piece

    def _search(self, request: Request) -> Codes:
        # It weighs what the bound cuts, so it must not look beyond it.
        steps, least = tf.constant(request.bound), tf.constant(request.least)
        text = padded_text(request, self.gpt.max_text_tokens)
        result = self._beams(*text, request.latents, steps, least)
        return _trimmed(result, 0, request.bound)

    def _spoken(
        self, requests: Sequence[Request], counts: Iterator[int], size: int
    ) -> Iterator[list[Codes]]:
        """Pieces of ``counts`` codes, ``size`` at most; the cache grows with them."""
        request, rows = requests[0], len(requests)
        uniforms = np.stack([one.rng.random(request.bound, "float32") for one in requests])
        uniforms = np.pad(uniforms, [(0, 0), (0, size)])
        ids, lengths = padded_text(request, self.gpt.max_text_tokens)
        text = tf.repeat(ids, rows, axis=0), tf.repeat(lengths, rows)
        latents, least = np.repeat(request.latents, rows, axis=0), tf.constant(request.least)
        prompt = latents.shape[1] + ids.shape[1] + 3
        # Nothing is read of the other engine's room before something is written to it.
        room = request.bound + size if self._int8 else self._room(prompt, size)
        state = self._opened(text, latents, room)
        made, finished = 0, False
        try:
            while not finished and made < request.bound:
                if made + size > room:
                    more = self._room(prompt + room, size)
                    state, room = grow(state, more), room + more
                wanted = min(next(counts), request.bound - made)
                drawn = tf.constant(uniforms[:, made : made + size])
                result, state = self._next(state, drawn, least, tf.constant(wanted))
                made += wanted
                pieces = [_trimmed(result, row, wanted) for row in range(rows)]
                finished = all(piece.finished for piece in pieces)
                yield pieces
        finally:
            if self._int8:
                self._int8.close(state)

    def _make_int8(self) -> Int8Engine | None:
        """The engine that the settings ask for, where that is not TensorFlow."""
        if self.settings.engine != "int8":
            return None
        if self.settings.num_beams > 1:
            logger.info("a beam search is made by TensorFlow in float32; --engine int8 has none.")
            return None
        return Int8Engine(self.gpt, self.settings.threads)

    def _opened(self, text: tuple, latents: np.ndarray, room: int) -> dict:
        """The state behind the prompt, with room for so many codes."""
        if self._int8 is None:
            return self._start(*text, latents, tf.constant(room))
        return self._int8.take_over(self._start(*text, latents, tf.constant(0)), room)

    def _room(self, taken: int, size: int) -> int:
        """Codes to make room for, behind so many positions."""
        if self.settings.xla:
            return round_up(taken + size, SLOT_MULTIPLE) - taken
        return max(size, BLOCK)

    def _beam_search(self, text_ids, text_lengths, latents, steps, least):
        settings = self.settings
        return beam_search(
            self.gpt,
            text_ids,
            text_lengths,
            latents,
            steps,
            num_beams=settings.num_beams,
            length_penalty=settings.length_penalty,
            repetition_penalty=settings.repetition_penalty,
            min_codes=least,
            coqui_compatible=settings.coqui_compatible,
        )

    def _begin(self, text_ids, text_lengths, latents, capacity):
        compatible = self.settings.coqui_compatible
        return begin(self.gpt, text_ids, text_lengths, latents, capacity, compatible)

    def _advance(self, state, uniforms, least, limit):
        bounds = {"min_codes": least, "limit": limit}
        if self._int8:
            bounds["read"] = self._int8.read
        return advance(self.gpt, state, uniforms, **bounds, **self._sampling())

    def _sampling(self) -> dict:
        settings = self.settings
        chosen = {name: getattr(settings, name) for name in RULES}
        return drawing(**chosen) | {"coqui_compatible": settings.coqui_compatible}


def padded_text(request: Request, most: int) -> tuple:
    """Text ids ``(1, length)``, padded but to no more than ``most``, and their length ``(1,)``."""
    length = len(request.ids)
    ids = np.zeros((1, min(round_up(length, TEXT_MULTIPLE), most)), "int32")
    ids[0, :length] = request.ids
    return tf.constant(ids), tf.constant([length])


def round_up(value: int, multiple: int) -> int:
    """The smallest positive multiple that is not below ``value``."""
    return max(multiple, math.ceil(value / multiple) * multiple)


def _trimmed(result: dict, row: int, limit: int) -> Codes:
    """The first ``limit`` codes of a row that the GPT made; a stop beyond them is none."""
    length = min(int(result["lengths"][row]), limit)
    finished = bool(result["finished"][row]) and length < limit
    latents = np.asarray(result["latents"][row, : length + finished], "float32")
    return Codes(np.asarray(result["codes"][row, :length]), latents, finished)


def _until_finished(pieces: Sequence[Codes]) -> Sequence[Codes]:
    """Pieces of one row without those that were only made for the others."""
    ends = [number for number, piece in enumerate(pieces) if piece.finished]
    return pieces[: ends[0] + 1] if ends else pieces


def rows_of(blocks: Sequence[list[Codes]]) -> list[Codes]:
    """Blocks of several requests, made together, as the codes of each."""
    return [joined(_until_finished(row)) for row in zip(*blocks, strict=True)]


def joined(pieces: Sequence[Codes]) -> Codes:
    """Consecutive pieces as one."""
    return Codes(
        np.concatenate([piece.codes for piece in pieces]),
        np.concatenate([piece.latents for piece in pieces]),
        pieces[-1].finished,
    )
