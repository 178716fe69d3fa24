"""A SavedModel in TensorFlow's C library, loaded as TensorFlow Serving loads it.

Run as a program: ``python c_session.py FOLDER SIGNATURE IN.npz OUT.npz``. Nothing of
TensorFlow's Python is imported; the C library of its wheel is called through ctypes.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
from collections.abc import Mapping
from ctypes import POINTER, Structure, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

# Its extension modules must be loaded before the library.
import numpy as np

KINDS = {"float32": 1, "int32": 3, "string": 7, "int64": 9, "bool": 10}
INVALID_ARGUMENT = 3
# sizeof(TF_TString): one element of a tensor of strings.
STRING_BYTES = 24


class Output(Structure):
    """``TF_Output``: one result of an operation."""

    _fields_ = [("operation", c_void_p), ("index", c_int)]


_OUTPUTS, _TENSORS = POINTER(Output), POINTER(c_void_p)
# What the functions return and take; without it ctypes would cut pointers to 32 bits.
PROTOTYPES = {
    "TF_NewStatus": (c_void_p, []),
    "TF_DeleteStatus": (None, [c_void_p]),
    "TF_GetCode": (c_int, [c_void_p]),
    "TF_Message": (c_char_p, [c_void_p]),
    "TF_NewGraph": (c_void_p, []),
    "TF_DeleteGraph": (None, [c_void_p]),
    "TF_GraphOperationByName": (c_void_p, [c_void_p, c_char_p]),
    "TF_NewSessionOptions": (c_void_p, []),
    "TF_DeleteSessionOptions": (None, [c_void_p]),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        [*[c_void_p] * 2, c_char_p, POINTER(c_char_p), c_int, *[c_void_p] * 3],
    ),
    "TF_SessionRun": (
        None,
        [
            *[c_void_p] * 2,
            *(_OUTPUTS, _TENSORS, c_int),
            *(_OUTPUTS, _TENSORS, c_int),
            *(c_void_p, c_int, c_void_p, c_void_p),
        ],
    ),
    "TF_CloseSession": (None, [c_void_p] * 2),
    "TF_DeleteSession": (None, [c_void_p] * 2),
    "TF_AllocateTensor": (c_void_p, [c_int, POINTER(c_int64), c_int, c_size_t]),
    "TF_DeleteTensor": (None, [c_void_p]),
    "TF_TensorData": (c_void_p, [c_void_p]),
    "TF_TensorByteSize": (c_size_t, [c_void_p]),
    "TF_NumDims": (c_int, [c_void_p]),
    "TF_Dim": (c_int64, [c_void_p, c_int]),
    "TF_StringInit": (None, [c_void_p]),
    "TF_StringCopy": (None, [c_void_p, c_char_p, c_size_t]),
    "TF_StringGetDataPointer": (c_void_p, [c_void_p]),
    "TF_StringGetSize": (c_size_t, [c_void_p]),
    "TF_StringDealloc": (None, [c_void_p]),
}


class SessionError(RuntimeError):
    """A refusal of the library.

    Args:
        message: the library's, or an assertion's of the graph.
        code: of ``TF_Code``; 3 is an invalid argument.
    """

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class CSession:
    """A SavedModel's session; several threads may run it at once.

    Args:
        folder: of the SavedModel.

    Raises:
        SessionError: the library refuses it; the message is the library's.
    """

    def __init__(self, folder: Path):
        self.library = _library()
        self.graph = self.library.TF_NewGraph()
        options = self.library.TF_NewSessionOptions()
        tags = (c_char_p * 1)(b"serve")
        where = str(folder).encode()
        try:
            self.session = self._call(
                "TF_LoadSessionFromSavedModel", options, None, where, tags, 1, self.graph, None
            )
        finally:
            self.library.TF_DeleteSessionOptions(options)
        described = (folder / "assets.extra" / "signatures.json").read_text(encoding="utf-8")
        self.signatures = json.loads(described)

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of a signature by name; strings are arrays of ``bytes`` objects.

        Args:
            signature: its name.
            inputs: arrays by name; those of strings hold ``str``, ``bytes`` or ``np.void``
                (NumPy's own bytes would lose zeros at their end).

        Raises:
            SessionError: the graph refuses the inputs; the message is its assertion's.
        """
        given, asked = self._described(signature, inputs)
        feeds = self._outputs([given[name] for name in inputs])
        fetches = self._outputs(list(asked.values()))
        values, results = (c_void_p * len(feeds))(), (c_void_p * len(fetches))()
        kinds = [given[name]["dtype"] for name in inputs]
        try:
            for place, value in enumerate(inputs.values()):
                values[place] = self._tensor(value, kinds[place])
            fed = (feeds, values, len(feeds))
            fetched = (fetches, results, len(fetches))
            self._call("TF_SessionRun", self.session, None, *fed, *fetched, None, 0, None)
            found = map(self._array, results, [item["dtype"] for item in asked.values()])
            return dict(zip(asked, found, strict=True))
        finally:
            # Only now: a result may be an input's own memory.
            for tensor, kind in zip(values, kinds, strict=True):
                self._free(tensor, kind)

    def close(self) -> None:
        """Give the session's memory back; it cannot be run again."""
        if self.session:
            self._call("TF_CloseSession", self.session)
            self._call("TF_DeleteSession", self.session)
            self.library.TF_DeleteGraph(self.graph)
            self.session = self.graph = None

    def __enter__(self) -> CSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _call(self, function: str, *arguments):
        """Result of a function whose last argument is a status, which says whether it failed."""
        library = self.library
        status = library.TF_NewStatus()
        try:
            result = getattr(library, function)(*arguments, status)
            if code := library.TF_GetCode(status):
                raise SessionError(library.TF_Message(status).decode(errors="replace"), code)
            return result
        finally:
            library.TF_DeleteStatus(status)

    def _described(self, signature: str, inputs: Mapping) -> tuple[dict, dict]:
        known = self.signatures.get(signature)
        if known is None:
            message = f'Serving signature name: "{signature}" not found in signature def'
            raise SessionError(message, INVALID_ARGUMENT)
        if wrong := known["inputs"].keys() ^ inputs.keys():
            raise SessionError(
                f"input size does not match signature: {sorted(wrong)} of {signature} are "
                "missing or unknown",
                INVALID_ARGUMENT,
            )
        return known["inputs"], known["outputs"]

    def _outputs(self, described: list[dict]):
        return (Output * len(described))(*[self._output(item["tensor"]) for item in described])

    def _output(self, tensor: str) -> Output:
        name, _, index = tensor.partition(":")
        operation = self.library.TF_GraphOperationByName(self.graph, name.encode())
        if not operation:
            raise SessionError(f"the graph has no operation {name}.", INVALID_ARGUMENT)
        return Output(operation, int(index))

    def _tensor(self, value: np.ndarray, kind: str) -> int:
        library = self.library
        text = kind == "string"
        value = np.asarray(value) if text else np.asarray(value, kind, order="C")
        size = STRING_BYTES * value.size if text else value.nbytes
        shape = (c_int64 * value.ndim)(*value.shape)
        tensor = library.TF_AllocateTensor(KINDS[kind], shape, value.ndim, size)
        if not text:
            ctypes.memmove(library.TF_TensorData(tensor), value.ctypes.data, size)
            return tensor
        for place, item in zip(self._strings(tensor), value.ravel(), strict=True):
            item = item.encode() if isinstance(item, str) else bytes(item)
            library.TF_StringInit(place)
            library.TF_StringCopy(place, item, len(item))
        return tensor

    def _array(self, tensor: int, kind: str) -> np.ndarray:
        library = self.library
        shape = [library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor))]
        if kind == "string":
            found = np.empty(shape, object)
            found.ravel()[:] = [self._read(place) for place in self._strings(tensor)]
        else:
            size = library.TF_TensorByteSize(tensor)
            content = ctypes.string_at(library.TF_TensorData(tensor), size)
            found = np.frombuffer(content, kind).reshape(shape).copy()
        library.TF_DeleteTensor(tensor)
        return found

    def _strings(self, tensor: int) -> range:
        """Addresses of the elements of a tensor of strings."""
        start = self.library.TF_TensorData(tensor) or 0
        return range(start, start + self.library.TF_TensorByteSize(tensor), STRING_BYTES)

    def _read(self, place: int) -> bytes:
        size = self.library.TF_StringGetSize(place)
        return ctypes.string_at(self.library.TF_StringGetDataPointer(place), size)

    def _free(self, tensor: int | None, kind: str) -> None:
        """Delete an input; the library frees the strings of its own tensors only."""
        if tensor is None:
            return
        if kind == "string":
            for place in self._strings(tensor):
                self.library.TF_StringDealloc(place)
        self.library.TF_DeleteTensor(tensor)


def _library() -> ctypes.CDLL:
    """The C library of the installed wheel, found without importing it."""
    # An imported TensorFlow names more folders; the first is its own.
    folder = Path(next(iter(importlib.util.find_spec("tensorflow").submodule_search_locations)))
    for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
        # With global symbols, Python's TensorFlow could not be imported after it.
        library = ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_LOCAL)
    for name, (result, arguments) in PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def main(folder: str, signature: str, given: str, taken: str) -> None:
    with CSession(Path(folder)) as session, np.load(given) as inputs:
        found = session.run(signature, dict(inputs))
    np.savez(taken, **found)
    print("tensorflow" in sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])
