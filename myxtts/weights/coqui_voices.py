"""Voices as Coqui's programs keep them: conditioning latents and a speaker embedding, by name.

``speakers_xtts.pth`` lies beside XTTS-v2's weights; servers around it keep the same two arrays as
JSON, one voice a file or several by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.errors import CheckpointError, WeightsError
from myxtts.weights.torch_file import read_torch_tables

SUFFIXES = (".pth", ".pt", ".json")
LATENTS, EMBEDDING = "gpt_cond_latent", "speaker_embedding"
# Names shown where one is missing.
_SHOWN = 100


@dataclass(frozen=True)
class Latents:
    """What a voice is to an XTTS.

    Attributes:
        latents: float32 ``(1, num_latents, model_dim)``.
        speaker_embedding: float32 ``(1, embedding_dim)``.
    """

    latents: np.ndarray
    speaker_embedding: np.ndarray


def is_voice_file(path: str | Path) -> bool:
    """Whether a file of that name is read here."""
    return Path(path).suffix.lower() in SUFFIXES


def read_voice(path: str | Path, speaker: str | None = None) -> Latents:
    """The voice ``speaker`` of a ``.pth`` or ``.json`` file.

    Args:
        path: of the file.
        speaker: its name; None for the only voice of a file.

    Raises:
        CheckpointError: the file cannot be read or holds no voices, or none of that name: the
            names are listed.
    """
    voices = read_voices(path)
    names = list(voices)
    if speaker is None and len(names) == 1:
        speaker = names[0]
    if speaker in voices:
        return voices[speaker]
    shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
    if names == [""]:
        raise CheckpointError(f"{path} holds one voice without a name; leave out --speaker.")
    if speaker is None:
        raise CheckpointError(f"{path} holds {len(names)} voices; name one, --speaker: {shown}.")
    raise CheckpointError(f"{path} has no speaker {speaker!r}; it has {shown}.")


def read_voices(path: str | Path) -> dict[str, Latents]:
    """All voices of a ``.pth`` or ``.json`` file by name; the name of a single one is empty.

    Raises:
        CheckpointError: it cannot be read, or holds no voices.
    """
    try:
        tables = _read_json(path) if Path(path).suffix.lower() == ".json" else _read_torch(path)
    except (OSError, ValueError, RecursionError, WeightsError) as error:
        raise CheckpointError(f"{path} cannot be read as voices: {error}") from error
    found = {name: table for name, table in tables.items() if LATENTS in table}
    if not found:
        raise CheckpointError(
            f"{path} holds no voices: {LATENTS} and {EMBEDDING} are looked for, alone or by name."
        )
    return {
        name: Latents(
            _rows(path, name, table, LATENTS, 2)[None], _rows(path, name, table, EMBEDDING, 1)[None]
        )
        for name, table in found.items()
    }


def _read_torch(path: str | Path) -> dict[str, dict[str, Any]]:
    return read_torch_tables(path)


def _read_json(path: str | Path) -> dict[str, dict[str, Any]]:
    content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    if not isinstance(content, dict):
        raise ValueError("its JSON is no object.")
    if LATENTS in content:
        return {"": content}
    return {name: value for name, value in content.items() if isinstance(value, dict)}


def _rows(path: str | Path, name: str, table: dict[str, Any], key: str, axes: int) -> np.ndarray:
    """Array ``key`` of a voice with as many axes; those of length one are dropped or added."""
    where = f"{path}: {key}" + (f" of {name!r}" if name else "")
    if key not in table:
        raise CheckpointError(f"{where} is missing.")
    try:
        array = np.asarray(table[key], dtype="float32")
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{where} is no array of numbers.") from error
    shape = array.shape
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    while array.ndim > axes and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != axes or not array.size:
        raise CheckpointError(f"{where} has shape {shape}.")
    if not np.isfinite(array).all():
        raise CheckpointError(f"{where} holds numbers that are NaN or infinite.")
    return array
