"""Audio and mels for RTVC's synthesizer, of LibriSpeech with alignments or of LibriTTS.

``<out>/train.txt`` has a line ``audio|mel|embed|samples|frames|text`` for each utterance, whose
arrays lie in ``audio`` and ``mels``. What was refused is in ``refused.txt``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.audio.analysis import mel_of
from myxtts.audio.io import read_audio
from myxtts.audio.silences import has_detector, split_on_silences, trim_silences
from myxtts.data.rtvc_folders import (
    NAMES,
    REFUSED,
    Refusals,
    append_lines,
    check_processes,
    folders_in,
    in_processes,
    preparing,
    save_array,
    whole_lines,
)
from myxtts.data.rtvc_hparams import HPARAMS, mel_spec, splitting
from myxtts.errors import AudioError, DataError, UnreadableError
from myxtts.files import writable_folder

logger = logging.getLogger(__name__)

TRAIN = "train.txt"
PARTS = ("audio", "mels")
SUFFIXES = (".wav", ".flac", ".mp3")


@dataclass(frozen=True)
class Speaker:
    """What a process is told of one speaker.

    Attributes:
        folder: of books.
        out: the synthesizer's folder.
        hparams: see :data:`~myxtts.data.rtvc_hparams.HPARAMS`.
        aligned: whether books have alignments, or recordings a text each.
        known: names of recordings whose utterances are listed and there already.
        names: of recordings whose stem is another's too; empty where that does not help.
    """

    folder: Path
    out: Path
    hparams: Mapping[str, Any]
    aligned: bool
    known: frozenset[str]
    names: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """Lines of ``train.txt``, and refusals."""

    lines: list[str]
    refused: list[str]


def preprocess_synthesizer(
    root: str | Path,
    out: str | Path,
    dataset: str = "LibriSpeech",
    subfolders: tuple[str, ...] = ("train-clean-100", "train-clean-360"),
    hparams: Mapping[str, Any] = HPARAMS,
    aligned: bool = True,
    skip_existing: bool = False,
    processes: int = 4,
) -> int:
    """Prepare the utterances of a data set; returns how many ``train.txt`` lists.

    Without alignments a recording's stem is its utterance's name, as in RTVC; where several have
    one stem, speaker and book stand before it. A ``train.txt`` that is there is begun anew when
    there is something to put into it.

    Args:
        root: of data sets.
        out: folder of the result.
        dataset: folder below ``root``.
        subfolders: of it, with a folder a speaker.
        hparams: see :data:`~myxtts.data.rtvc_hparams.HPARAMS`.
        aligned: whether there are ``*.alignment.txt``; else each recording has its text.
        skip_existing: go on where another run stopped.
        processes: that work side by side.

    Raises:
        DataError: nothing was found or could be prepared, or another process writes to ``out``.
    """
    check_processes(processes)
    root, out = Path(root), Path(out)
    below = {name: folders_in(root / dataset / name) for name in subfolders}
    speakers = [folder for folders in below.values() for folder in folders]
    if not speakers:
        raise DataError(f"{root / dataset} has no folders of speakers in {', '.join(subfolders)}.")
    for name, folders in below.items():
        if not folders:
            logger.warning("%s has no folders of speakers: it is skipped.", root / dataset / name)
    for name in PARTS:
        writable_folder(out / name, DataError)
    with preparing(out, *PARTS):
        count = _prepare(speakers, out, dataset, hparams, aligned, skip_existing, processes)
    if not count:
        raise DataError(_nothing(root / dataset, speakers, aligned, out))
    return count


def _prepare(
    speakers: list[Path],
    out: Path,
    dataset: str,
    hparams: Mapping[str, Any],
    aligned: bool,
    skip_existing: bool,
    processes: int,
) -> int:
    names = {} if aligned else _names(speakers)
    lines: list[str] = []
    refusals = Refusals(out, skip_existing)
    if skip_existing:
        ambiguous = {path.stem for own in names.values() for path in own}
        lines = [line for line in _finished(out, aligned)
                 if aligned or _recording(line, aligned) not in ambiguous]  # fmt: skip
        _begin(out, lines)
    known, count = frozenset(_recording(line, aligned) for line in lines), len(lines)
    if hparams["trim_silence"] and not has_detector():
        logger.warning("webrtcvad is not installed: silences are not trimmed.")
    begun = skip_existing
    tasks = [
        Speaker(folder, out, hparams, aligned, known, names.get(folder, {})) for folder in speakers
    ]
    for done in in_processes(prepare_speaker, tasks, processes, dataset):
        if done.lines and not begun:
            _begin(out, lines)
            begun = True
        append_lines(out / TRAIN, done.lines)
        refusals.add(done.refused)
        count += len(done.lines)
    return count


def _begin(out: Path, lines: list[str]) -> None:
    (out / TRAIN).write_text("".join(f"{line}\n" for line in lines), newline="\n", **NAMES)


def _names(speakers: list[Path]) -> dict[Path, dict[Path, str]]:
    """By speaker, names of recordings whose stem is not theirs alone.

    One is empty where another recording has that name too.
    """
    recordings = [(folder, path) for folder in speakers for book in folders_in(folder)
                  for path in _recordings(book)]  # fmt: skip
    count = Counter(path.stem for _, path in recordings)
    taken = {stem for stem, times in count.items() if times == 1}
    found: dict[Path, dict[Path, str]] = {}
    for folder, path in recordings:
        if count[path.stem] > 1:
            name = f"{folder.name}_{path.parent.name}_{path.stem}"
            found.setdefault(folder, {})[path] = "" if name in taken else name
            taken.add(name)
    return found


def _recordings(book: Path) -> list[Path]:
    return sorted(item for item in book.iterdir() if item.suffix.lower() in SUFFIXES)


def prepare_speaker(task: Speaker) -> Prepared:
    """Write the utterances of one speaker."""
    done = Prepared([], [])
    for book in folders_in(task.folder):
        found = _aligned(task, book, done) if task.aligned else _texts(task, book, done)
        for name, wave, text in found:
            try:
                line = write_utterance(task, name, wave, text)
            except AudioError as error:
                done.refused.append(f"{book / name}\t{error}")
            else:
                done.lines.append(line)
    return done


def write_utterance(task: Speaker, name: str, wave: np.ndarray, text: str) -> str:
    """Write the wave and the mel of an utterance; returns its line of ``train.txt``.

    Raises:
        AudioError: it is too short or too long, or has a name that cannot be listed.
    """
    if {"|", "\n", "\r"} & {*name}:
        raise AudioError("its name has a | or a line break, which train.txt cannot hold.")
    hparams, spec = task.hparams, mel_spec(task.hparams)
    if hparams["trim_silence"] and has_detector():
        wave = trim_silences(wave)
    least = hparams["utterance_min_duration"]
    if len(wave) < least * spec.sample_rate:
        raise AudioError(f"too short: {len(wave) / spec.sample_rate:.2f} s of {least} s at least.")
    mel = mel_of(wave, spec)
    most = hparams["max_mel_frames"]
    if hparams["clip_mels_length"] and len(mel) > most:
        raise AudioError(f"too long: {len(mel)} frames of {most} at most.")
    audio_name, mel_name = f"audio-{name}.npy", f"mel-{name}.npy"
    save_array(task.out / "audio" / audio_name, wave)
    save_array(task.out / "mels" / mel_name, mel)
    # A line is a line, and readers take what is behind the fifth bar for the text.
    text = " ".join(text.split())
    return f"{audio_name}|{mel_name}|embed-{name}.npy|{len(wave)}|{len(mel)}|{text}"


def _aligned(task: Speaker, book: Path, done: Prepared) -> Iterator[tuple[str, np.ndarray, str]]:
    """Segments of the recordings of a book that its alignment names."""
    path = book / f"{task.folder.name}-{book.name}.alignment.txt"
    if not path.is_file():
        done.refused.append(f"{book}\tno {path.name}.")
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        done.refused.append(f"{path}\t{error}")
        return
    for line in lines:
        parts = line.rstrip().split(" ")
        try:
            name, words, ends = parts
            words = words.replace('"', "").split(",")
            ends = [float(end) for end in ends.replace('"', "").split(",")]
        except ValueError:
            done.refused.append(f"{path}\tno line of an alignment: {line[:60]}")
            continue
        recording = book / f"{name}.flac"
        if name in task.known:
            continue
        try:
            wave = _wave(recording, task.hparams)
            segments = split_on_silences(wave, words, ends, splitting(task.hparams))
        except UnreadableError:
            raise
        except (AudioError, DataError) as error:
            done.refused.append(f"{recording}\t{error}")
            continue
        for number, (part, text) in enumerate(segments):
            yield f"{name}_{number:02d}", part, text


def _texts(task: Speaker, book: Path, done: Prepared) -> Iterator[tuple[str, np.ndarray, str]]:
    """Recordings of a book that have a text beside them."""
    for path in _recordings(book):
        name = task.names.get(path, path.stem)
        texts = [path.with_suffix(suffix) for suffix in (".txt", ".normalized.txt")]
        text = next((item for item in texts if item.is_file()), None)
        if name in task.known:
            continue
        if not name:
            done.refused.append(f"{path}\tanother recording has its name.")
            continue
        if text is None:
            done.refused.append(f"{path}\tno {texts[0].name} or {texts[1].name}.")
            continue
        try:
            spoken = text.read_text(encoding="utf-8").replace('"', "").strip()
            yield name, _wave(path, task.hparams), spoken
        except UnreadableError:
            raise
        except (AudioError, OSError, UnicodeDecodeError) as error:
            done.refused.append(f"{path}\t{error}")


def _wave(path: Path, hparams: Mapping[str, Any]) -> np.ndarray:
    wave, _ = read_audio(path, hparams["sample_rate"])
    peak = np.abs(wave).max()
    if not peak:
        raise AudioError(f"{path} is silent.")
    return wave / peak * np.float32(hparams["rescaling_max"]) if hparams["rescale"] else wave


def _finished(out: Path, aligned: bool) -> list[str]:
    """Lines of recordings all of whose arrays are there."""
    lines = whole_lines(out / TRAIN)
    undone = {_recording(line, aligned) for line in lines if not _is_there(out, line)}
    return [line for line in lines if _recording(line, aligned) not in undone]


def _is_there(out: Path, line: str) -> bool:
    audio, mel = (line.split("|") + [""])[:2]
    return (out / "audio" / audio).is_file() and (out / "mels" / mel).is_file()


def _recording(line: str, aligned: bool) -> str:
    """Name of the recording that a line's utterance is of; segments have a number behind it."""
    name = line.partition("|")[0].removeprefix("audio-").removesuffix(".npy")
    return name.rpartition("_")[0] if aligned else name


def _nothing(dataset: Path, speakers: list[Path], aligned: bool, out: Path) -> str:
    found = any(True for folder in speakers for _ in folder.rglob("*.alignment.txt"))
    if aligned and not found:
        return (
            f"{dataset} has no alignments: merge CorentinJ/librispeech-alignments into it, or "
            "add --no_alignments where each recording has its text."
        )
    return f"{dataset} gave no utterance; {out / REFUSED} says why."
