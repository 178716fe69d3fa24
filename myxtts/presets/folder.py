"""Preset folders: a model of any kind as configuration, weights, record and what goes with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import yaml

from myxtts.digests import file_sha256
from myxtts.errors import CheckpointError
from myxtts.files import replacing_folder
from myxtts.presets.record import MANIFEST, Record, check_record, kind_of, read_record
from myxtts.presets.variables import load_variables, save_variables
from myxtts.settings import AnySettings

CONFIG = "config.yaml"

# Variables of each weights file, by their names in it.
Weights = Mapping[str, Mapping]


def save(
    folder: str | Path,
    record: Record,
    config: dict,
    weights: Weights,
    writers: Mapping[str, Callable[[Path], None]] | None = None,
    half: bool = False,
    int8: Collection[str] = (),
) -> None:
    """Write a model to ``folder``; a preset already there is replaced at the very end.

    Other files in a preset's folder (a model card, say) stay in it.

    Args:
        folder: new, empty or a preset's.
        record: of the model; the SHA-256 of each file is put into it.
        config: plain values, nested, that :func:`read_config` gives back.
        weights: what is to be kept.
        writers: what writes each file beside these (a tokenizer's, say), given its path.
        half: store matrices in float16; they are float32 again once loaded.
        int8: names of matrices to store as int8 with a scale a channel; the record should say so.

    Raises:
        CheckpointError: something cannot be written, or ``folder`` holds files and no
            preset; what was there before is still there.
    """
    folder = Path(folder).resolve()
    writers = writers or {}
    others = _other_files(folder, {CONFIG, MANIFEST, *weights, *writers})
    with replacing_folder(folder) as fresh:
        text = yaml.safe_dump(config, sort_keys=False)
        (fresh / CONFIG).write_text(text, encoding="utf-8")
        for name, write in writers.items():
            write(fresh / name)
        record.files = {name: file_sha256(fresh / name) for name in (CONFIG, *writers)}
        for file, variables in weights.items():
            save_variables(fresh / file, variables, half=half, int8=int8)
            record.sha256[file] = file_sha256(fresh / file)
        record.write(fresh)
        for path in others:
            _copy(path, fresh / path.name)


def read_config(folder: str | Path, kind: str, settings: type[AnySettings]) -> AnySettings:
    """Configuration of a preset of this ``kind`` as ``settings``.

    Raises:
        CheckpointError: the folder is no preset or one of another kind, or the configuration
            is not the one that was written.
        ConfigError: the configuration is missing or damaged.
    """
    record = read_record(Path(folder), kind)
    read = settings.from_yaml(Path(folder) / CONFIG)
    _check_files(Path(folder), record, CONFIG)
    return read


def check_file(path: str | Path) -> None:
    """Refuse a file of a preset, beside its record, that is not the one that was written.

    Raises:
        CheckpointError: it is not, or the record is damaged.
    """
    folder = Path(path).parent
    _check_files(folder, read_record(folder, kind_of(folder)), Path(path).name)


def load(folder: str | Path, kind: str, weights: Weights) -> Record:
    """Fill ``weights`` from a preset of this ``kind``; return its record.

    Raises:
        CheckpointError: the folder is no preset or one of another kind, or its files are
            damaged or do not fit.
    """
    folder = Path(folder)
    record = read_record(folder, kind)
    check_record(folder)
    _check_files(folder, record, *record.files)
    for file, variables in weights.items():
        # A file that the record does not name is none of this preset.
        load_variables(folder / file, variables, record.sha256.get(file, "none"))
    return record


def refuse_training(folder: str | Path, kind: str) -> None:
    """Refuse a preset whose weights are rounded for speaking as the beginning of a training.

    Raises:
        CheckpointError: it is one, or the folder is no preset or one of another kind.
    """
    record = read_record(Path(folder), kind)
    if record.quantised:
        raise CheckpointError(
            f"{folder} holds {record.quantised} weights, which are for speaking only: train from "
            "the preset that it was quantised from."
        )


def _check_files(folder: Path, record: Record, *names: str) -> None:
    for name in names:
        known = record.files.get(name)
        try:
            intact = known is None or file_sha256(folder / name) == known
        except OSError as error:
            raise CheckpointError(f"cannot read {folder / name}: {error.strerror}.") from error
        if not intact:
            raise CheckpointError(
                f"{folder / name} is damaged or of another configuration: it is not the file that "
                f"{MANIFEST} was written with."
            )


def _other_files(folder: Path, own: set[str]) -> list[Path]:
    """Entries of a preset's folder that are not the preset's ``own``."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; a preset is a folder.")
    entries = sorted(folder.iterdir())
    if entries and not (folder / MANIFEST).is_file():
        raise CheckpointError(
            f"{folder} holds {entries[0].name} and no preset; name another folder for the preset."
        )
    return [path for path in entries if path.name not in own]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)
