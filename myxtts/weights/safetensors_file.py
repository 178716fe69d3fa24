"""Safetensors files of other projects as numpy arrays; no torch is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from myxtts.errors import WeightsError


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Every array of a file; bfloat16 becomes float32, which holds every one of its values.

    Raises:
        WeightsError: the file is missing, damaged, or of a type that numpy does not have.
    """
    # It teaches numpy the name of that type.
    import ml_dtypes

    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise WeightsError(f"no weights file {path}.") from error
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path} is not a safetensors file that can be read: {error}.") \
            from error  # fmt: skip
    return {
        name: array.astype("float32") if array.dtype == ml_dtypes.bfloat16 else array
        for name, array in arrays.items()
    }
