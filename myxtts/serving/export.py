"""A model as a SavedModel that TensorFlow Serving loads as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from myxtts.errors import CheckpointError
from myxtts.models.xtts import XTTS
from myxtts.serving.signatures import ServingModule

# What no server without this package, or without XLA, could run.
FOREIGN = ("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction")


def export_saved_model(model: XTTS, folder: str | Path, vocoder: str) -> None:
    """Write the signatures of :class:`ServingModule` to ``folder``, whole or not at all.

    Args:
        model: a trained model.
        folder: of the version, ``serving/my_xtts/1`` say; it must not be there yet.
        vocoder: ``hifi`` or ``griffin_lim``.

    Raises:
        CheckpointError: the folder is there, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise CheckpointError(f"{folder} is there already; a server wants each version once.")
    fresh = folder.with_name(f".{folder.name}.new")
    signatures = ServingModule(model, vocoder).signatures()
    # The models themselves would be stored with their calls; the graphs want the weights alone.
    holder = tf.Module()
    holder.weights = [
        variable.value for part in model.parts().values() for variable in part.weights
    ]
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        tf.saved_model.save(holder, str(fresh), signatures=signatures)
        _describe(fresh)
        fresh.rename(folder)
    except OSError as error:
        raise CheckpointError(f"cannot write {folder}: {error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _describe(folder: Path) -> None:
    """Write ``assets.extra/signatures.json``: tensors, kinds and shapes by signature and name."""
    described = {
        name: {
            "inputs": {key: _tensor(value) for key, value in signature.inputs.items()},
            "outputs": {key: _tensor(value) for key, value in signature.outputs.items()},
        }
        for graph in _stored(folder).meta_graphs
        for name, signature in graph.signature_def.items()
        if not name.startswith("__")
    }
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    text = json.dumps(described, indent=2, sort_keys=True)
    (extra / "signatures.json").write_text(text, encoding="utf-8")


def _tensor(info) -> dict:
    # Protocol buffers say -1 for an axis of any length.
    shape = [None if axis.size < 0 else axis.size for axis in info.tensor_shape.dim]
    return {"tensor": info.name, "dtype": tf.as_dtype(info.dtype).name, "shape": shape}


def _stored(folder: Path) -> saved_model_pb2.SavedModel:
    stored = saved_model_pb2.SavedModel()
    stored.ParseFromString((folder / "saved_model.pb").read_bytes())
    return stored


def foreign_operations(folder: str | Path) -> set[str]:
    """Operations of a SavedModel's graphs that are not of TensorFlow's core.

    Those are Python functions, operations of XLA, and any that the registry of this
    TensorFlow does not know.
    """
    names: set[str] = set()
    for graph in (item.graph_def for item in _stored(Path(folder)).meta_graphs):
        names |= {node.op for node in graph.node}
        names |= {node.op for function in graph.library.function for node in function.node_def}
    return {
        name
        for name in names
        if name in FOREIGN or name.startswith("Xla") or op_def_registry.get(name) is None
    }
