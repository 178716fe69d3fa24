"""Torch files as numpy arrays: the one place that imports torch, when it is called."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.errors import WeightsError

# Coqui's trainer writes its configuration objects beside the weights. Their names are
# let through as empty classes of our own: the data is read, none of their code runs.
PLACEHOLDERS = (
    "TTS.tts.configs.xtts_config.XttsConfig",
    "TTS.tts.configs.xtts_config.XttsArgs",
    "TTS.tts.configs.xtts_config.XttsAudioConfig",
    "TTS.tts.models.xtts.XttsArgs",
    "TTS.tts.models.xtts.XttsAudioConfig",
    "TTS.config.shared_configs.BaseDatasetConfig",
)


def read_torch_file(
    path: str | Path, section: str | None = None, prefixes: Iterable[str] = ("",)
) -> dict[str, np.ndarray]:
    """Read a state dictionary without running any code the file may hold.

    Args:
        path: ``.pt`` or ``.pth`` file.
        section: key of the state dictionary inside the file; None when the file is one.
        prefixes: of the keys that are wanted; the first that occurs is cut off, and the
            other keys are left out.

    Raises:
        WeightsError: torch is not installed, the file is missing or no torch file, it
            holds objects other than tensors, or it has no such section.
    """
    path = Path(path)
    content = _load(path)
    if section is not None:
        if not isinstance(content, dict) or section not in content:
            raise WeightsError(f"{path} has no {section!r}.")
        content = content[section]
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dictionary.")
    tensors = {key: value for key, value in content.items() if hasattr(value, "detach")}
    prefix = _occurring(tensors, prefixes)
    return {
        key.removeprefix(prefix): _array(value)
        for key, value in tensors.items()
        if key.startswith(prefix)
    }


def read_torch_tensor(path: str | Path) -> np.ndarray:
    """Read a file that holds one tensor.

    Raises:
        WeightsError: as for :func:`read_torch_file`, or the file holds something else.
    """
    content = _load(Path(path))
    if not hasattr(content, "detach"):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a tensor.")
    return _array(content)


def _occurring(keys: Iterable[str], prefixes: Iterable[str]) -> str:
    keys = list(keys)
    return next((item for item in prefixes if any(key.startswith(item) for key in keys)), "")


def _array(tensor: Any) -> np.ndarray:
    # numpy has no bfloat16; float32 holds every one of its values.
    tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
    return tensor.detach().cpu().numpy()


def _load(path: Path) -> Any:
    if not path.is_file():
        raise WeightsError(f"no weights file {path}.")
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"reading {path} needs torch, once: pip install torch (a CPU build will do)."
        ) from error
    harmless = [(type(name.rpartition(".")[2], (), {}), name) for name in PLACEHOLDERS]
    try:
        with torch.serialization.safe_globals(harmless):
            # A mapped file costs memory only for the tensors that are used.
            mapped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        raise WeightsError(
            f"{path} is refused: it is no torch file, or holds objects other than tensors"
            + (f" ({culprit[1]})." if culprit else ".")
        ) from error
    # A damaged file breaks torch, and safetensors behind it, in many ways.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise WeightsError(f"{path} is not a torch file that can be read: {reason}.") from error
