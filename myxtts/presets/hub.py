"""Presets that lie elsewhere: in a repository of the Hugging Face hub, or in an archive on the web.

``hf://owner/name[@revision]`` is fetched once into the hub's own cache. ``https://…#sha256=…``
names a tar archive of a preset folder, which is fetched once, compared with the hash and kept
unpacked in the cache of MyXTTS. What is in a cache is taken from there, without any network.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import re
import tarfile
import tempfile
import urllib.request
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from myxtts.deadlines import within
from myxtts.digests import file_sha256
from myxtts.errors import CheckpointError
from myxtts.files import cache_folder, read_object, replacing_folder
from myxtts.presets.record import MANIFEST

logger = logging.getLogger(__name__)

# Before the name of a repository of the hub.
HUB = "hf://"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# The model card.
CARD = "README.md"
# What a preset may have; other files of a repository are not fetched.
FILES = ("*.safetensors", "*.json", "*.yaml", CARD, "voices/*.safetensors", "voices/*.json")
_WEB = re.compile(r"https?://[^#\s]+")
_ARCHIVE = re.compile(r"(https?://[^#\s]+)#sha256=([0-9a-fA-F]{64})")
# Seconds for a server to answer, the bytes a second that it must give besides, and the bytes
# that no preset reaches.
_PATIENCE_S = 60.0
_SLOWEST = 200_000
_LARGEST = 2**34
_BLOCK = 2**20


def is_address(name: object) -> bool:
    """Whether ``name`` is a preset's address on the hub or on the web, and no path."""
    return isinstance(name, str) and (name.startswith(HUB) or bool(_WEB.match(name)))


def fetched(address: str) -> Path:
    """Folder of the preset at ``address``, out of a cache or fetched into one.

    Raises:
        CheckpointError: the address cannot be read, what it names cannot be had, or it is not
            what its hash says.
    """
    return _of_hub(address) if address.startswith(HUB) else _of_web(address)


def located(name: str | Path) -> Path:
    """The folder called ``name``, which is a path or an address; see :func:`fetched`."""
    return fetched(str(name)) if is_address(name) else Path(name)


def _of_hub(address: str) -> Path:
    name, _, revision = address.removeprefix(HUB).strip("/").partition("@")
    if not REPOSITORY.fullmatch(name) or (not revision and "@" in address):
        raise CheckpointError(
            f"{address} is no repository: {HUB}owner/name or {HUB}owner/name@revision is expected."
        )
    if (folder := _cached(name, revision or None)) is not None:
        return folder
    try:
        return _download(name, revision or None)
    except CheckpointError:
        raise
    # Of no one kind: the client's own errors, and those of requests or httpx, by its release.
    except Exception as error:
        from huggingface_hub.constants import HF_HUB_CACHE

        told = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        wanted = f"{name} --revision {revision}" if revision else name
        raise CheckpointError(
            f"no preset {address}: it is not in {HF_HUB_CACHE}, and the Hugging Face hub did not "
            f"give it ({told}). Where the hub can be reached, get it with: hf download {wanted} "
            f"--local-dir {name.rpartition('/')[2]}; then give that folder."
        ) from error


