"""The record in a preset's folder: what model it holds and where its weights came from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import myxtts
from myxtts.digests import check_seal, sealed
from myxtts.errors import CheckpointError
from myxtts.files import mend_folder, read_object

MANIFEST = "manifest.json"
# Also the kind of presets whose manifest names none: when they were written, there was no other.
XTTS_KIND = "xtts"


@dataclass
class Record:
    """What the manifest of a preset says. Mappings are copied.

    Attributes:
        kind: of model, which decides what class reads the preset.
        provenance: where the weights came from, with the SHA-256 of their file; None for
            weights trained here.
        encoder_provenance: the same of a pretrained speaker encoder inside the model.
        licence: of the weights, None where nobody has named one.
        source: SHA-256 of each file the model was converted from.
        trained_steps: optimiser steps each training stage has made.
        vocoder_errors: mel errors of each vocoder on validation speech.
        parameters: of each part of the model.
        sha256: of each weights file.
        quantised: how the matrices of the GPT are stored, ``int8``; None for floats.
        quantised_from: SHA-256 of the weights file that they were rounded from, all else equal.
        files: SHA-256 of each other file of the preset; empty in presets of before it was kept.
        myxtts: version of the package that wrote the preset.
    """

    kind: str = XTTS_KIND
    provenance: str | None = None
    encoder_provenance: str | None = None
    licence: str | None = None
    source: dict[str, str] = field(default_factory=dict)
    trained_steps: dict[str, int] = field(default_factory=dict)
    vocoder_errors: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    quantised: str | None = None
    quantised_from: str | None = None
    myxtts: str = myxtts.__version__

    def __post_init__(self) -> None:
        for name in ("source", "trained_steps", "vocoder_errors", "parameters", "sha256", "files"):
            setattr(self, name, dict(getattr(self, name)))

    def write(self, folder: Path) -> None:
        """Write the manifest of ``folder``."""
        content = json.dumps(sealed(asdict(self)), indent=2)
        (folder / MANIFEST).write_text(content, encoding="utf-8")


def read_record(folder: Path, kind: str) -> Record:
    """Record of the preset ``folder`` of a model of this ``kind``.

    Raises:
        CheckpointError: the folder is no preset or one of another kind, or its manifest is
            damaged.
    """
    path, values = folder / MANIFEST, _mended(folder)
    try:
        known = {item.name for item in fields(Record)} & set(values)
        record = Record(**{name: values[name] for name in known})
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is missing or damaged: {error}.") from error
    if record.kind != kind:
        raise CheckpointError(f"{folder} is a preset of kind {record.kind!r}, not {kind!r}.")
    return record


def kind_of(folder: str | Path) -> str:
    """Kind of the model in the preset ``folder``.

    Raises:
        CheckpointError: it is no preset, or its manifest is damaged.
    """
    return str(_mended(Path(folder)).get("kind", XTTS_KIND))


def check_record(folder: Path) -> None:
    """Refuse a manifest that is not as it was written; one that cannot be checked is named.

    Raises:
        CheckpointError: it is damaged or was changed.
    """
    check_seal(_read(folder / MANIFEST), folder / MANIFEST)


def _mended(folder: Path) -> dict:
    """The manifest of a folder that may have been left half written."""
    if not (folder / MANIFEST).is_file():
        mend_folder(folder)
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(f"{folder} is no preset: it has no {MANIFEST}.")
    return _read(folder / MANIFEST)


def _read(path: Path) -> dict:
    return read_object(path, CheckpointError, "is missing or damaged")
