"""Mels for RTVC's speaker encoder: LibriSpeech and VoxCeleb trees to one folder a speaker.

``<out>/<speaker>/_sources.txt`` has a line ``<frames>.npy,<recording>`` for each array of frames
``(frames, 40)``; a speaker without any has no folder. What was refused is in ``refused.txt``.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from myxtts.audio.analysis import mel_of
from myxtts.audio.frontends import RESEMBLYZER
from myxtts.audio.io import read_audio
from myxtts.audio.silences import has_detector, raised_volume, trim_silences
from myxtts.data.formats import require_folder
from myxtts.data.rtvc_folders import (
    REFUSED,
    Refusals,
    append_lines,
    audio_below,
    check_processes,
    folders_in,
    in_processes,
    preparing,
    read_names,
    save_array,
    whole_lines,
)
from myxtts.errors import AudioError, ConfigError, DataError, UnreadableError
from myxtts.files import sweep, writable_folder
from myxtts.settings import nearest

logger = logging.getLogger(__name__)

SOURCES = "_sources.txt"
DATASETS = ("librispeech_other", "voxceleb1", "voxceleb2")
PARTIAL_FRAMES = 160
# Of VoxCeleb1 only these speak English as a first language.
NATIONALITIES = ("australia", "canada", "ireland", "uk", "usa")
META = "vox1_meta.csv"


@dataclass(frozen=True)
class SpeakerFolder:
    """The recordings of one speaker, and where their mels go.

    Attributes:
        source: folder of recordings, at any depth.
        target: folder of mels.
        known: names of mels that are there already.
    """

    source: Path
    target: Path
    known: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Prepared:
    """What became of a speaker: lines of ``_sources.txt``, refusals, and durations in seconds."""

    lines: list[str]
    refused: list[str]
    seconds: list[float]


def preprocess_encoder(
    root: str | Path,
    out: str | Path,
    datasets: tuple[str, ...] = DATASETS,
    skip_existing: bool = False,
    processes: int = 4,
) -> int:
    """Prepare data sets that lie below ``root``; those that are absent are skipped, and told.

    Args:
        root: with ``LibriSpeech``, ``VoxCeleb1`` or ``VoxCeleb2``.
        out: folder of the mels.
        datasets: names in ``DATASETS``.
        skip_existing: go on where another run stopped.
        processes: that work side by side.

    Returns:
        How many utterances lie in ``out`` of these speakers.

    Raises:
        ConfigError: there is no such data set.
        DataError: nothing could be prepared, or another process writes to ``out``.
    """
    root, out = Path(root), Path(out)
    for name in datasets:
        if name not in DATASETS:
            raise ConfigError(f"no data set {name!r}{nearest(name, DATASETS)}.")
    require_folder(root, "folder of data sets")
    check_processes(processes)
    writable_folder(out, DataError)
    if not has_detector():
        logger.warning("webrtcvad is not installed: silences are not trimmed.")
    total = 0
    with preparing(out):
        refusals = Refusals(out, skip_existing)
        for name in datasets:
            for dataset, folders in _speakers(root, name):
                own = root, out, dataset, folders
                total += _prepare(*own, skip_existing, processes, refusals)
    if not total:
        told = f"; {out / REFUSED} says why" if (out / REFUSED).is_file() else ""
        raise DataError(
            f"{root} gave no utterance of {', '.join(datasets)} (LibriSpeech/train-other-500, "
            f"VoxCeleb1/wav and VoxCeleb2/dev/aac are looked for){told}."
        )
    return total


def _speakers(root: Path, name: str) -> list[tuple[str, list[Path]]]:
    """The data set's path and its speakers' folders; empty where it is absent."""
    path = {
        "librispeech_other": "LibriSpeech/train-other-500",
        "voxceleb1": "VoxCeleb1/wav",
        "voxceleb2": "VoxCeleb2/dev/aac",
    }[name]
    dataset = path if name == "librispeech_other" else path.partition("/")[0]
    folders = folders_in(root / path)
    if not folders:
        logger.warning("%s is not there: %s is skipped.", root / path, name)
        return []
    if name == "voxceleb1":
        kept = english_speakers(root / "VoxCeleb1" / META)
        folders = [folder for folder in folders if folder.name in kept]
    return [(dataset, folders)]


def english_speakers(path: Path) -> set[str]:
    """Speakers of ``vox1_meta.csv`` from countries where English is spoken.

    Raises:
        DataError: the table is not there, or no table.
    """
    if not path.is_file():
        raise DataError(f"{path} is not there; VoxCeleb1 is taken by the nationalities in it.")
    rows = [line.split("\t") for line in read_names(path)[1:]]
    if any(len(row) < 4 for row in rows):
        raise DataError(f"{path} is no table of ID, name, gender and nationality with tabs.")
    return {row[0] for row in rows if row[3].strip().lower() in NATIONALITIES}


def _prepare(
    root: Path,
    out: Path,
    dataset: str,
    folders: list[Path],
    skip: bool,
    processes: int,
    refusals: Refusals,
) -> int:
    log = [f"Creating dataset {dataset}, started on {_now()}", "-----", *_parameters(), "-----"]
    tasks, count, seconds = [], 0, []
    for folder in folders:
        target = out / "_".join(folder.relative_to(root).parts)
        sweep(target)
        known = whole_lines(target / SOURCES) if skip else []
        count += len(known)
        tasks.append(SpeakerFolder(folder, target, frozenset(frames_of(line) for line in known)))
    for task, done in zip(tasks, in_processes(prepare_speaker, tasks, processes, dataset),
                          strict=True):  # fmt: skip
        if not skip:
            # Speaker by speaker: a run that is broken off has the others' as they were.
            (task.target / SOURCES).unlink(missing_ok=True)
        append_lines(task.target / SOURCES, done.lines)
        refusals.add(done.refused)
        count, seconds = count + len(done.lines), seconds + done.seconds
    (out / f"Log_{dataset.replace('/', '_')}.txt").write_text(
        "\n".join([*log, *_statistics(seconds), "-----", f"Finished on {_now()}", ""]),
        encoding="utf-8",
    )
    return count


def prepare_speaker(task: SpeakerFolder) -> Prepared:
    """Write the mels of one speaker."""
    done = Prepared([], [], [])
    for path in audio_below(task.source):
        name = "_".join(path.relative_to(task.source).with_suffix(".npy").parts)
        if name in task.known:
            continue
        try:
            wave = speech_of(path)
            frames = mel_of(wave, RESEMBLYZER) if len(wave) else np.zeros((0, RESEMBLYZER.n_mels))
            if len(frames) < PARTIAL_FRAMES:
                raise AudioError(f"too short: {len(frames)} frames of {PARTIAL_FRAMES} at least.")
        except UnreadableError:
            raise
        except AudioError as error:
            done.refused.append(f"{path}\t{error}")
            continue
        task.target.mkdir(parents=True, exist_ok=True)
        save_array(task.target / name, frames)
        done.lines.append(f"{name},{path}")
        done.seconds.append(len(wave) / RESEMBLYZER.sample_rate)
    return done


def speech_of(path: Path) -> np.ndarray:
    """A recording as the encoder hears it: 16 kHz, raised to -30 dBFS, without long silences.

    Raises:
        AudioError: it cannot be read, or is silent.
    """
    wave = raised_volume(read_audio(path, RESEMBLYZER.sample_rate)[0])
    return trim_silences(wave) if has_detector() else wave


def frames_of(line: str) -> str:
    """File of frames of a line of ``_sources.txt``; commas in names do no harm."""
    return line[: line.index(".npy,") + 4] if ".npy," in line else line.partition(",")[0]


def _parameters() -> list[str]:
    told = {
        "mel_n_channels": RESEMBLYZER.n_mels,
        "mel_window_length": 25,
        "mel_window_step": 10,
        "partials_n_frames": PARTIAL_FRAMES,
        "sampling_rate": RESEMBLYZER.sample_rate,
    }
    return ["Parameter values:", *(f"\t{name}: {value}" for name, value in told.items())]


def _statistics(seconds: list[float]) -> list[str]:
    if not seconds:
        return ["Statistics:"]
    own = min(seconds), max(seconds), float(np.mean(seconds)), float(np.median(seconds))
    return [
        "Statistics:",
        "\tduration:",
        f"\t\tmin {own[0]:.3f}, max {own[1]:.3f}",
        f"\t\tmean {own[2]:.3f}, median {own[3]:.3f}",
    ]


def _now() -> str:
    return datetime.now().strftime("%A %d %B %Y at %H:%M")
