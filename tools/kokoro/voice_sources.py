"""Where Kokoro's own voices are found when no folder is given."""

from __future__ import annotations

import base64
import hashlib
import logging
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from myxtts.digests import check_sums, tell_unhashed, write_sums
from myxtts.errors import DataError
from myxtts.files import cache_folder, discard_folder
from tools.kokoro.fetching import run_within
from tools.kokoro.parts import REPOSITORY, hub_file

logger = logging.getLogger(__name__)

NPM_PACKAGE = "kokoro-js@1.2.1"
# Of its archive, as the registry has it.
NPM_SHA512 = (
    "oq0HZJWis3t8lERkMJh84WLU86dpYD0EuBPtqYnLlQzyFP1OkyBRDcweAqCfhNOpltyN9j/azp1H6uuC47gShw=="
)
# Without a byte for so long, npm gives up; in all, this program does.
NPM_PATIENCE = ("--fetch-timeout=15000", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
PATIENCE_S = 120.0
LARGEST = 2**27
# A cache with the two or three voices somebody happened to use spans no space of voices.
ENOUGH = 10


def find_voices(given: str | Path | None = None) -> Path:
    """Folder or archive of voices: the given one, the Hugging Face cache, or npm's package.

    The package's 54 voices (28 MB) are fetched once, into the user's cache folder.

    Raises:
        DataError: there are none; the sentence says how to get them.
    """
    if given:
        if not Path(given).exists():
            raise DataError(f"there are no voices {given}: no such file or folder.")
        return Path(given)
    found = _in_hub_cache() or _cached() or _fetch()
    logger.info("voices: %s", found)
    return found


def _in_hub_cache() -> Path | None:
    voice = hub_file(REPOSITORY, "voices/af_heart.pt")
    return voice.parent if voice and len(list(voice.parent.glob("*.pt"))) >= ENOUGH else None


def fetched_folder() -> Path:
    """Folder of the fetched voices."""
    return cache_folder() / (NPM_PACKAGE.replace("@", "-") + "-voices")


def _cached() -> Path | None:
    folder = fetched_folder()
    names = [path.name for path in folder.glob("*.bin")]
    if len(names) < ENOUGH:
        return None
    try:
        if check_sums(folder, names, DataError):
            tell_unhashed(folder)
    except DataError as error:
        logger.warning("%s The voices are fetched again.", error)
        return None
    return folder


def _fetch() -> Path:
    """Unpack the voices of npm's package into :func:`fetched_folder`."""
    folder = fetched_folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            logger.info("fetching the voices of npm's %s, 28 MB", NPM_PACKAGE)
            voices = _unpack(Path(temporary))
            write_sums(voices, [path.name for path in voices.iterdir()])
            discard_folder(folder)
            voices.rename(folder)
        return folder
    except (OSError, subprocess.SubprocessError, tarfile.TarError, KeyError) as error:
        raise DataError(
            "there are no Kokoro voices on this machine and npm did not bring them; get them by "
            f"'npm pack {NPM_PACKAGE}', unpack the .tgz and give its package/voices by --voices."
        ) from error


def _unpack(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm")
    command = [npm, "pack", "--silent", *NPM_PATIENCE, NPM_PACKAGE]
    run_within(PATIENCE_S, command, folder, f"npm's {NPM_PACKAGE}")
    (archive,) = folder.glob("*.tgz")
    if archive.stat().st_size > LARGEST:
        raise tarfile.ReadError(f"{NPM_PACKAGE} is larger than what was published")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != NPM_SHA512:
        raise tarfile.ReadError(f"{NPM_PACKAGE} is not the package that was published")
    voices = folder / "voices"
    voices.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name)
            if name.suffix == ".bin" and name.parent.name == "voices" and member.isfile():
                (voices / name.name).write_bytes(tar.extractfile(member).read())
    return voices
