"""A SavedModel in TensorFlow's C library, loaded as TensorFlow Serving loads it.

Run as a program: ``python c_session.py FOLDER SIGNATURE IN.npz OUT.npz``. Nothing of
TensorFlow's Python is imported; the C library of its wheel is called through ctypes.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
from ctypes import POINTER, Structure, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

# Its extension modules must be loaded before the library's symbols are global.
import numpy as np

KINDS = {"float32": 1, "int32": 3, "int64": 9, "bool": 10}


class Output(Structure):
    """``TF_Output``: one result of an operation."""

    _fields_ = [("operation", c_void_p), ("index", c_int)]


class CSession:
    """A SavedModel's session.

    Args:
        folder: of the SavedModel.

    Raises:
        RuntimeError: the library refuses it; the message is the library's.
    """

    def __init__(self, folder: Path):
        self.library = _library()
        self.status = self.library.TF_NewStatus()
        self.graph = self.library.TF_NewGraph()
        tags = (c_char_p * 1)(b"serve")
        self.session = self.library.TF_LoadSessionFromSavedModel(
            self.library.TF_NewSessionOptions(),
            None,
            str(folder).encode(),
            tags,
            1,
            self.graph,
            None,
            self.status,
        )
        self._check()
        described = (folder / "assets.extra" / "signatures.json").read_text(encoding="utf-8")
        self.signatures = json.loads(described)

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of a signature by name.

        Raises:
            RuntimeError: the graph refuses the inputs; the message is its assertion's.
        """
        asked, given = self.signatures[signature]["outputs"], self.signatures[signature]["inputs"]
        feeds = [self._output(given[name]["tensor"]) for name in inputs]
        values = [self._tensor(value, given[name]["dtype"]) for name, value in inputs.items()]
        fetches = [self._output(item["tensor"]) for item in asked.values()]
        results = (c_void_p * len(fetches))()
        self.library.TF_SessionRun(
            self.session,
            None,
            (Output * len(feeds))(*feeds),
            (c_void_p * len(values))(*values),
            len(feeds),
            (Output * len(fetches))(*fetches),
            results,
            len(fetches),
            None,
            0,
            None,
            self.status,
        )
        for value in values:
            self.library.TF_DeleteTensor(value)
        self._check()
        kinds = [item["dtype"] for item in asked.values()]
        return dict(zip(asked, map(self._array, results, kinds), strict=True))

    def _check(self) -> None:
        if self.library.TF_GetCode(self.status):
            raise RuntimeError(self.library.TF_Message(self.status).decode())

    def _output(self, tensor: str) -> Output:
        name, _, index = tensor.partition(":")
        operation = self.library.TF_GraphOperationByName(self.graph, name.encode())
        if not operation:
            raise RuntimeError(f"the graph has no operation {name}.")
        return Output(operation, int(index))

    def _tensor(self, value: np.ndarray, kind: str) -> int:
        value = np.ascontiguousarray(value, kind)
        shape = (c_int64 * value.ndim)(*value.shape)
        tensor = self.library.TF_AllocateTensor(KINDS[kind], shape, value.ndim, value.nbytes)
        ctypes.memmove(self.library.TF_TensorData(tensor), value.ctypes.data, value.nbytes)
        return tensor

    def _array(self, tensor: int, kind: str) -> np.ndarray:
        library = self.library
        shape = [library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor))]
        size = library.TF_TensorByteSize(tensor)
        content = ctypes.string_at(library.TF_TensorData(tensor), size)
        library.TF_DeleteTensor(tensor)
        return np.frombuffer(content, kind).reshape(shape).copy()


def _library() -> ctypes.CDLL:
    """The C library of the installed wheel, found without importing it."""
    (folder,) = importlib.util.find_spec("tensorflow").submodule_search_locations
    for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
        library = ctypes.CDLL(str(Path(folder) / name), mode=ctypes.RTLD_GLOBAL)
    pointers = (
        "TF_NewStatus",
        "TF_NewGraph",
        "TF_NewSessionOptions",
        "TF_LoadSessionFromSavedModel",
        "TF_GraphOperationByName",
        "TF_AllocateTensor",
        "TF_TensorData",
    )
    for name in pointers:
        getattr(library, name).restype = c_void_p
    library.TF_Message.restype = c_char_p
    library.TF_Dim.restype = c_int64
    library.TF_TensorByteSize.restype = c_size_t
    library.TF_GetCode.argtypes = library.TF_Message.argtypes = [c_void_p]
    library.TF_GraphOperationByName.argtypes = [c_void_p, c_char_p]
    library.TF_AllocateTensor.argtypes = [c_int, POINTER(c_int64), c_int, c_size_t]
    for name in ("TF_TensorData", "TF_NumDims", "TF_TensorByteSize", "TF_DeleteTensor"):
        getattr(library, name).argtypes = [c_void_p]
    library.TF_Dim.argtypes = [c_void_p, c_int]
    library.TF_LoadSessionFromSavedModel.argtypes = [
        c_void_p,
        c_void_p,
        c_char_p,
        POINTER(c_char_p),
        c_int,
        c_void_p,
        c_void_p,
        c_void_p,
    ]
    outputs, tensors = POINTER(Output), POINTER(c_void_p)
    library.TF_SessionRun.argtypes = [
        c_void_p,
        c_void_p,
        *(outputs, tensors, c_int),
        *(outputs, tensors, c_int),
        *(c_void_p, c_int),
        c_void_p,
        c_void_p,
    ]
    return library


def main(folder: str, signature: str, given: str, taken: str) -> None:
    session = CSession(Path(folder))
    with np.load(given) as inputs:
        found = session.run(signature, dict(inputs))
    np.savez(taken, **found)
    print("tensorflow" in sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])
