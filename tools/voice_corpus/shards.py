"""A hundred clips at a time, in a folder that appears whole or not at all, by some processes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from myxtts.audio.io import resample, write_audio
from myxtts.children import end_with_parent
from myxtts.errors import AudioError, DataError, UnreadableError
from myxtts.files import replacing_folder
from tools.kokoro.voices import load_voices
from tools.voice_corpus.checks import check
from tools.voice_corpus.front_end import Reading, read
from tools.voice_corpus.hibari_speech import HibariSpeech
from tools.voice_corpus.kokoro_speech import KokoroSpeech
from tools.voice_corpus.plan import RECORDED, Clip, Plan
from tools.voice_corpus.recorded_clips import LONGEST_CLIP, Piece, pieces
from tools.voice_corpus.recordings import LANGUAGE, Recording
from tools.voice_corpus.speech import (
    SAMPLE_RATE,
    Speech,
    faster,
    is_sound,
    levelled,
    levelled_audio,
    other_speaker,
    played_faster,
    trimmed,
    word_durations,
)

logger = logging.getLogger(__name__)

RESULT = "shard.json"
FIRST_GUESS = 60.0  # seconds of speech of a shard, before one is known
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.2f}/{total:.2f} h [{elapsed}<{remaining}]"


@dataclass
class Shard:
    """What became of the clips of one shard.

    Attributes:
        lines: of ``metadata.jsonl``.
        seconds: of speech.
        checked, words, errors: clips that Whisper heard, their words, the wrong ones.
        misheard: of those, how many were left out.
        unusable: left out because the text could not be read or the speech was no speech.
        copied: seconds of copies at other tempos, which ``seconds`` does not count.
        unreadable: recordings that could not be read.
        held_out: clips of recordings that say a sentence of a test or of the other part.
    """

    lines: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    checked: int = 0
    words: int = 0
    errors: float = 0.0
    misheard: int = 0
    unusable: int = 0
    copied: float = 0.0
    unreadable: int = 0
    held_out: int = 0


@dataclass(frozen=True)
class _Draft:
    """A shard that is being made: what it is of, where it is written, its later name."""

    shard: Shard
    kind: str
    part: str
    fresh: Path
    folder: str


class Worker:
    """Makes shards in one process.

    Args:
        plan: of the corpus.
        output: its folder.
    """

    def __init__(self, plan: Plan, output: Path) -> None:
        self.plan, self.output = plan, output

    @cached_property
    def hibari(self) -> HibariSpeech:
        return HibariSpeech()

    @cached_property
    def kokoro(self) -> KokoroSpeech:
        return KokoroSpeech(load_voices(self.plan.voices))

    def make(self, kind: str, part: str, number: int) -> Shard:
        """The shard, made now or before."""
        folder = shard_folder(self.output, kind, part, number)
        if (folder / RESULT).is_file():
            with suppress(OSError, ValueError, TypeError, RecursionError):
                return Shard(**json.loads((folder / RESULT).read_text(encoding="utf-8")))
        shard = Shard()
        with replacing_folder(folder, DataError) as fresh:
            self._fill(_Draft(shard, kind, part, fresh, folder.name), number)
            content = json.dumps(dataclasses.asdict(shard), ensure_ascii=False)
            (fresh / RESULT).write_text(content, encoding="utf-8")
        return shard

    def _fill(self, draft: _Draft, number: int) -> None:
        if draft.kind == RECORDED:
            for place, recording in self.plan.recorded(draft.part, number):
                self._add_recording(draft, recording, place)
            return
        for clip in self.plan.clips(draft.kind, draft.part, number):
            self._add(draft, clip)

    def _add(self, draft: _Draft, clip: Clip) -> None:
        shard, reading = draft.shard, read(clip.text)
        speech = reading and self._speak(clip, reading, draft.kind, draft.part)
        if not speech or not is_sound(speech):
            shard.unusable += 1
            return
        if not self._is_heard(shard, clip.number, clip.text, speech):
            return
        stem = f"{clip.number:06d}"
        name = self._write(draft, stem, speech.audio)
        shard.lines.append(line(name, clip, reading, speech))
        shard.seconds += speech.seconds
        for tempo in self.plan.tempos(draft.kind):
            copy = played_faster(speech, tempo)
            name = self._write(draft, other_speaker(stem, tempo), copy.audio)
            shard.lines.append(line(name, by_other(clip, tempo), reading, copy))
            shard.copied += copy.seconds

    def _write(self, draft: _Draft, stem: str, audio: np.ndarray) -> str:
        """Write a clip; its ``file_name``."""
        name = f"{stem}.{self.plan.config.audio_format}"
        write_audio(draft.fresh / name, audio, SAMPLE_RATE)
        return f"{draft.folder}/{name}"

    def _add_recording(self, draft: _Draft, recording: Recording, number: int) -> None:
        """Add the clips of a recording and their copies."""
        try:
            found = pieces(recording)
        except UnreadableError:  # the machine failed, not the file: the same command may read it
            raise
        except AudioError as error:
            logger.debug("%s", error)
            draft.shard.unreadable += 1
            return
        draft.shard.unusable += not found
        for place, piece in enumerate(found):
            if self._is_wanted(draft, piece, number):
                self._add_piece(draft, piece, recording.speaker, f"{number:06d}-{place:03d}")

    def _is_wanted(self, draft: _Draft, piece: Piece, number: int) -> bool:
        """Whether a clip of a recording goes into the corpus; counts why not."""
        if not piece.is_usable:
            draft.shard.unusable += 1
            return False
        if not self.plan.may_be_said(piece.text, draft.part):
            draft.shard.held_out += 1
            return False
        audio = resample(piece.audio, piece.sample_rate, SAMPLE_RATE)
        speech = Speech(audio, np.array([len(audio) / SAMPLE_RATE]))
        return not piece.told or self._is_heard(draft.shard, number, piece.text, speech)

    def _add_piece(self, draft: _Draft, piece: Piece, speaker: str, stem: str) -> None:
        shard, reading = draft.shard, read(piece.text)

        def add(audio: np.ndarray, speaker: str, stem: str) -> float:
            name = self._write(draft, stem, levelled_audio(audio))
            shard.lines.append(recorded_line(name, piece.text, speaker, reading))
            return len(audio) / SAMPLE_RATE

        shard.seconds += add(faster(piece.audio, piece.sample_rate, 1.0), speaker, stem)
        for tempo in self.plan.tempos(RECORDED):
            if piece.seconds / tempo <= LONGEST_CLIP:
                names = other_speaker(speaker, tempo), other_speaker(stem, tempo)
                shard.copied += add(faster(piece.audio, piece.sample_rate, tempo), *names)

    def _speak(self, clip: Clip, reading: Reading, kind: str, part: str) -> Speech:
        teacher = self.hibari if kind == "hibari" else self.kokoro
        rng = self.plan.rng(kind, part, clip.number)
        speech = teacher.speak(reading.phonemes, clip.speaker, clip.pace, rng)
        return levelled(trimmed(speech, reading.phonemes))

    def _is_heard(self, shard: Shard, number: int, text: str, speech: Speech) -> bool:
        """Whether Whisper hears the text, if it is this clip's turn to be heard."""
        every = self.plan.config.check_every
        if not every or number % every:
            return True
        heard = check(text, speech)
        shard.checked += 1
        shard.words += heard.words
        shard.errors += heard.errors
        shard.misheard += not heard.passed
        return heard.passed


