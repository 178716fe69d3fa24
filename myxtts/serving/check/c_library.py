"""TensorFlow's C library, found in its wheel and opened without its Python."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from ctypes import POINTER, Structure, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

from myxtts.errors import MyXTTSError

# The framework first: the other library needs it.
LIBRARIES = {
    "linux": ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"),
    "darwin": ("libtensorflow_framework.2.dylib", "libtensorflow_cc.2.dylib"),
}


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


class LibraryError(MyXTTSError, RuntimeError):
    """TensorFlow's C library is not there, or not as it is expected."""


def library_paths() -> list[Path]:
    """Files of the C library in the installed wheel, found without importing it.

    Raises:
        LibraryError: TensorFlow is not installed, or its wheel has another layout.
    """
    found = importlib.util.find_spec("tensorflow")
    if found is None or not found.submodule_search_locations:
        raise LibraryError("TensorFlow is not installed: its C library is in the wheel.")
    # An imported TensorFlow names more folders; the first is its own.
    folder = Path(next(iter(found.submodule_search_locations)))
    paths = [folder / name for name in LIBRARIES.get(sys.platform, LIBRARIES["linux"])]
    for path in paths:
        if not path.is_file():
            raise LibraryError(
                f"the installed TensorFlow has no C library {path}; the wheels for Linux and "
                "macOS bring it."
            )
    return paths


def open_library() -> ctypes.CDLL:
    """The C library with the prototypes of what is called."""
    try:
        # With global symbols, Python's TensorFlow could not be imported after it.
        library = [ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL) for path in library_paths()][-1]
        for name, (result, arguments) in PROTOTYPES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise LibraryError(f"cannot use TensorFlow's C library: {error}.") from error
    return library
