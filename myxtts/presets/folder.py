"""Preset folders: a model as configuration, weights, vocabulary and manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import myxtts
from myxtts.config import XTTSConfig
from myxtts.errors import CheckpointError
from myxtts.files import replacing_folder
from myxtts.presets.variables import file_sha256, load_variables, named, save_variables

if TYPE_CHECKING:
    from myxtts.models.xtts import XTTS

CONFIG = "config.yaml"
TOKENIZER = "tokenizer.json"
MANIFEST = "manifest.json"
# The DVAE is needed for training and for Griffin-Lim only, and lies apart.
MAIN = "xtts.safetensors"
WEIGHTS = {
    MAIN: ("mel_norm", "audio_encoder", "gpt", "decoder"),
    "dvae.safetensors": ("dvae",),
}


def save(model: XTTS, folder: Path, half: bool = False) -> None:
    """Write ``model`` to ``folder``; a preset already there is replaced at the very end.

    Other files in a preset's folder (a model card, say) stay in it. With ``half``,
    matrices are stored in float16; they are float32 again once loaded.

    Raises:
        CheckpointError: something cannot be written, or ``folder`` holds files and no
            preset; what was there before is still there.
    """
    if model.tokenizer is None:
        raise CheckpointError("a model without a tokenizer cannot be saved as a preset.")
    folder = folder.resolve()
    others = _other_files(folder)
    with replacing_folder(folder) as fresh:
        model.config.to_yaml(fresh / CONFIG)
        model.tokenizer.save(fresh / TOKENIZER)
        for file, parts in WEIGHTS.items():
            save_variables(fresh / file, part_variables(model, parts), half=half)
        manifest = _manifest(model, fresh)
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2))
        for path in others:
            _copy(path, fresh / path.name)
    model.fingerprint = manifest["sha256"][MAIN]


def load(model: XTTS, folder: Path) -> None:
    """Fill the weights of ``model`` and its record of training from ``folder``."""
    manifest = _read_manifest(folder)
    for file, parts in WEIGHTS.items():
        load_variables(folder / file, part_variables(model, parts))
        if file_sha256(folder / file) != manifest["sha256"].get(file):
            raise CheckpointError(f"{folder / file} is damaged or not the one of {MANIFEST}.")
    model.trained_steps = dict(manifest["trained_steps"])
    model.vocoder_errors = dict(manifest["vocoder_errors"])
    model.source = dict(manifest.get("source", {}))
    model.fingerprint = manifest["sha256"][MAIN]
    if model.encoder_provenance is not None:
        model.audio_encoder.speaker_encoder.provenance = manifest["encoder_provenance"]


def copy_record(source: XTTS, target: XTTS) -> None:
    """Give ``target`` what ``source`` knows of where its weights came from."""
    target.trained_steps = dict(source.trained_steps)
    target.vocoder_errors = dict(source.vocoder_errors)
    target.source = dict(source.source)
    if source.encoder_provenance is not None:
        target.audio_encoder.speaker_encoder.provenance = source.encoder_provenance


def read_config(folder: Path) -> XTTSConfig:
    """Configuration of a preset folder.

    Raises:
        CheckpointError: the folder is no preset.
    """
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder} is no preset: it has no {CONFIG}.")
    return XTTSConfig.from_yaml(folder / CONFIG)


def part_variables(model: XTTS, parts: tuple[str, ...]) -> dict:
    """Saved variables of the named parts, under their paths."""
    return {
        f"{part}/{name}": variable
        for part in parts
        for name, variable in named(getattr(model, part).weights, part).items()
    }


def _manifest(model: XTTS, folder: Path) -> dict:
    return {
        "myxtts": myxtts.__version__,
        "trained_steps": dict(model.trained_steps),
        "vocoder_errors": dict(model.vocoder_errors),
        "encoder_provenance": model.encoder_provenance,
        "source": dict(model.source),
        "parameters": {name: part.count_params() for name, part in model.parts().items()},
        "sha256": {file: file_sha256(folder / file) for file in WEIGHTS},
    }


def _read_manifest(folder: Path) -> dict:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for key in ("trained_steps", "vocoder_errors", "sha256"):
            manifest[key] = dict(manifest[key])
        manifest["encoder_provenance"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / MANIFEST} is missing or damaged: {error}.") from error
    return manifest


def _other_files(folder: Path) -> list[Path]:
    """Entries of a preset's folder that are not the preset's own."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; a preset is a folder.")
    entries = sorted(folder.iterdir())
    if entries and not (folder / MANIFEST).is_file():
        raise CheckpointError(
            f"{folder} holds {entries[0].name} and no preset; name another folder for the preset."
        )
    return [path for path in entries if path.name not in {CONFIG, TOKENIZER, MANIFEST, *WEIGHTS}]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)
