"""Matrices as int8 with one float32 scale a channel: a quarter of the size, for speaking only.

Rounding is to nearest and symmetric. A scale has 17 bits, so that scale times integer is exact
in float32: what was quantised and is quantised again becomes the same integers and scales.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myxtts.errors import CheckpointError

INT8 = "int8"
# Behind the name of a matrix: its scales. No variable's path has a colon.
SCALE = ":scale"
LEVELS = 127
SCALE_BITS = 17


def quantise(matrix) -> tuple[np.ndarray, np.ndarray]:
    """Integers and scales of a matrix.

    Args:
        matrix: float ``(inputs, outputs)``, as Keras keeps a kernel.

    Returns:
        int8 ``(inputs, outputs)`` and float32 ``(outputs,)``, whose product is the matrix.

    Raises:
        CheckpointError: a value is NaN or infinite.
    """
    matrix = np.asarray(matrix, "float32")
    largest = np.max(np.abs(matrix), axis=0)
    if not np.isfinite(largest).all():
        raise CheckpointError("a matrix with NaN or infinite values cannot be quantised.")
    scales = _shortened(largest / LEVELS)
    return np.rint(matrix / scales).astype("int8"), scales


def dequantise(integers: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """float32 ``(inputs, outputs)`` of what :func:`quantise` returns."""
    return integers.astype("float32") * scales


def with_scales(arrays: Mapping[str, np.ndarray], names: set[str]) -> dict[str, np.ndarray]:
    """Arrays as they are stored: those of ``names`` quantised, each with its scales beside it."""
    stored = {}
    for name, array in arrays.items():
        if name in names:
            stored[name], stored[name + SCALE] = quantise(array)
        else:
            stored[name] = array
    return stored


def _shortened(scales: np.ndarray) -> np.ndarray:
    """Scales rounded up to so many bits; that of a channel of zeros is one."""
    mantissa, exponent = np.frexp(scales)
    short = np.ldexp(np.ceil(np.ldexp(mantissa, SCALE_BITS)), exponent - SCALE_BITS)
    return np.where(short > 0, short, 1.0).astype("float32")
