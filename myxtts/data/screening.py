"""Which utterances of a corpus can be used, and why the others are left out."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import librosa
import numpy as np
from tqdm import tqdm

from myxtts.audio.decoding import reason_of
from myxtts.data.formats import Utterance
from myxtts.data.store import Clip, FeatureStore
from myxtts.errors import AudioError, DataError, MyXTTSError
from myxtts.files import write_whole

logger = logging.getLogger(__name__)


# Of a recording so many times and seconds longer than the longest speech, silence is not the
# reason: it is several recordings in one, and nobody should spend memory on it.
TRIMMED_SHARE, TRIMMED_SECONDS = 4, 30.0
# Recordings of more bytes are looked at one after the other, so that their memory does not add.
_LARGE = 2**23
_one_at_a_time = Lock()


@dataclass(frozen=True)
class Screen:
    """What makes a recording fit, and how it is trimmed.

    Attributes:
        min_seconds, max_seconds: of a trimmed recording.
        silence_db: a peak below it is silence, in dBFS.
        trim_silence: whether both ends are trimmed.
        trim_db: silence at the ends is so far below the peak.
    """

    min_seconds: float
    max_seconds: float
    silence_db: float = -60.0
    trim_silence: bool = True
    trim_db: float = 40.0

    @property
    def longest_seconds(self) -> float:
        """A recording of more cannot fit, whatever trimming would leave of it."""
        if not self.trim_silence:
            return self.max_seconds
        return TRIMMED_SHARE * self.max_seconds + TRIMMED_SECONDS

    def __call__(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Trimmed samples, or an ``AudioError`` whose first words are the reason."""
        if float(np.max(np.abs(audio))) < 10 ** (self.silence_db / 20):
            raise AudioError("silent")
        first, end = self.span(audio)
        audio = audio[first:end]
        seconds = len(audio) / rate
        if seconds < self.min_seconds:
            raise AudioError(f"too short: {seconds:.2f} s")
        if seconds > self.max_seconds:
            raise AudioError(f"too long: {seconds:.2f} s")
        return audio

    def span(self, audio: np.ndarray) -> tuple[int, int]:
        """First and end of the samples that trimming leaves."""
        if not self.trim_silence:
            return 0, len(audio)
        first, end = librosa.effects.trim(audio, top_db=self.trim_db)[1]
        return int(first), int(end)


@dataclass
class Report:
    """What became of every utterance of a corpus.

    Attributes:
        corpus: folder.
        kept: utterances that can be used.
        seconds: their speech.
        skipped: pairs of a file and why it was left out.
    """

    corpus: str
    kept: int = 0
    seconds: float = 0.0
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many were left out for each reason."""
        return dict(Counter(reason.split(":")[0] for _, reason in self.skipped))

    def reasons(self) -> str:
        """:meth:`counts` in words."""
        return ", ".join(f"{count} {reason}" for reason, count in self.counts().items())

    def write(self, path: Path) -> None:
        """Write the report as JSON, whole or not at all."""
        content = dataclasses.asdict(self) | {"counts": self.counts()}
        write_whole(path, json.dumps(content, indent=2, ensure_ascii=False), DataError, False)

    def __str__(self) -> str:
        text = f"{self.corpus}: {self.kept} utterances, {self.seconds / 60:.1f} minutes"
        if self.skipped:
            text += f"; left out {len(self.skipped)} ({self.reasons()})"
        return text


def screen_corpus(
    folder: str | Path,
    utterances: list[Utterance],
    store: FeatureStore,
    hear: Callable[[Utterance, Clip], float],
    fits_text: Callable[[Utterance], str | None] = lambda utterance: None,
) -> tuple[list[Utterance], Report]:
    """Compute (or find) the features of a corpus and leave out what cannot be used.

    Args:
        folder: corpus, for messages.
        utterances: as :func:`~myxtts.data.formats.find_utterances` lists them.
        store: of their features.
        hear: function from an utterance and its clip, whose items are its features, to its
            seconds; raises ``AudioError``,
            the reason first, for speech that the model cannot take.
        fits_text: function from an utterance to None or the reason its text cannot be used.

    Returns:
        The usable utterances and the report.

    Raises:
        DataError: not one utterance can be used.
    """
    report = Report(str(folder))
    usable = []

    def judge(utterance: Utterance) -> tuple[float, str | None]:
        return _judge(utterance, store, hear, fits_text)

    # Decoders, resamplers and graphs let other threads run beside them.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        name = f"features of {Path(folder).name}"
        judged = tqdm(pool.map(judge, utterances), name, len(utterances), disable=None)
        for utterance, (seconds, reason) in zip(utterances, judged, strict=True):
            report.seconds += seconds
            if reason is None:
                usable.append(utterance)
            else:
                report.skipped.append((str(utterance.path), reason))
    report.kept = len(usable)
    if not usable:
        path, reason = report.skipped[0]
        raise DataError(
            f"{folder} has no usable utterance: {report.reasons()}; "
            f"first {path}: {reason.rstrip('.')}."
        )
    return usable, report


def _judge(
    utterance: Utterance, store: FeatureStore, hear: Callable, fits_text: Callable
) -> tuple[float, str | None]:
    """Seconds of an utterance, and why it is left out if it is.

    Raises:
        DataError: what it takes to read any recording is missing.
    """
    if (reason := fits_text(utterance)) is not None:
        return 0.0, reason
    try:
        with _alone(utterance):
            return hear(utterance, store.prepare(utterance)), None
    except AudioError as error:
        return 0.0, str(error)
    except MyXTTSError:
        raise
    except MemoryError as error:
        return 0.0, f"unreadable: {utterance.path} could not be read now: {reason_of(error)}."
    except (OSError, ImportError) as error:
        # Not of a recording: those are told by their readers.
        raise DataError(
            f"recordings cannot be read on this machine now: {reason_of(error)} "
            f"(at {utterance.path})."
        ) from error
    except Exception as error:
        # Of no one kind: what a damaged recording does to a resampler, a trimmer, a front-end.
        logger.debug("%s", utterance.path, exc_info=True)
        return 0.0, f"corrupt: {utterance.path} cannot be used: {reason_of(error)}."


def _alone(utterance: Utterance) -> AbstractContextManager:
    """A lock that only one large recording has; nothing for the others."""
    try:
        large = utterance.path.stat().st_size > _LARGE
    except (OSError, ValueError):
        large = False
    return _one_at_a_time if large else nullcontext()
