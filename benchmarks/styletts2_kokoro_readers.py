"""Real speakers for ``benchmarks/styletts2_kokoro.py``, and Kokoro's clips with what judges say.

All is kept in a folder as it is made: a broken run goes on where it was, and what two voices of
two tables have in common is spoken and judged once.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measuring import recordings
from myxtts.audio.io import read_audio, write_audio
from myxtts.errors import DataError
from myxtts.files import replacing
from myxtts.timing import SPEAKER_RATE
from tools import judges
from tools.kokoro.backends.interface import SAMPLE_RATE, Backend
from tools.kokoro.phonemes import phonemize

logger = logging.getLogger(__name__)

# A single recording is cut at its quietest place between these shares of it.
CUT_BETWEEN = 0.55, 0.65
# Seconds of a single recording that is long enough to be cut.
LONG_ENOUGH = 14.0
# Frames of 20 ms, of which three in a row are a quiet place.
FRAME = SPEAKER_RATE // 50

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Reader:
    """A speaker with one recording that a voice is told by, and others that judge.

    Attributes:
        name: of the speaker.
        source: the file that the reference is, or is the beginning of.
        reference: ``(samples,)`` at 16 kHz, all that anybody may hear.
        target: Resemblyzer's embedding of it, ``(256,)``.
        own: ECAPA-TDNN's of it, ``(192,)``.
        others: ECAPA-TDNN's of each other recording, ``(clips, 192)``.
        likeness: Resemblyzer's cosine of each other recording with the target, ``(clips,)``.
    """

    name: str
    source: Path
    reference: np.ndarray
    target: np.ndarray
    own: np.ndarray
    others: np.ndarray
    likeness: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """Of the others, ``(192,)`` of length one."""
        mean = self.others.mean(axis=0)
        return mean / np.linalg.norm(mean)


def choose_readers(
    folder: str | Path, names: Sequence[str], most: int, known: frozenset[str]
) -> list[tuple[Path, ...]]:
    """Recordings of each speaker: of those with several, then of those with one that is long.

    Args:
        folder: with a folder for each speaker.
        names: only these, if any.
        most: speakers.
        known: speakers whose recordings a map knows; of those with one recording none is taken.

    Raises:
        DataError: there is none.
    """
    folders = sorted(path for path in Path(folder).iterdir() if path.is_dir())
    wanted = [path for path in folders if not names or path.name in names]
    found = [tuple(sorted(recordings(path))) for path in wanted]
    several = [paths for paths in found if len(paths) > 1]
    single = [paths for paths in found if len(paths) == 1 and paths[0].parent.name not in known]
    chosen = several[:most]
    for paths in single:
        if len(chosen) < most and _seconds(paths[0]) >= LONG_ENOUGH:
            chosen.append(paths)
    if not chosen:
        raise DataError(f"{folder} holds no speaker with two recordings or a long one.")
    return chosen


def _seconds(path: Path) -> float:
    return len(read_audio(path, SPEAKER_RATE)[0]) / SPEAKER_RATE


def open_reader(paths: Sequence[Path], kept: Path) -> Reader:
    """A speaker of some recordings; what judges say of them is kept in a folder."""
    read = [(path, read_audio(path, SPEAKER_RATE)[0]) for path in paths]
    (source, longest), *others = sorted(read, key=lambda item: -len(item[1]))
    clips = [longest, *(clip for _, clip in others)] if others else halves(longest)
    heard = remembered(kept / f"{source.parent.name}.npz", lambda: _judged_reader(clips))
    return Reader(source.parent.name, source, clips[0], **heard)


def halves(clip: np.ndarray) -> list[np.ndarray]:
    """The beginning and the end of a clip, cut where it is quiet."""
    count = len(clip) // FRAME
    levels = np.square(clip[: count * FRAME]).reshape(count, FRAME).mean(axis=1)
    levels = np.convolve(levels, np.ones(3) / 3, "same")
    first, last = (int(share * count) for share in CUT_BETWEEN)
    cut = (first + int(np.argmin(levels[first:last]))) * FRAME
    return [clip[:cut], clip[cut:]]


def _judged_reader(clips: Sequence[np.ndarray]) -> Arrays:
    heard = [judges.resemblyzer_embedding((clip, SPEAKER_RATE)) for clip in clips]
    voices = [judges.ecapa_embedding((clip, SPEAKER_RATE)) for clip in clips]
    return {
        "target": heard[0],
        "own": voices[0],
        "others": np.stack(voices[1:]),
        "likeness": np.stack(heard[1:]) @ heard[0],
    }


class Spoken:
    """Clips of Kokoro's, each spoken and judged once.

    Args:
        backend: who speaks.
        folder: where clips and judgements are kept, named by style and text.
    """

    def __init__(self, backend: Backend, folder: Path) -> None:
        self.backend, self.folder = backend, folder

    def heard(self, voice: np.ndarray, text: str) -> Arrays:
        """``resemblyzer`` ``(256,)``, and the ``cost`` of it in seconds of processor time.

        For a search, which compares with nothing else.
        """

        def make(audio: np.ndarray) -> Arrays:
            return {"resemblyzer": judges.resemblyzer_embedding((audio, SAMPLE_RATE))}

        return self._made(voice, text, "heard", make)

    def judged(self, voice: np.ndarray, text: str) -> Arrays:
        """``resemblyzer``, ``ecapa``, ``wer``, ``dnsmos`` and ``seconds`` of a clip."""

        def make(audio: np.ndarray) -> Arrays:
            clip = (audio, SAMPLE_RATE)
            return {
                "resemblyzer": judges.resemblyzer_embedding(clip),
                "ecapa": judges.ecapa_embedding(clip),
                "wer": np.array(judges.word_error_rate(text, judges.transcribe(*clip))),
                "dnsmos": np.array(judges.dnsmos(*clip)),
                "seconds": np.array(len(audio) / SAMPLE_RATE),
            }

        return self._made(voice, text, "judged", make)

    def _made(
        self, voice: np.ndarray, text: str, kind: str, make: Callable[[np.ndarray], Arrays]
    ) -> Arrays:
        tokens = self.backend.tokens(phonemize(text))
        style = voice[len(tokens) - 1]
        told = hashlib.sha256(style.round(4).tobytes() + repr(tokens).encode())
        path = self.folder / kind / told.hexdigest()[:20]

        def work() -> Arrays:
            began = time.process_time()
            (audio,) = self.backend.synthesize(tokens, style)
            found = make(audio)
            if kind == "judged":
                path.parent.mkdir(parents=True, exist_ok=True)
                write_audio(path.with_suffix(".wav"), audio, SAMPLE_RATE)
            return {**found, "cost": np.array(time.process_time() - began)}

        return remembered(path.with_suffix(".npz"), work)


def remembered(path: Path, work: Callable[[], Mapping[str, np.ndarray]]) -> Arrays:
    """Arrays of a file, which is made by ``work`` if it is not there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = dict(work())
        with replacing(path) as fresh:
            np.savez(fresh, **arrays)
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
        return dict(archive)


