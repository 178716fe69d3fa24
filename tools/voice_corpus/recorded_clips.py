"""What is taken of a recording: short clips, each with what is said in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from myxtts.audio.io import read_audio
from tools.judges import heard_words
from tools.voice_corpus.recordings import Recording
from tools.voice_corpus.speech import QUIETEST

LONGEST = 12.0  # seconds of a recording that is not cut, and of what is cut from a longer one
LONGEST_CLIP = 13.0  # seconds that a clip may have where there is no pause to cut, or played slower
SHORTEST = 1.0  # seconds
FEWEST_HEARD = 3  # words; of noise Whisper hears one or two
_FAR = 0.02  # seconds of pause that a second of distance from the middle is worth
_FEWEST = 4  # words that can be cut, two on each side

Word = tuple[str, float, float]  # with start and end in seconds


@dataclass(frozen=True)
class Piece:
    """A clip of a recording.

    Attributes:
        text: what is said.
        audio: float32 ``(samples,)``.
        sample_rate: of the recording, in Hz.
        told: whether somebody wrote the text; else Whisper heard it.
    """

    text: str
    audio: np.ndarray
    sample_rate: int
    told: bool

    @property
    def seconds(self) -> float:
        return len(self.audio) / self.sample_rate

    @property
    def is_usable(self) -> bool:
        """Whether it is neither too short nor too long, is no silence and has a text."""
        if not self.text or not SHORTEST <= self.seconds <= LONGEST_CLIP:
            return False
        return bool(np.abs(self.audio).max() > QUIETEST)


def pieces(recording: Recording) -> list[Piece]:
    """Clips of a recording, usable or not; none where no speech is heard.

    A written text stays where nothing is cut. Where something is, nobody knows which of its words
    are in which clip, and what Whisper hears is taken.

    Raises:
        AudioError: the recording cannot be read.
    """
    audio, rate = read_audio(recording.path)
    seconds = len(audio) / rate
    if recording.text and seconds <= LONGEST:
        return [Piece(recording.text, audio, rate, told=True)]
    words = [word for word in heard_words(audio, rate) if word[0]]
    if len(words) < FEWEST_HEARD:
        return []
    return [
        Piece(
            " ".join(word for word, _, _ in said),
            audio[int(start * rate) : int(end * rate)],
            rate,
            False,
        )
        for said, start, end in cut(words, 0.0, seconds)
    ]


def cut(
    words: Sequence[Word], start: float, end: float
) -> Iterator[tuple[Sequence[Word], float, float]]:
    """Parts of what lies between ``start`` and ``end``, cut at pauses until each is short.

    The longest pause is taken, and of like ones the one nearest to the middle. What has too few
    words stays as long as it is.

    Yields:
        Words, start and end in seconds.
    """
    if end - start <= LONGEST or len(words) < _FEWEST:
        yield words, start, end
        return
    middle = (start + end) / 2

    def worth(place: int) -> float:
        pause = words[place][1] - words[place - 1][2]
        return pause - _FAR * abs(_between(words, place) - middle)

    place = max(range(2, len(words) - 1), key=worth)
    border = min(max(_between(words, place), start), end)
    yield from cut(words[:place], start, border)
    yield from cut(words[place:], border, end)


def _between(words: Sequence[Word], place: int) -> float:
    """The middle of the pause before a word."""
    return (words[place - 1][2] + words[place][1]) / 2
