"""How a text becomes speech, whoever makes the speech: pieces, attempts, pauses, chunks.

The synthesizer and the client of a served model both drive these; nothing here knows Keras.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from myxtts.config import SynthesisConfig
from myxtts.errors import TextError
from myxtts.text.front_end import Reader
from myxtts.text.languages import table_of
from myxtts.text.split import split_text
from myxtts.text.tokenizer import VoiceBpeTokenizer
from myxtts.timing import PAUSE_SAMPLES

logger = logging.getLogger(__name__)

# What may be wrong with a take.
FLAGS = ("unfinished", "repeats", "silence", "doubtful_stop")


class Take(Protocol):
    """Speech of one piece of a text.

    Attributes:
        waveform: float32 ``(samples,)``.
        flags: which of ``FLAGS`` hold.
        score: how good it is beside other takes of the piece; counts between candidates.
    """

    waveform: np.ndarray
    flags: tuple[str, ...]
    score: float


def text_pieces(
    text: str,
    language: str,
    settings: SynthesisConfig,
    tokenizer: VoiceBpeTokenizer | Reader | None = None,
    max_tokens: int = 0,
) -> list[str]:
    """What of ``text`` is spoken at once, one piece after the other.

    Args:
        text: any text, however long.
        language: of ``text``.
        settings: their ``max_characters``; 0 for what suits the language.
        tokenizer: counts a piece's tokens; None where characters alone bound it.
        max_tokens: most of a piece.

    Raises:
        TextError: nothing in ``text`` can be spoken, or the language is unknown.
    """
    # A lone surrogate, as a broken command line gives, is no character of any text.
    text = text.encode("utf-8", "ignore").decode("utf-8")
    longest = settings.max_characters or table_of(language).max_characters
    pieces = split_text(text, tokenizer, language, max_tokens, longest)
    if not pieces:
        raise TextError(f"the text {text[:40]!r} has nothing that can be spoken.")
    return pieces


@dataclass(frozen=True)
class Attempt:
    """One go at one piece of a text: the piece, its number, and the attempt's, from 0."""

    text: str
    piece: int = 0
    number: int = 0

    def seeds(self, seed: int) -> tuple[int, int]:
        """Seeds to draw with: equal pieces are not spoken equally, nor is a second attempt."""
        return seed + self.number, self.piece


class Reading:
    """A text being spoken: what is to be tried next, and the best takes so far.

    Iterating gives the attempts; each has to be answered by :meth:`add` before the next. Who can
    make several at once asks for :meth:`rounds`.

    Args:
        pieces: of :func:`text_pieces`.
        settings: how many takes without a flag are wanted of a piece, and how often it is tried
            again for a take that has one.

    Attributes:
        takes: of each piece the best of those without a flag, else of those with the fewest.
        attempts: that each of them took.
    """

    def __init__(self, pieces: list[str], settings: SynthesisConfig):
        self.takes: list[Take] = []
        self.attempts: list[int] = []
        self._pieces = pieces
        # Greedy speech would only say the same again.
        self._wanted = settings.candidates if settings.temperature else 1
        self._most = self._wanted + (settings.retries if settings.temperature else 0)
        self._tried: list[Take] = []

    def __iter__(self) -> Iterator[Attempt]:
        while len(self.takes) < len(self._pieces):
            yield self._attempt()

    def rounds(self) -> Iterator[list[Attempt]]:
        """Attempts at one piece that are all to be made, whatever becomes of each.

        All have to be answered by :meth:`add`, in their order, before the next round.
        """
        while len(self.takes) < len(self._pieces):
            count = 1 if self._tried else self._wanted
            yield [self._attempt(later) for later in range(count)]

    def _attempt(self, later: int = 0) -> Attempt:
        piece = len(self.takes)
        return Attempt(self._pieces[piece], piece, len(self._tried) + later)

    def add(self, take: Take) -> None:
        """Judge the take of the last attempt."""
        self._tried.append(take)
        if take.flags:
            piece, told = self._pieces[len(self.takes)], ", ".join(take.flags)
            logger.info("%r: %s in attempt %d", piece[:40], told, len(self._tried))
        sound = sum(not tried.flags for tried in self._tried)
        if sound == self._wanted or len(self._tried) == self._most:
            best = min(self._tried, key=lambda item: (len(item.flags), -item.score))
            self.takes.append(best)
            self.attempts.append(len(self._tried))
            self._tried = []

    def waveform(self) -> np.ndarray:
        """All takes joined, float32 ``(samples,)``, with pauses between them."""
        parts = [part for take in self.takes for part in (pause(), take.waveform)]
        return np.concatenate(parts[1:]).astype("float32")


def pause() -> np.ndarray:
    """Silence ``(samples,)`` between two pieces."""
    return np.zeros(PAUSE_SAMPLES, "float32")


def chunk_codes(settings: SynthesisConfig) -> Iterator[int]:
    """Audio codes of each chunk of a stream: few at first, so that something is soon heard."""
    first = min(settings.first_codes, settings.stream_codes)
    return itertools.chain([first], itertools.repeat(settings.stream_codes))


class SpeechStream(Iterator[np.ndarray]):
    """Chunks of a text's speech, float32 ``(samples,)`` at 24 kHz, as they are made.

    Args:
        pieces: of :func:`text_pieces`.
        speak: gives the chunks of an attempt, the only one at its piece, and returns the flags
            of the whole.

    Attributes:
        flags: of each piece that has been spoken to its end.
    """

    def __init__(
        self,
        pieces: list[str],
        speak: Callable[[Attempt], Generator[np.ndarray, None, tuple[str, ...]]],
    ):
        self.flags: list[tuple[str, ...]] = []
        self._pieces = pieces
        self._chunks = self._spoken(speak)

    @property
    def finished(self) -> bool:
        """Whether every piece has been spoken, and ended by itself."""
        cut = any({"unfinished", "repeats"} & set(flags) for flags in self.flags)
        return len(self.flags) == len(self._pieces) and not cut

    def __next__(self) -> np.ndarray:
        return next(self._chunks)

    def _spoken(self, speak: Callable) -> Iterator[np.ndarray]:
        for number, piece in enumerate(self._pieces):
            if number:
                yield pause()
            self.flags.append((yield from speak(Attempt(piece, number))))
