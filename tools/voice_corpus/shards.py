"""A hundred clips at a time, in a folder that appears whole or not at all, by some processes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import multiprocessing
import os
import threading
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

from myxtts.audio.io import write_audio
from myxtts.errors import DataError
from myxtts.files import replacing_folder
from tools.kokoro.voices import load_voices
from tools.voice_corpus.checks import check
from tools.voice_corpus.front_end import Reading, read
from tools.voice_corpus.hibari_speech import HibariSpeech
from tools.voice_corpus.kokoro_speech import KokoroSpeech
from tools.voice_corpus.plan import Clip, Plan
from tools.voice_corpus.speech import (
    SAMPLE_RATE,
    Speech,
    is_sound,
    levelled,
    trimmed,
    word_durations,
)

RESULT = "shard.json"
FIRST_GUESS = 60.0  # seconds of speech of a shard, before one is known
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.2f}/{total:.2f} h [{elapsed}<{remaining}]"
LANGUAGE = "en"


@dataclass
class Shard:
    """What became of the clips of one shard.

    Attributes:
        lines: of ``metadata.jsonl``.
        seconds: of speech.
        checked, words, errors: clips that Whisper heard, their words, the wrong ones.
        misheard: of those, how many were left out.
        unusable: left out because the text could not be read or the speech was no speech.
    """

    lines: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    checked: int = 0
    words: int = 0
    errors: float = 0.0
    misheard: int = 0
    unusable: int = 0


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
            for clip in self.plan.clips(kind, part, number):
                self._add(shard, clip, kind, part, fresh, folder.name)
            content = json.dumps(dataclasses.asdict(shard), ensure_ascii=False)
            (fresh / RESULT).write_text(content, encoding="utf-8")
        return shard

    def _add(
        self, shard: Shard, clip: Clip, kind: str, part: str, fresh: Path, folder: str
    ) -> None:
        reading = read(clip.text)
        speech = reading and self._speak(clip, reading, kind, part)
        if not speech or not is_sound(speech):
            shard.unusable += 1
            return
        if not self._is_heard(shard, clip, speech):
            return
        name = f"{clip.number:06d}.{self.plan.config.audio_format}"
        write_audio(fresh / name, speech.audio, SAMPLE_RATE)
        shard.lines.append(line(f"{folder}/{name}", clip, reading, speech))
        shard.seconds += speech.seconds

    def _speak(self, clip: Clip, reading: Reading, kind: str, part: str) -> Speech:
        teacher = self.hibari if kind == "hibari" else self.kokoro
        rng = self.plan.rng(kind, part, clip.number)
        speech = teacher.speak(reading.phonemes, clip.speaker, clip.pace, rng)
        return levelled(trimmed(speech, reading.phonemes))

    def _is_heard(self, shard: Shard, clip: Clip, speech: Speech) -> bool:
        """Whether Whisper hears the text, if it is this clip's turn to be heard."""
        every = self.plan.config.check_every
        if not every or clip.number % every:
            return True
        heard = check(clip.text, speech)
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


def _rounded(seconds) -> list[float]:
    return [round(float(value), 4) for value in np.asarray(seconds)]


def shard_folder(output: Path, kind: str, part: str, number: int) -> Path:
    """Folder of a shard's clips."""
    return output / part / f"{kind}-{number:05d}"


_worker: Worker | None = None  # of a process of the pool


def _begin(plan: Plan, output: Path) -> None:
    global _worker
    os.environ["OMP_NUM_THREADS"] = "1"  # of Whisper: as many processes as cores run already
    # A pool's processes would outlive a parent that was killed, and write beside the next one.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(plan, output)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


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
