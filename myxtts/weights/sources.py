"""Where pretrained weights are looked for: a path, a package, the Hugging Face hub."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.deadlines import within
from myxtts.errors import WeightsError
from myxtts.presets.hub import HUB, REPOSITORY

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
        files: names of the weights file, the likeliest first.
        licence: of the published weights.
        read: from a file to its arrays.
        load: sets an encoder's weights from arrays.
        check: compares a configuration beside the file with the encoder's sizes.
        command: how to get the weights.
        package: Python package that ships them; without a repository, the only place.
        package_folder: where inside the package.
        repository: of the Hugging Face hub that has them.
        companions: other files of the repository that ``check`` and ``describe`` read.
        published: names of the published files, by their SHA-256; where none is known here, the
            hub's own name of what was fetched from it is believed.
        describe: from a weights file and sizes to the sizes that the files beside it say.
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
    describe: Callable[[Path, Any], Any] | None = None

    def of(self, repository: str) -> Source:
        """The same kind of weights in another repository of the hub, of nobody knows what licence.

        Raises:
            WeightsError: it is no ``owner/name``.
        """
        if repository == self.repository:
            return self
        if not REPOSITORY.fullmatch(repository):
            raise WeightsError(f"{HUB}{repository} is no repository: {HUB}owner/name is expected.")
        return replace(
            self,
            repository=repository,
            licence=f"not known (see {repository})",
            command=f"hf download {repository} --local-dir {repository.rpartition('/')[2]}",
            package=None,
            published={},
        )


def find(source: Source, path: str | Path | None = None) -> tuple[Path, str]:
    """The weights file and a name for where it came from.

    Args:
        source: whose weights.
        path: the file, a folder that holds it as the hub or the hub's cache does, or
            ``hf://owner/name``; the hub's cache, the installed package, or the hub when None.

    Raises:
        WeightsError: it is not there; the sentence says what was looked for, where, and
            how to get it.
    """
    source, path = addressed(source, path)
    if path is not None:
        return _from_path(source, path)
    if source.repository is None:
        return _from_package(source)
    cached = _from_hub_cache(source)
    if cached is None or _lacks_description(source):
        try:
            return _in_package(source) or _from_hub(source)
        except WeightsError:
            if cached is None:
                raise
    return cached


def addressed(source: Source, path: str | Path | None) -> tuple[Source, Path | None]:
    """``source`` and ``path``, of ``hf://owner/name`` that repository and no path."""
    if isinstance(path, str) and path.startswith(HUB):
        return source.of(path.removeprefix(HUB).strip("/")), None
    return source, None if path is None else Path(path)


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

    cached = (try_to_load_from_cache(source.repository, name) for name in source.files)
    file = next((item for item in cached if isinstance(item, str)), None)
    return (Path(file), source.repository) if file else None


def _lacks_description(source: Source) -> bool:
    """Whether the hub's cache lacks a file that must be read with the weights."""
    from huggingface_hub import try_to_load_from_cache

    # None is not known; a file that the repository does not have is something else.
    asked = source.companions if source.describe else ()
    return any(try_to_load_from_cache(source.repository, name) is None for name in asked)


def _from_hub(source: Source) -> tuple[Path, str]:
    try:
        return _fetched(source), source.repository
    # Of no one kind: the client's own errors, and those of requests or httpx, by its release.
    except Exception as error:
        from huggingface_hub.constants import HF_HUB_CACHE

        raise WeightsError(
            f"no pretrained weights: {' or '.join(source.files)} was looked for in {HF_HUB_CACHE} "
            f"and on the Hugging Face hub, which did not give it ({_first_line(error)}). Where "
            f"the hub can be reached, get it with: {source.command}; then give that folder as the "
            "path of the weights."
        ) from error


def _fetched(source: Source) -> Path:
    """The first of the source's files that its repository has, fetched after its companions."""
    from huggingface_hub.utils import EntryNotFoundError

    # Asked for first: it fails at once where there is no network.
    sizes = {source.files[0]: _reach_hub(source.repository, source.files[0])}
    for companion in source.companions:
        with contextlib.suppress(EntryNotFoundError):
            _download(source.repository, companion, _PATIENCE_S)
    for name in source.files[:-1]:
        with contextlib.suppress(EntryNotFoundError):
            return _weights(source.repository, name, sizes)
    return _weights(source.repository, source.files[-1], sizes)


def _weights(repository: str, name: str, sizes: Mapping[str, int]) -> Path:
    size = sizes[name] if name in sizes else _reach_hub(repository, name)
    return _download(repository, name, _PATIENCE_S + size / _SLOWEST)


def _download(repository: str, name: str, seconds: float) -> Path:
    from huggingface_hub import hf_hub_download

    logger.info("fetching %s of %s from the Hugging Face hub", name, repository)
    return Path(within(seconds, lambda _: hf_hub_download(repository, name)))


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
