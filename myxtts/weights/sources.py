"""Where pretrained weights are looked for: a path, a package, the Hugging Face hub."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from myxtts.deadlines import within
from myxtts.errors import WeightsError

logger = logging.getLogger(__name__)

# Seconds for the hub to answer in all, the bytes a second that a download must have besides,
# and the bytes that no such weights reach.
_PATIENCE_S = 60.0
_SLOWEST = 200_000
_LARGEST = 2**33


@dataclass(frozen=True)
class Source:
    """What one encoder's published weights are and how they are read.

    Attributes:
        files: names of the weights file, the one on the hub first.
        licence: of the published weights.
        read: from a file to its arrays.
        load: sets an encoder's weights from arrays.
        check: compares a configuration beside the file with the encoder's sizes.
        command: how to get the weights.
        package: Python package that ships them; without a repository, the only place.
        package_folder: where inside the package.
        repository: of the Hugging Face hub that has them.
        companions: other files of the repository that ``check`` reads.
        published: names of the published files, by their SHA-256.
    """

    files: tuple[str, ...]
    licence: str
    read: Callable[[Path], Mapping[str, np.ndarray]]
    load: Callable
    command: str
    check: Callable[[Path, object], None] | None = None
    package: str | None = None
    package_folder: str = ""
    repository: str | None = None
    companions: tuple[str, ...] = ()
    published: Mapping[str, str] = field(default_factory=dict)


def find(source: Source, path: str | Path | None = None) -> tuple[Path, str]:
    """The weights file and a name for where it came from.

    Args:
        source: whose weights.
        path: the file, or a folder that holds it as the hub or the hub's cache does;
            the hub's cache, the installed package, or the hub when None.

    Raises:
        WeightsError: it is not there; the sentence says what was looked for, where, and
            how to get it.
    """
    if path is not None:
        return _from_path(source, Path(path))
    if source.repository is None:
        return _from_package(source)
    return _from_hub_cache(source) or _in_package(source) or _from_hub(source)


def _from_path(source: Source, path: Path) -> tuple[Path, str]:
    file = path if path.is_file() else _in_folder(source, path)
    if file is not None:
        return file, f"local:{file.name}"
    raise WeightsError(
        f"no pretrained weights: {' or '.join(source.files)} was looked for in {path}; "
        f"get it with: {source.command}"
    )


def _in_folder(source: Source, folder: Path) -> Path | None:
    """The weights file in ``folder`` or, where that is part of the hub's cache, in a snapshot."""
    places = [folder]
    if source.repository is not None:
        model = folder / ("models--" + source.repository.replace("/", "--"))
        snapshots = (folder if (folder / "snapshots").is_dir() else model) / "snapshots"
        main = snapshots.with_name("refs") / "main"
        # Of several revisions the one that the hub's client would take.
        places += [snapshots / main.read_text().strip()] if main.is_file() else []
        places += sorted(snapshots.glob("*"))
    files = (place / name for place in places for name in source.files)
    return next((file for file in files if file.is_file()), None)


def _from_package(source: Source) -> tuple[Path, str]:
    found = _in_package(source)
    if found is not None:
        return found
    looked = ", ".join(_package_folders(source))
    looked = looked or f"the package {source.package}, which is not installed"
    raise WeightsError(
        f"no pretrained weights: {source.files[0]} was looked for in {looked}; "
        f"get it with: {source.command}"
    )


def _in_package(source: Source) -> tuple[Path, str] | None:
    folders = (Path(folder) / source.package_folder for folder in _package_folders(source))
    files = (folder / source.files[0] for folder in folders)
    file = next((file for file in files if file.is_file()), None)
    return (file, _versioned(source.package)) if file else None


def _package_folders(source: Source) -> list[str]:
    spec = importlib.util.find_spec(source.package) if source.package else None
    return list(spec.submodule_search_locations or []) if spec else []


def _versioned(package: str) -> str:
    try:
        return f"{package}=={importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        # A source folder on the path has no metadata; the hash still tells the file.
        return package


def _from_hub_cache(source: Source) -> tuple[Path, str] | None:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(source.repository, source.files[0])
    return (Path(cached), source.repository) if isinstance(cached, str) else None


def _from_hub(source: Source) -> tuple[Path, str]:
    from huggingface_hub import hf_hub_download

    name = source.files[0]
    logger.info("fetching %s of %s from the Hugging Face hub", name, source.repository)
    try:
        seconds = _PATIENCE_S + _reach_hub(source.repository, name) / _SLOWEST
        for file in (*source.companions, name):
            path = within(seconds, lambda _, file=file: hf_hub_download(source.repository, file))
        return Path(path), source.repository
    # Of no one kind: the client's own errors, and those of requests or httpx, by its release.
    except Exception as error:
        from huggingface_hub.constants import HF_HUB_CACHE

        raise WeightsError(
            f"no pretrained weights: {name} was looked for in {HF_HUB_CACHE} and on the Hugging "
            f"Face hub, which did not give it ({_first_line(error)}). Where the hub can be "
            f"reached, get it with: {source.command}; then give that folder as the path of "
            "the weights."
        ) from error


def _reach_hub(repository: str, name: str) -> int:
    """Bytes of a file on the hub, 0 where it does not say.

    It fails at once where there is no network: a download would try again for half a minute.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import HfHubHTTPError

    # An answer, even a refusal, is left to the download, which knows when to ask again.
    with contextlib.suppress(HfHubHTTPError):
        url = hf_hub_url(repository, name)
        told = within(_PATIENCE_S, lambda _: get_hf_file_metadata(url))
        size = getattr(told, "size", 0) or 0
        if size > _LARGEST:
            raise WeightsError(f"the hub's {name} has {size} bytes, which no such weights have")
        return size
    return 0


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
