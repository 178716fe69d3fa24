"""What ``benchmarks/voice.py`` has said, by whom: unseen sentences and unseen reference voices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.measuring import recordings
from myxtts.audio.io import write_audio
from myxtts.errors import DataError
from myxtts.timing import OUTPUT_RATE

# Of the voices that no corpus of tools/make_voice_corpus.py holds: a woman and a man, American
# and British.
KOKORO = ("af_kore", "am_adam", "bf_emma", "bm_george")
REAL_SPEAKERS = 8
# What Kokoro says to be a reference: no sentence of the test.
REFERENCE_TEXTS = (
    "Early in the morning we walked down to the shore, and nobody spoke until the sun was up.",
    "I have always wanted to know what the people in those houses do all winter.",
    "She laughed, took off her coat, and told us the whole story from the beginning.",
)
# A reference of a few seconds, as a user would give it.
SHORTEST, LONGEST = 5.0, 15.0
LONG_WORDS = 25
KINDS = ("statement", "question", "number", "one word", "long")


@dataclass(frozen=True)
class Sentence:
    """A sentence to be said, by its number in the file."""

    number: int
    text: str

    @property
    def kind(self) -> str:
        """One of ``KINDS``."""
        words = self.text.split()
        if len(words) == 1:
            return "one word"
        if any(letter.isdigit() for letter in self.text):
            return "number"
        if len(words) >= LONG_WORDS:
            return "long"
        return "question" if self.text.endswith("?") else "statement"


@dataclass(frozen=True)
class ReferenceVoice:
    """Somebody to speak like.

    Attributes:
        name: of the speaker.
        kind: ``real`` or ``kokoro``.
        reference: the recording that the model hears.
        others: recordings of the speaker that it does not hear.
    """

    name: str
    kind: str
    reference: Path
    others: tuple[Path, ...]


def read_sentences(path: str | Path) -> list[Sentence]:
    """Sentences of a file, one a line, without comments.

    Raises:
        DataError: there are none.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the sentences of {path}: {error}.") from error
    texts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not texts:
        raise DataError(f"{path} holds no sentence.")
    return [Sentence(number, text) for number, text in enumerate(texts)]


def spread(items: Sequence, count: int) -> list:
    """``count`` of the items, or all, evenly spread."""
    count = min(count or len(items), len(items))
    return [items[index * len(items) // count] for index in range(count)]


def real_voices(folder: str | Path, count: int = REAL_SPEAKERS) -> list[ReferenceVoice]:
    """Speakers of a folder with one folder for each, those with several recordings first.

    Raises:
        DataError: there is no such folder, or no recording in it.
    """
    if not Path(folder).is_dir():
        raise DataError(f"the folder of recordings {folder} does not exist.")
    paths = [recordings(place) for place in sorted(Path(folder).iterdir()) if place.is_dir()]
    found = sorted(filter(None, paths), key=lambda group: len(group) < 2)[:count]
    if not found:
        raise DataError(f"{folder} holds no folder with recordings of a speaker.")
    return [voice_of(group[0].parent.name, "real", group) for group in found]


def kokoro_recordings(folder: str | Path) -> list[ReferenceVoice]:
    """The held-out voices of Kokoro out of a folder with one folder for each.

    Raises:
        DataError: one of them is not there.
    """
    found = {name: recordings(Path(folder) / name) for name in KOKORO}
    for name, paths in found.items():
        if not paths:
            raise DataError(f"{folder} holds no recordings of Kokoro's {name}.")
    return [voice_of(name, "kokoro", paths) for name, paths in found.items()]


def kokoro_references(
    folder: Path, speak: Callable[[str, str], np.ndarray]
) -> list[ReferenceVoice]:
    """The held-out voices of Kokoro, whose recordings lie in ``folder`` or are spoken into it.

    Args:
        folder: of the recordings.
        speak: from a text and the name of a voice to speech ``(samples,)`` at 24 kHz.
    """
    for name in KOKORO:
        for number, text in enumerate(REFERENCE_TEXTS):
            path = folder / name / f"{number}.flac"
            if not path.is_file():
                write_audio(path, speak(text, name), OUTPUT_RATE)
    return kokoro_recordings(folder)


def voice_of(name: str, kind: str, paths: Sequence[Path]) -> ReferenceVoice:
    """The voice of recordings, the first of some seconds (else the longest) as reference."""
    seconds = {path: soundfile.info(str(path)).duration for path in paths}
    fit = [path for path in paths if SHORTEST <= seconds[path] <= LONGEST]
    reference = fit[0] if fit else max(paths, key=seconds.get)
    return ReferenceVoice(name, kind, reference, tuple(p for p in paths if p != reference))


def pairs(
    sentences: Sequence[Sentence], voices: Sequence[ReferenceVoice], each: int
) -> list[tuple[Sentence, ReferenceVoice]]:
    """Each sentence in ``each`` of the voices, in rotation.

    Those of one sentence lie evenly apart in the row of voices, so that real and synthetic
    ones share it, and all voices get about as many.
    """
    each = min(each, len(voices))
    return [
        (sentence, voices[(place + turn * len(voices) // each) % len(voices)])
        for place, sentence in enumerate(sentences)
        for turn in range(each)
    ]


def digest(*parts: object) -> str:
    """Eight letters that tell one setting of things from another."""
    return hashlib.sha256(repr(parts).encode("utf-8")).hexdigest()[:8]
