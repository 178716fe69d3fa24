"""Voices that lie in a preset's folder, by their names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from myxtts.digests import check_seal, sealed
from myxtts.errors import CheckpointError
from myxtts.files import write_whole

FOLDER, LIST = "voices", "voices.json"


@dataclass(frozen=True)
class PresetVoice:
    """A voice of a preset.

    Attributes:
        name: to ask for it by.
        about: what it is like and whose it is, in a few words.
    """

    name: str
    about: str = ""


def preset_voices(preset: str | Path) -> list[PresetVoice]:
    """Voices of the preset folder, the one that speaks unasked first; none for most presets.

    Raises:
        CheckpointError: their list is damaged.
    """
    path = Path(preset) / FOLDER / LIST
    if not path.is_file():
        return []
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict):
            check_seal(values, path)
            values = values["voices"]
        return [PresetVoice(**entry) for entry in values]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from error


def voice_path(preset: str | Path, name: str | Path | None = None) -> Path:
    """File of a voice.

    Args:
        preset: folder of the model that is to speak.
        name: of one of its voices, or a file; None for the voice that speaks unasked.

    Raises:
        CheckpointError: the model has no voices, or none of that name, and there is no such file.
    """
    names = [voice.name for voice in preset_voices(preset)]
    if name is None and not names:
        raise CheckpointError(
            f"the model {preset} has no voices of its own: give --reference-audio or --voice."
        )
    chosen = names[0] if name is None else str(name)
    if chosen in names:
        return file_of(preset, chosen)
    if Path(chosen).is_file():
        return Path(chosen)
    known = f"those of {preset} are {', '.join(names)}" if names else f"{preset} has none by name"
    raise CheckpointError(f"there is no voice {chosen}: no such file, and {known}.")


def file_of(preset: str | Path, name: str) -> Path:
    """Where the voice of that name lies in the preset folder."""
    return Path(preset) / FOLDER / f"{name}.safetensors"


def write_list(preset: str | Path, voices: Sequence[PresetVoice]) -> None:
    """Write the list of a preset's voices, the one that speaks unasked first.

    Raises:
        CheckpointError: it cannot be written.
    """
    values = sealed({"voices": [asdict(voice) for voice in voices]})
    write_whole(Path(preset) / FOLDER / LIST, json.dumps(values, indent=1) + "\n")
