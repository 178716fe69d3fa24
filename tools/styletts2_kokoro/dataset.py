"""The clips that a voice is trained on: read, checked, and told apart by speaker.

``DIR/train/metadata.jsonl`` has a line for each, with ``file_name``, ``text`` and maybe
``speaker``; ``DIR/validation/`` the same for clips that judge.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from myxtts.audio.io import resample
from myxtts.data.formats import Utterance, find_utterances
from myxtts.errors import AudioError, DataError, TextError
from myxtts.timing import SPEAKER_RATE
from tools.kokoro.backends.interface import check_length
from tools.kokoro.phonemes import phonemize
from tools.styletts2_kokoro.config import TrainingConfig
from tools.styletts2_kokoro.hearing import LONGEST_S, Hearing, average, prepared
from tools.styletts2_kokoro.one_pass import strangers
from tools.styletts2_kokoro.style_encoder import read_clip
from tools.styletts2_kokoro.style_mel import SAMPLE_RATE, trimmed

logger = logging.getLogger(__name__)

TRAIN, VALIDATION = "train", "validation"
# Without a folder for validation, so large a share of a speaker's clips judges.
HELD_OUT = 0.2
NAMED_AT_MOST = 10


@dataclass(frozen=True)
class Clip:
    """One recording.

    Attributes:
        path: of its file.
        speaker: its name; empty where the corpus names none.
        phonemes: of its text; empty without a transcript that can be spoken.
        audio: without silent ends, ``(samples,)`` at 24 kHz.
        heard: what is heard of it, ``(size,)``.
    """

    path: Path
    speaker: str
    phonemes: str
    audio: np.ndarray
    heard: np.ndarray

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


@dataclass(frozen=True)
class Speaker:
    """One speaker's clips.

    Attributes:
        name: empty where the corpus names none.
        style: embedding of all clips that are heard, ``(size,)``.
        train: clips that can be spoken.
        validation: clips that judge; of what a speaker has too little, those of ``train``.
    """

    name: str
    style: np.ndarray
    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]


def read_speakers(
    folder: str | Path, hearing: Hearing, config: TrainingConfig
) -> tuple[Speaker, ...]:
    """The speakers of a corpus in the order of their names.

    Clips that sound like another speaker than the rest of theirs are named and left out.

    Args:
        folder: with ``train/`` and maybe ``validation/``.
        hearing: who hears.
        config: how many clips are heard, how long they may be, the language.

    Raises:
        DataError: there are no clips or no transcripts, or one speaker's clips sound like several.
        AudioError: of a speaker no clip can be used; the sentence says why of the first.
    """
    corpora = find_corpora(folder)
    train = _read(corpora[TRAIN], hearing, config, config.max_style_samples)
    judging = _read(corpora.get(VALIDATION, []), hearing, config, config.validation_clips)
    for name in sorted(judging.keys() - train.keys()):
        logger.warning("the validation's speaker %r is not in train, and left out.", name)
    return tuple(
        _speaker(name, clips, judging.get(name, []), hearing.name, config)
        for name, clips in train.items()
    )


def find_corpora(folder: str | Path) -> dict[str, list[Utterance]]:
    """Utterances of ``train`` and, where it is there, of ``validation``; nothing is read yet.

    Raises:
        DataError: ``train`` or its metadata is missing or malformed, or nothing in it has a text.
    """
    folder = Path(folder)
    metadata = folder / TRAIN / "metadata.jsonl"
    if not metadata.is_file():
        raise DataError(f"{metadata} is missing: a line for each clip, with file_name and text.")
    found = {TRAIN: _utterances(folder / TRAIN)}
    if (folder / VALIDATION / "metadata.jsonl").is_file():
        found[VALIDATION] = _utterances(folder / VALIDATION)
    if not any(item.text for item in found[TRAIN]):
        raise DataError(
            f"{metadata} holds no transcript: every text is empty; without texts, "
            "tools/kokoro_voice_from_audio.py makes a voice."
        )
    return found


def _utterances(folder: Path) -> list[Utterance]:
    """Where the metadata names no speaker, the reader says the folder's name; here it is empty."""
    unnamed = folder.resolve().name
    return [
        replace(item, speaker="") if item.speaker == unnamed else item
        for item in find_utterances(folder, "jsonl")
    ]