def line(file_name: str, clip: Clip, reading: Reading, speech: Speech) -> dict:
    """A clip's line of ``metadata.jsonl``.

    The silence at both ends counts to the first and the last phoneme; ``silence`` says how much
    of them it is.
    """
    first, *durations, last = speech.durations
    durations[0] += first
    durations[-1] += last
    return {
        "file_name": file_name,
        "text": clip.text,
        "speaker": clip.speaker.name,
        "language": LANGUAGE,
        "phonemes": reading.phonemes,
        "durations": _rounded(durations),
        "word_phonemes": list(reading.words),
        "word_durations": _rounded(word_durations(reading, durations)),
        "silence": _rounded((first, last)),
    }


def by_other(clip: Clip, tempo: float) -> Clip:
    """``clip`` as who speaks it when it is played ``tempo`` times as fast."""
    name = other_speaker(clip.speaker.name, tempo)
    return dataclasses.replace(clip, speaker=dataclasses.replace(clip.speaker, name=name))


def recorded_line(file_name: str, text: str, speaker: str, reading: Reading | None) -> dict:
    """A recording's line of ``metadata.jsonl``: no durations, phonemes where they are known."""
    row = {"file_name": file_name, "text": text, "speaker": speaker, "language": LANGUAGE}
    if reading is not None and len(reading.words) == len(text.split()):
        row |= {"phonemes": reading.phonemes, "word_phonemes": list(reading.words)}
    return row


