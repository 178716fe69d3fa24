"""One float32 tensor as ``torch.save`` writes it, without torch.

Such a file is a ZIP archive, uncompressed, of the numbers and of a pickle that says how they make a
tensor. The pickle is written here opcode by opcode and none is ever read: what
:func:`read_tensor` wants of a file are the numbers.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np

from myxtts.errors import MyXTTSError, WeightsError
from myxtts.files import replacing

# torch's own name for what is inside, and the version of this form of file.
_TOP, _VERSION = "archive", "3\n"
_NUMBERS = f"{_TOP}/data/0"


def write_tensor(
    path: str | Path, array: np.ndarray, error: type[MyXTTSError] = WeightsError
) -> None:
    """Write ``array`` for ``torch.load(path, weights_only=True)``, whole or not at all.

    Args:
        path: of the file.
        array: of any shape; it is kept as float32.
        error: raised, naming ``path``, when it cannot be written.
    """
    array = np.ascontiguousarray(array, "<f4")
    parts = {
        f"{_TOP}/data.pkl": _pickled(array.shape),
        f"{_TOP}/byteorder": b"little",
        _NUMBERS: array.tobytes(),
        f"{_TOP}/version": _VERSION.encode(),
    }
    with replacing(path, error, durable=False) as fresh, zipfile.ZipFile(fresh, "w") as archive:
        for name, content in parts.items():
            # Of a fixed date: the same numbers give the same file.
            archive.writestr(zipfile.ZipInfo(name), content)


def read_tensor(path: str | Path) -> np.ndarray:
    """Numbers of a file of one float32 tensor, float32 ``(1, numbers)``.

    Raises:
        WeightsError: it is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # torch calls what is inside as the file was called.
            (name,) = (item for item in archive.namelist() if item.endswith("/data/0"))
            return np.frombuffer(archive.read(name), "<f4").reshape(1, -1).copy()
    # Of no one kind: damage meets the archive, its forms and what is in it.
    except Exception as error:
        told = " ".join(str(error).split())[:100].rstrip(".") or type(error).__name__
        raise WeightsError(f"{path} is no file of one tensor: {told}.") from error


def _pickled(shape: tuple[int, ...]) -> bytes:
    """``torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())``."""
    strides = [int(np.prod(shape[axis + 1 :], dtype="int64")) for axis in range(len(shape))]
    count = int(np.prod(shape, dtype="int64"))
    storage = [_text("storage"), b"ctorch\nFloatStorage\n", _text("0"), _text("cpu"), _int(count)]
    arguments = [
        _tuple(storage) + b"Q",  # a persistent id, which torch turns into the storage
        _int(0),
        _tuple(map(_int, shape)),
        _tuple(map(_int, strides)),
        b"\x89",  # no gradient
        b"ccollections\nOrderedDict\n)R",
    ]
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + _tuple(arguments) + b"R."


def _text(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tuple(parts) -> bytes:
    return b"(" + b"".join(parts) + b"t"
