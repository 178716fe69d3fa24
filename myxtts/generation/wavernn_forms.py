"""How WaveRNN's matrices and vectors lie in memory for :mod:`.wavernn_kernel`, by the processor.

Integer weights (a scale for each row) meet integer vectors (a size for each): no sum can leave 32
bits, so that only rounding is lost. They give the same sums on every processor; one that
multiplies bytes four at a time (AVX-512 VNNI) takes half as long for int8.
"""

from __future__ import annotations

import dataclasses

import numba
import numpy as np
from llvmlite import binding

# What is compiled is kept, with these numbers in it, until the file of the kernel changes.
# Rows of a panel of weights: as many float32 are a whole number of any processor's registers.
ROWS = 16


def _has(feature: str) -> bool:
    """Whether numba compiles for a processor with this; ``NUMBA_CPU_FEATURES`` may forbid it."""
    if numba.config.CPU_FEATURES is not None:
        return f"+{feature}" in numba.config.CPU_FEATURES.split(",")
    return bool(binding.get_host_cpu_features().get(feature))


# Folds that meet two panels at a time: their sums stay in registers, of which AVX-512 has as many
# again, so that the weights come less often out of the cache.
WIDE = _has("avx512f")
TOGETHER = 9 if WIDE else 6
BYTES = WIDE and _has("avx512vnni")
# What makes a weight of eight bits one without a sign, as the instruction wants it.
OFFSET = 128


@dataclasses.dataclass(frozen=True)
class Form:
    """How numbers of a kind lie in memory.

    Attributes:
        together: inputs that stand side by side and are multiplied at a time.
        weights, vectors, sums: their types.
    """

    together: int
    weights: str
    vectors: str
    sums: str


FORMS = {
    "float32": Form(1, "float32", "float32", "float32"),
    "int16": Form(2, "int16", "int16", "int32"),
    "int8": Form(4, "uint8", "int8", "int32") if BYTES else Form(2, "int8", "int16", "int32"),
}


def packed(matrix: np.ndarray) -> np.ndarray:
    """A matrix ``(outputs, inputs)`` in the order in which the kernel reads it.

    Args:
        matrix: float32, int16 or int8; zeros fill up what is lacking.

    Returns:
        ``(panels, inputs / together, ROWS * together)`` of the form's weights, an even number of
        panels.
    """
    (rows, width), form = matrix.shape, FORMS[matrix.dtype.name]
    together = form.together
    full = np.pad(matrix, [(0, -rows % (2 * ROWS)), (0, -width % together)])
    if form.weights == "uint8":
        full = (full.astype("int16") + OFFSET).astype("uint8")
    full = full.reshape(-1, ROWS, full.shape[1] // together, together)
    return np.ascontiguousarray(full.swapaxes(1, 2)).reshape(len(full), full.shape[2], -1)


def rooms(weights: str, folds: int, widths: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Where vectors of these widths are prepared, and last where products are added up."""
    form = FORMS[weights]
    held = [np.zeros((folds, width + -width % form.together), form.vectors) for width in widths]
    return *held, np.zeros((TOGETHER, 2 * ROWS), form.sums)
