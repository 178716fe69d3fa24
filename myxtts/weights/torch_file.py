"""Torch files as numpy arrays: the one place that imports torch, when it is called."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.errors import WeightsError
from myxtts.files import write_whole
from myxtts.weights.inert import Allowed, Inert, pickle_module
from myxtts.weights.torch_archive import check_archive

# What a pickle of tensors calls; arguments beyond the tensor's are left out.
REBUILD = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")


def read_torch_file(
    path: str | Path,
    section: str | None = None,
    prefixes: Iterable[str] = ("",),
    bare: bool = False,
) -> dict[str, np.ndarray]:
    """Read a state dictionary without running any code the file may hold.

    Objects beside the tensors are read past, whatever they are, and never made.

    Args:
        path: ``.pt`` or ``.pth`` file.
        section: key of the state dictionary inside the file; None when the file is one.
        prefixes: of the keys that are wanted; the first that occurs is cut off, and the
            other keys are left out.
        bare: whether a file without the section may be the state dictionary itself.

    Raises:
        WeightsError: torch is not installed, the file is missing, damaged or no torch file, it
            holds another object where tensors are wanted, or it has no such section.
    """
    path = Path(path)
    content = _load(path)
    _refuse_inert(path, content)
    if section is not None:
        missing = not isinstance(content, dict) or section not in content
        if missing and not (bare and isinstance(content, dict) and _tensors(content)):
            raise WeightsError(f"{path} has no {section!r}.")
        content = content if missing else content[section]
        _refuse_inert(path, content)
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dictionary.")
    tensors = _tensors(content)
    prefix = _occurring(tensors, prefixes)
    return {
        key.removeprefix(prefix): _array(path, value)
        for key, value in tensors.items()
        if key.startswith(prefix)
    }


def read_torch_tensor(path: str | Path) -> np.ndarray:
    """Read a file that holds one tensor.

    Raises:
        WeightsError: as for :func:`read_torch_file`, or the file holds something else.
    """
    content = _load(Path(path))
    _refuse_inert(path, content)
    if not hasattr(content, "detach"):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a tensor.")
    return _array(Path(path), content)


def read_torch_tables(
    path: str | Path, section: str | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Read a file of named dictionaries of tensors; other entries are left out.

    Args:
        path: ``.pt`` or ``.pth`` file.
        section: key of the dictionaries inside the file; None when the file is one.

    Raises:
        WeightsError: as for :func:`read_torch_file`.
    """
    path = Path(path)
    content = _load(path)
    _refuse_inert(path, content)
    if section is not None:
        if not isinstance(content, dict) or section not in content:
            raise WeightsError(f"{path} has no {section!r}.")
        content = content[section]
        _refuse_inert(path, content)
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not named tensors.")
    if own := _tensors(content):
        return {"": {key: _array(path, value) for key, value in own.items()}}
    tables = {key: _tensors(value) for key, value in content.items() if isinstance(value, dict)}
    return {
        str(name): {key: _array(path, value) for key, value in table.items()}
        for name, table in tables.items()
    }


def read_torch_step(path: str | Path) -> int | None:
    """The optimiser step that a trainer's file says it is of; None where it says none.

    Raises:
        WeightsError: as for :func:`read_torch_file`.
    """
    content = _load(Path(path), tensors=False)
    step = content.get("step") if isinstance(content, dict) else None
    return step if isinstance(step, int) else None


def read_torch_content(path: str | Path) -> Any:
    """Everything a file holds, tensors as arrays, in its dictionaries, lists and plain values.

    Raises:
        WeightsError: as for :func:`read_torch_file`, or there is an object that is none of these.
    """
    return _plain(Path(path), _load(Path(path)))


def write_torch_file(path: str | Path, content: Any) -> None:
    """Write dictionaries, lists and plain values, arrays as tensors, whole or not at all.

    Raises:
        WeightsError: torch is not installed.
        CheckpointError: the file cannot be written.
    """
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"writing {path} needs torch: pip install torch (a CPU build will do)."
        ) from error

    def tensors(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(np.array(value, order="C"))
        if isinstance(value, dict):
            return {key: tensors(part) for key, part in value.items()}
        return [tensors(part) for part in value] if isinstance(value, list) else value

    # Through memory: torch writes a file's name into it, and this one's is temporary.
    made = io.BytesIO()
    torch.save(tensors(content), made)
    write_whole(path, made.getvalue())


def _plain(path: Path, value: Any) -> Any:
    _refuse_inert(path, value)
    if hasattr(value, "detach"):
        return _array(path, value)
    if isinstance(value, Mapping):
        return {key: _plain(path, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(path, part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise WeightsError(f"{path} is refused: it holds a {type(value).__name__}.")


def _tensors(content: Mapping) -> dict[str, Any]:
    return {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and hasattr(value, "detach")
    }


def _refuse_inert(path: str | Path, content: Any) -> None:
    if isinstance(content, Inert):
        raise WeightsError(
            f"{path} is refused: it holds an object of {content.source} where tensors are wanted."
        )


def _occurring(keys: Iterable[str], prefixes: Iterable[str]) -> str:
    keys = list(keys)
    return next((item for item in prefixes if any(key.startswith(item) for key in keys)), "")


def _array(path: Path, tensor: Any) -> np.ndarray:
    if tensor.numel() * tensor.element_size() > path.stat().st_size:
        raise WeightsError(f"{path} holds a tensor of {tuple(tensor.shape)}, larger than the file.")
    try:
        return tensor.detach().cpu().numpy()
    except TypeError:
        # numpy has no bfloat16 and no float8; float32 holds every one of their values.
        return tensor.detach().cpu().float().numpy()
    except RuntimeError as error:
        raise WeightsError(f"{path} holds a tensor that is no plain array: {error}.") from error


def _load(path: Path, tensors: bool = True) -> Any:
    """What a torch file holds; without ``tensors``, their bytes are not compared with its sums."""
    if not path.is_file():
        raise WeightsError(f"no weights file {path}.")
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"reading {path} needs torch, once: pip install torch (a CPU build will do)."
        ) from error
    check_archive(path, tensors)
    # A mapped file costs memory only for the tensors that are used.
    options = {"map_location": "cpu", "mmap": zipfile.is_zipfile(path)}
    try:
        with warnings.catch_warnings():
            # Of pickles in newer protocols, and of classes whose source is not here.
            warnings.simplefilter("ignore")
            try:
                return torch.load(path, weights_only=True, **options)
            except pickle.UnpicklingError:
                # Objects beside the tensors, or a newer pickle than torch's own reader knows.
                reader = pickle_module(_allowed(torch))
                return torch.load(path, weights_only=False, pickle_module=reader, **options)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path} is refused: it is no torch file.") from error
    # A damaged file breaks torch, and safetensors behind it, in many ways.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise WeightsError(f"{path} is not a torch file that can be read: {reason}.") from error


def _allowed(torch: Any) -> dict[tuple[str, str], Any]:
    """What a pickle of tensors may name."""
    functions = {("torch._utils", name): getattr(torch._utils, name) for name in REBUILD}
    allowed = {name: Allowed(function) for name, function in functions.items()}
    return allowed | {("torch", "Size"): tuple}
