"""Variables to safetensors files and back, by name and strictly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from myxtts.digests import file_sha256
from myxtts.errors import CheckpointError
from myxtts.files import replacing
from myxtts.presets.quantised import SCALE, dequantise, with_scales


def named(variables: Sequence, root: str = "") -> dict:
    """Variables under their paths below the layer called ``root``.

    Raises:
        CheckpointError: two variables share a path.
    """
    result: dict = {}
    for variable in variables:
        name = variable.path
        if root:
            name = f"/{name}".partition(f"/{root}/")[2] or name
        if name in result:
            raise CheckpointError(f"two variables are called {name!r}.")
        result[name] = variable
    return result


def named_parts(parts: Mapping) -> dict:
    """Variables of named layers under ``part/path``."""
    return {
        f"{part}/{name}": variable
        for part, layer in parts.items()
        for name, variable in named(layer.weights, part).items()
    }


def save_variables(
    path: Path,
    variables: dict,
    metadata: dict[str, str] | None = None,
    half: bool = False,
    int8: Collection[str] = (),
) -> None:
    """Write named variables to ``path``, whole or not at all.

    For a cache or a file of a new folder, which is brought to the disk as a whole.
    With ``half``, trainable matrices are written in float16 where it can hold them. Matrices
    named in ``int8`` are quantised, see :mod:`myxtts.presets.quantised`.

    Raises:
        CheckpointError: the file cannot be written (no space, no permission).
    """
    int8 = set(int8) & variables.keys()
    arrays = {name: _stored(value, half and name not in int8) for name, value in variables.items()}
    arrays = with_scales(arrays, int8)
    try:
        with replacing(path, durable=False) as fresh:
            save_file(arrays, fresh, metadata=metadata)
    except SafetensorError as error:
        raise CheckpointError(f"cannot write {path}: {error}.") from error


def load_variables(path: Path, variables: dict, sha256: str | None = None) -> dict[str, str]:
    """Assign the arrays of ``path`` to the named variables; return the file's metadata.

    Those that are stored as int8 become float again.

    Args:
        path: of the file.
        variables: by their names in it.
        sha256: of the file, from its record; None where there is none.

    Raises:
        CheckpointError: the file is missing or damaged, or its names or shapes are not
            those of the variables; then none of them has changed.
    """
    try:
        if sha256 is not None and file_sha256(path) != sha256:
            raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one in its record.")
        with safe_open(path, framework="numpy") as file:
            scales = {name + SCALE for name in variables}.intersection(file.keys())
            _check_names(path, set(file.keys()) - scales, set(variables))
            for name, variable in variables.items():
                _check_shape(path, name, file.get_slice(name).get_shape(), variable.shape)
            for name, variable in variables.items():
                array = file.get_tensor(name)
                if name + SCALE in scales:
                    array = _dequantised(path, name, array, file.get_tensor(name + SCALE))
                variable.assign(_numbers(path, name, array, variable, sha256))
            return file.metadata() or {}
    except FileNotFoundError as error:
        raise CheckpointError(f"no weights file {path}.") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}.") from error
    # A type that NumPy does not have is an error of several kinds.
    except (SafetensorError, AttributeError, KeyError, TypeError, OverflowError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from error


def _numbers(path: Path, name: str, array: np.ndarray, variable, sha256: str | None) -> np.ndarray:
    """``array``, if its numbers are of the variable's kind, and some where nothing vouches."""
    floats = "float" in str(getattr(variable, "dtype", array.dtype))
    if floats != ("float" in array.dtype.name):
        raise CheckpointError(f"{path}: {name} holds {array.dtype}, which no such weights do.")
    if sha256 is None and floats and not np.isfinite(array).all():
        raise CheckpointError(f"{path}: {name} holds values that are NaN or infinite.")
    return array


def _dequantised(path: Path, name: str, array: np.ndarray, scales: np.ndarray) -> np.ndarray:
    if array.dtype != "int8" or scales.dtype != "float32" or scales.shape != array.shape[1:]:
        raise CheckpointError(
            f"{path}: {name} holds {array.dtype} {array.shape} with scales {scales.dtype} "
            f"{scales.shape}; int8 with one float32 scale a channel is wanted."
        )
    return dequantise(array, scales)


def _stored(variable, half: bool) -> np.ndarray:
    array = np.array(_array(variable), order="C")
    # Statistics and vectors are small and may be large in value.
    if half and array.ndim > 1 and getattr(variable, "trainable", False):
        limit = np.finfo("float16").max
        return array.astype("float16") if np.abs(array).max(initial=0) < limit else array
    return array


def _array(variable) -> np.ndarray:
    array = np.asarray(variable)
    # safetensors' numpy side has no bfloat16; float32 holds every one of its values.
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def _check_shape(path: Path, name: str, stored: Sequence, wanted: Sequence) -> None:
    if tuple(stored) != tuple(wanted):
        raise CheckpointError(
            f"{path}: {name} has shape {tuple(stored)}, the model expects {tuple(wanted)}; "
            "the checkpoint is of another configuration."
        )


def _check_names(path: Path, stored: set[str], wanted: set[str]) -> None:
    if stored == wanted:
        return
    missing, extra = sorted(wanted - stored), sorted(stored - wanted)
    parts = []
    if missing:
        parts.append(f"lacks {missing[0]!r} and {len(missing) - 1} more")
    if extra:
        parts.append(f"has {extra[0]!r} and {len(extra) - 1} more that the model does not")
    raise CheckpointError(
        f"{path} {' and '.join(parts)}; the checkpoint is of another configuration."
    )