def figures(reader: Reader, clip: Mapping[str, np.ndarray]) -> dict[str, float]:
    """What the judges make of a clip in a reader's voice."""
    return {
        "resemblyzer": float(clip["resemblyzer"] @ reader.target),
        "ecapa": float(clip["ecapa"] @ reader.centre),
        "wer": float(clip["wer"]),
        "dnsmos": float(clip["dnsmos"]),
    }


def own_figures(readers: Sequence[Reader]) -> Iterator[dict[str, float]]:
    """What the readers' own recordings get: the others by Resemblyzer, the reference by ECAPA."""
    for reader in readers:
        likeness = float(reader.likeness.mean())
        yield {"resemblyzer": likeness, "ecapa": float(reader.own @ reader.centre)}


def nearest(voices: np.ndarray, centres: np.ndarray) -> int:
    """How many of the voices ``(n, 192)`` are nearest to the reader of their own row."""
    return int((np.argmax(voices @ centres.T, axis=1) == np.arange(len(voices))).sum())


def nearest_shuffled(voices: np.ndarray, centres: np.ndarray, times: int, seed: int) -> float:
    """The same with readers shuffled among the voices, the mean of so many times."""
    draw = np.random.default_rng(seed)
    found = [nearest(voices, centres[draw.permutation(len(centres))]) for _ in range(times)]
    return float(np.mean(found))