def _read(
    utterances: Sequence[Utterance], hearing: Hearing, config: TrainingConfig, most: int
) -> dict[str, list[Clip]]:
    """Clips by speaker, the first ``most`` of each."""
    groups: dict[str, list[Utterance]] = {}
    for item in utterances:
        groups.setdefault(item.speaker, []).append(item)
    chosen = {name: group[:most] for name, group in sorted(groups.items())}
    total = sum(map(len, chosen.values()))
    with tqdm(total=total, unit="clip", desc="hearing", disable=None) as bar:
        return {name: _clips(name, group, hearing, config, bar) for name, group in chosen.items()}


def _clips(
    name: str, group: Sequence[Utterance], hearing: Hearing, config: TrainingConfig, bar: tqdm
) -> list[Clip]:
    clips, problems = [], []
    for item in group:
        try:
            clips.append(_clip(name, item, hearing, config))
        except AudioError as error:
            problems.append(error)
        bar.update()
    if not clips:
        raise problems[0]
    for problem in problems:
        logger.warning("%s It is left out.", problem)
    return clips


def _clip(name: str, item: Utterance, hearing: Hearing, config: TrainingConfig) -> Clip:
    audio = read_clip(item.path)
    own = prepared(resample(audio, SAMPLE_RATE, SPEAKER_RATE), str(item.path))
    heard = hearing.embed(own[: int(LONGEST_S * SPEAKER_RATE)])
    return Clip(item.path, name, _phonemes(item, config.language), trimmed(audio), heard)


def _phonemes(item: Utterance, language: str) -> str:
    """Empty, and said aloud, where nothing can be spoken."""
    try:
        phonemes = phonemize(item.text, language)
        check_length(phonemes)
        return phonemes
    except TextError as error:
        logger.warning("%s has no usable transcript: %s", item.path, error)
        return ""


def _speaker(
    name: str, clips: list[Clip], judging: list[Clip], hearing: str, config: TrainingConfig
) -> Speaker:
    clips = without_strangers(name, clips, hearing)
    style = average(np.stack([clip.heard for clip in clips]), hearing)
    spoken = [clip for clip in clips if clip.seconds <= config.longest_clip]
    if not any(clip.phonemes for clip in spoken):
        raise DataError(
            f"no clip of {name or 'the speaker'} with a transcript is as short as "
            f"{config.longest_clip:g} s (--longest-clip)."
        )
    judging = [clip for clip in judging if clip.phonemes and clip.seconds <= config.longest_clip]
    if not judging:
        spoken, judging = held_out(name, spoken)
    return Speaker(name, style, tuple(spoken), tuple(judging[: config.validation_clips]))


def without_strangers(name: str, clips: list[Clip], hearing: str) -> list[Clip]:
    """Those that sound like one speaker; the others are named.

    Raises:
        DataError: half of them or more do not.
    """
    far = strangers(clips, np.stack([clip.heard for clip in clips]), hearing)
    names = ", ".join(str(clip.path) for clip in far[:NAMED_AT_MOST])
    names += f" and {len(far) - NAMED_AT_MOST} more" if len(far) > NAMED_AT_MOST else ""
    if 2 * len(far) >= len(clips):
        raise DataError(
            f"the clips of {name or 'the one speaker'} sound like several speakers, tell them "
            f"apart by the metadata's 'speaker': {names} are each unlike most of the others."
        )
    if far:
        logger.warning("left out, since they sound like another speaker than the rest: %s.", names)
    return [clip for clip in clips if not any(clip is other for other in far)]


def held_out(name: str, clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Clips to train with and, evenly taken from among them, clips to judge with."""
    whole = [clip for clip in clips if clip.phonemes]
    count = int(HELD_OUT * len(whole))
    if not count:
        logger.warning(
            "%s has too few clips to keep any for validation: those that train judge too.",
            name or "the speaker",
        )
        return clips, whole
    judging = whole[:: len(whole) // count][:count]
    return [clip for clip in clips if not any(clip is other for other in judging)], judging