def _rounded(seconds) -> list[float]:
    return [round(float(value), 4) for value in np.asarray(seconds)]


def shard_folder(output: Path, kind: str, part: str, number: int) -> Path:
    """Folder of a shard's clips."""
    return output / part / f"{kind}-{number:05d}"


_worker: Worker | None = None  # of a process of the pool


def _begin(plan: Plan, output: Path) -> None:
    global _worker
    os.environ["OMP_NUM_THREADS"] = "1"  # of Whisper: as many processes as cores run already
    end_with_parent()
    _worker = Worker(plan, output)


def _make(kind: str, part: str, number: int) -> Shard:
    return _worker.make(kind, part, number)


@contextmanager
def pool(plan: Plan, output: Path, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes for :func:`make_part`.

    Raises:
        DataError: one of them was killed.
    """
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, context, _begin, (plan, output))
    try:
        yield executor
    except BrokenProcessPool as error:
        raise DataError(
            "a process that made speech was killed (out of memory?); the same command goes on "
            "from there, with --workers 1 if need be."
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def make_part(
    executor: ProcessPoolExecutor, workers: int, kind: str, part: str, hours: float
) -> list[Shard]:
    """Shards from the first one on until they hold ``hours``; those made before are taken.

    Raises:
        DataError: none of the clips of a shard can be used.
    """
    numbers, waiting, shards = itertools.count(), deque[Future](), []
    made, target = 0.0, hours * 3600
    with tqdm(total=hours, desc=f"{kind} {part}", bar_format=_BAR) as bar:
        while made < target:
            usual = made / len(shards) if shards else FIRST_GUESS
            # One more than the processes, so that none waits; none that will not be needed.
            while not waiting or (len(waiting) <= workers and made + len(waiting) * usual < target):
                waiting.append(executor.submit(_make, kind, part, next(numbers)))
            shard = waiting.popleft().result()
            if not shard.lines:
                raise DataError(f"no clip of shard {len(shards)} of {kind} {part} can be used.")
            shards.append(shard)
            bar.update(min(shard.seconds, target - made) / 3600)
            made += shard.seconds
    return shards


def make_recorded(
    executor: ProcessPoolExecutor, workers: int, kind: str, part: str, count: int
) -> list[Shard]:
    """The first ``count`` shards, which hold all that there is; some may be without a clip."""
    waiting, shards = deque[Future](), []
    numbers = iter(range(count))
    for _ in tqdm(range(count), desc=f"{kind} {part}", unit="shard", disable=not count):
        while len(waiting) <= workers and (number := next(numbers, None)) is not None:
            waiting.append(executor.submit(_make, kind, part, number))
        shards.append(waiting.popleft().result())
    return shards
