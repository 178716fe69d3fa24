"""A SavedModel in TensorFlow's C library, loaded as TensorFlow Serving loads it.

    python -m myxtts.serving.check.session FOLDER SIGNATURE IN.npz OUT.npz

Nothing of TensorFlow's Python is imported; the C library of its wheel is called through
ctypes.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
from collections.abc import Mapping
from ctypes import c_char_p, c_int64, c_void_p
from pathlib import Path

if not __package__:
    # Run by its path: only this file's folder is where Python looks.
    sys.path[0] = str(Path(__file__).resolve().parents[3])

# NumPy's extension modules must be loaded before the library.
import numpy as np  # noqa: E402

from myxtts.errors import CheckpointError, MyXTTSError  # noqa: E402
from myxtts.serving.check.c_library import Output, open_library  # noqa: E402

KINDS = {"float32": 1, "int32": 3, "string": 7, "int64": 9, "bool": 10}
INVALID_ARGUMENT = 3
# sizeof(TF_TString): one element of a tensor of strings.
STRING_BYTES = 24


class SessionError(MyXTTSError, RuntimeError):
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
        CheckpointError: the folder lacks the description of its signatures.
        LibraryError: the installed TensorFlow has no C library.
        SessionError: the library refuses the model; the message is the library's.
    """

    def __init__(self, folder: Path):
        self.signatures = read_signatures(folder)
        self.library = open_library()
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


def read_signatures(folder: Path) -> dict[str, dict]:
    """Names, tensors, kinds and shapes of what an export's signatures take and give.

    Raises:
        CheckpointError: the folder is no export.
    """
    return read_extra(folder, "signatures")


def read_extra(folder: Path | str, name: str) -> dict:
    """What an export says of itself in ``assets.extra/NAME.json``.

    Raises:
        CheckpointError: the folder is no export.
    """
    path = Path(folder) / "assets.extra" / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder} is no exported model: cannot read {path}.") from error


def parser() -> argparse.ArgumentParser:
    from myxtts.flags import make_parser

    told = "Run a signature in TensorFlow's C library; print whether Python's was imported."
    parser = make_parser("python -m myxtts.serving.check.session", told)
    parser.add_argument("folder", type=Path, help="of the exported version")
    parser.add_argument("signature", help="its name")
    parser.add_argument("given", metavar="IN.npz", help="inputs by name")
    parser.add_argument("taken", metavar="OUT.npz", help="where the outputs go")
    return parser


def main(args: argparse.Namespace) -> None:
    """Run one signature on the arrays of a file."""
    try:
        inputs = dict(np.load(args.given))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{args.given} is no file of arrays: {error}.") from error
    with CSession(args.folder) as session:
        found = session.run(args.signature, inputs)
    np.savez(args.taken, **found)
    print("tensorflow" in sys.modules)


if __name__ == "__main__":
    from myxtts.flags import run

    sys.exit(run(main, parser()))
