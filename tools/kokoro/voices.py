"""Kokoro voices as files: reading and writing packs ``(510, 1, 256)``.

A pack holds one style vector for each number of phonemes: row ``n - 1`` is for
``n`` phonemes. Three forms are about: ``.pt`` tensors (kokoro), raw float32
``.bin`` (kokoro-js) and ``.npz`` archives of many voices, which kokoro-onnx
also names ``.bin``. The first and the last carry sums of their content; raw numbers have no
place for one, and of them only size and range can be checked, or ``SHA256SUMS`` beside them.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from myxtts.digests import check_sums
from myxtts.errors import CheckpointError, DataError
from myxtts.files import replacing
from myxtts.weights.torch_file import read_torch_tensor

VOICE_SHAPE = (510, 1, 256)
SUFFIXES = (".pt", ".bin", ".npz", ".npy")
# Of all voices of a file: seven times those that are published.
LARGEST = 2**28
# Of a number in a voice: several hundred times what is published.
LARGEST_NUMBER = 1e3
_ZIP_SIGN = b"PK"


def load_voice(path: str | Path) -> np.ndarray:
    """The one voice of a file, float32 ``(510, 1, 256)``.

    Raises:
        DataError: the file is missing or damaged, holds no voice or several, a wrong shape, or
            numbers that no voice has.
    """
    found = list(_read(Path(path)))
    if len(found) != 1:
        raise DataError(f"{path} holds {len(found)} voices where one is wanted.")
    return found[0][1]


def load_voices(path: str | Path) -> dict[str, np.ndarray]:
    """Voices ``(510, 1, 256)`` by name, of a folder or of an archive.

    Raises:
        DataError: there is no such place, a file in it is unreadable, a name comes twice,
            or there are fewer than two voices.
    """
    path = Path(path)
    files = _voice_files(path) if path.is_dir() else [path]
    voices: dict[str, np.ndarray] = {}
    for file in files:
        for name, voice in _read(file):
            if name in voices:
                raise DataError(f"{path} holds two voices named {name}; the second is in {file}.")
            voices[name] = voice
    if len(voices) < 2:
        raise DataError(f"{path} holds {len(voices)} voices; a voice space wants two or more.")
    return voices


def save_voice(path: str | Path, voice: np.ndarray) -> None:
    """Write ``(510, 1, 256)`` as ``.pt``, ``.npz`` or ``.bin``, whole or not at all.

    In the ``.npz`` the voice is named after the file.

    Raises:
        CheckpointError: the suffix is none of those, or the file cannot be written.
        DataError: the voice has another shape, is not finite, or beyond all that voices have.
    """
    path = Path(path)
    voice = _checked(np.asarray(voice, "float32"), f"the voice for {path}")
    if path.suffix not in (".pt", ".npz", ".bin"):
        raise CheckpointError(f"{path}: a voice is written as .pt, .npz or .bin.")
    with replacing(path) as temporary:
        if path.suffix == ".pt":
            import torch

            # Through Python's file, a full disk is an OSError that says so.
            with temporary.open("wb") as file:
                torch.save(torch.from_numpy(voice.copy()), file)
        elif path.suffix == ".npz":
            np.savez(temporary, **{path.stem: voice})
        else:
            temporary.write_bytes(voice.astype("<f4").tobytes())


def _voice_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)


def _read(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name and pack of each voice in a file."""
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is no voice: its suffix is none of {', '.join(SUFFIXES)}.")
    check_sums(path.parent, [path.name] if path.exists() else [], DataError)
    try:
        loaded = _arrays(path)
    # Of no one kind: damage meets the archive, the packing, the header, or what that promises.
    except Exception as error:
        missing = "" if path.exists() else " (there is no such file)"
        raise DataError(f"the voice file {path} cannot be read{missing}.") from error
    for name, array in loaded.items():
        inside = f"the voice {name} in {path}" if len(loaded) > 1 else f"the voice file {path}"
        yield name, _checked(array, inside)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    _refuse_large(path)
    if path.suffix == ".pt":
        return {path.stem: read_torch_tensor(path)}
    with path.open("rb") as file:
        is_archive = file.read(2) == _ZIP_SIGN
    if is_archive:
        with zipfile.ZipFile(path) as archive:
            # As a whole: the sum over the bytes is compared at the end of them only.
            return {
                name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()
            }
    if path.suffix == ".bin":
        if path.stat().st_size % 4:
            raise ValueError("no whole number of float32")
        data = np.fromfile(path, "<f4")
        return {path.stem: data.reshape(VOICE_SHAPE) if data.size == 510 * 256 else data}
    return {path.stem: np.load(path, allow_pickle=False)}


def _refuse_large(path: Path) -> None:
    """Refuse what no file of voices holds, before memory is spent on it.

    Raises:
        ValueError: the file, or what an archive says that it unpacks to, is larger; or it is none.
    """
    sizes = [path.stat().st_size]
    if not path.is_file():
        raise ValueError("it is no file, and a pipe would be waited for")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            sizes += [sum(member.file_size for member in archive.infolist())]
    if max(sizes) > LARGEST:
        raise ValueError(f"it holds {max(sizes)} bytes, which no voices do")


def _array(content: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _checked(array: np.ndarray, what: str) -> np.ndarray:
    if array.shape != VOICE_SHAPE or array.dtype.kind != "f":
        raise DataError(
            f"{what} holds {array.dtype} {array.shape} where float32 {VOICE_SHAPE} is wanted."
        )
    if not np.isfinite(array).all():
        raise DataError(f"{what} holds values that are NaN or infinite.")
    if (largest := float(np.max(np.abs(array)))) > LARGEST_NUMBER:
        raise DataError(f"{what} holds values up to {largest:.3g}, which no voice has.")
    return array.astype("float32")