def _cached(repository: str, revision: str | None) -> Path | None:
    """The whole preset in the hub's cache; None where something of it is missing."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, MANIFEST, revision=revision)
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    return folder if all((folder / name).is_file() for name in _named(folder)) else None


def _named(folder: Path) -> list[str]:
    """Files that the manifest of ``folder`` names."""
    told = read_object(folder / MANIFEST, CheckpointError, "is missing or damaged")
    tables = (told.get("sha256"), told.get("files"))
    return [str(name) for table in tables if isinstance(table, dict) for name in table]


def _download(repository: str, revision: str | None) -> Path:
    """Fetch the preset; its manifest comes last, so that a cache with it is whole."""
    from huggingface_hub import HfApi, hf_hub_download

    # Asked for first: it fails at once where there is no network.
    told = within(
        _PATIENCE_S,
        lambda _: HfApi().model_info(repository, revision=revision, files_metadata=True),
    )
    sizes = {file.rfilename: file.size or 0 for file in told.siblings or ()}
    if MANIFEST not in sizes:
        raise CheckpointError(
            f"{HUB}{repository} is no preset of MyXTTS: the repository has no {MANIFEST}."
        )
    names = [name for name in sizes if name != MANIFEST and _is_known(PurePosixPath(name))]
    size = sum(sizes[name] for name in names)
    if size > _LARGEST:
        raise CheckpointError(f"{HUB}{repository} is larger than any preset: it was not fetched.")
    logger.info("fetching the preset %s from the Hugging Face hub", repository)

    def fetch(_: object) -> Path:
        for name in names:
            hf_hub_download(repository, name, revision=revision)
        return Path(hf_hub_download(repository, MANIFEST, revision=revision)).parent

    return within(_PATIENCE_S + size / _SLOWEST, fetch)


def _is_known(name: PurePosixPath) -> bool:
    """Whether a file of that name, in the folder of a preset, may be one of it."""
    if ".." in name.parts or not any(name.match(pattern) for pattern in FILES):
        return False
    return len(name.parts) == 1 or name.parts[:-1] == ("voices",)


def _of_web(address: str) -> Path:
    match = _ARCHIVE.fullmatch(address)
    if match is None:
        raise CheckpointError(
            f"{address} has no hash: an archive on the web is named as ADDRESS#sha256=HASH, with "
            "the 64 letters and digits that `sha256sum` prints."
        )
    url, digest = match[1], match[2].lower()
    folder = cache_folder() / "presets" / digest
    if not (folder / MANIFEST).is_file():
        _fetch_archive(url, digest, folder)
    return folder


def _fetch_archive(url: str, digest: str, folder: Path) -> None:
    with tempfile.TemporaryFile() as archive:
        try:
            found = within(_PATIENCE_S + _LARGEST / _SLOWEST, lambda _: _copy(url, archive))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"no preset {url}: it is not in {cache_folder()}, and its server did not give it "
                f"({error})."
            ) from error
        if found != digest:
            raise CheckpointError(f"{url} is not what its hash says: its SHA-256 is {found}.")
        archive.seek(0)
        with replacing_folder(folder) as fresh:
            _unpack(archive, fresh, url)


def _copy(url: str, target: BinaryIO) -> str:
    """Write what ``url`` gives to ``target``; its SHA-256."""
    logger.info("fetching the preset %s", url)
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=_PATIENCE_S) as answer:
        while block := answer.read(_BLOCK):
            digest.update(block)
            target.write(block)
            if target.tell() > _LARGEST:
                raise ValueError("it is larger than any preset")
    return digest.hexdigest()


def _unpack(archive: BinaryIO, folder: Path, url: str) -> None:
    """Write the preset in ``archive`` to ``folder``: plain files with a preset's names only."""
    try:
        with tarfile.open(fileobj=archive) as opened:
            members = [member for member in opened if member.isfile()]
            roots = [m.name for m in members if PurePosixPath(m.name).name == MANIFEST]
            if not roots:
                raise CheckpointError(f"{url} is no preset: the archive has no {MANIFEST}.")
            root = PurePosixPath(min(roots, key=len)).parent
            if sum(member.size for member in members) > _LARGEST:
                raise CheckpointError(f"{url} unpacks to more than any preset has.")
            for member in members:
                _write_member(opened, member, root, folder)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{url} is no tar archive that can be read: {error}.") from error


def _write_member(opened: tarfile.TarFile, member: tarfile.TarInfo, root, folder: Path) -> None:
    """Write one file of the archive, if it is one of a preset's; others are left out."""
    name = PurePosixPath("..")
    with suppress(ValueError):
        name = PurePosixPath(member.name).relative_to(root)
    if not _is_known(name):
        return
    target = folder.joinpath(*name.parts)
    target.parent.mkdir(exist_ok=True)
    source = opened.extractfile(member)
    with target.open("wb") as file:
        while source and (block := source.read(_BLOCK)):
            file.write(block)


def archive_preset(folder: Path, archive: Path) -> str:
    """Write a tar archive of the preset ``folder`` to ``archive``, for the web; its SHA-256.

    The same files give the same bytes: nobody's name and no time is in it.
    """
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w") as opened,
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            opened.add(path, path.relative_to(folder).as_posix(), filter=_nameless)
    return file_sha256(archive)


def _nameless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
