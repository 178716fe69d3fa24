"""A model as a SavedModel that TensorFlow Serving loads as it is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from myxtts.digests import write_sums
from myxtts.errors import CheckpointError
from myxtts.files import replacing_folder
from myxtts.models.xtts import XTTS
from myxtts.serving.contract import OPTIONS
from myxtts.serving.graph.half import HalfWeights
from myxtts.serving.signatures import EmbeddingModule, ServingModule
from myxtts.text.languages import table_of
from myxtts.timing import MODEL_RATE, OUTPUT_RATE, SPEAKER_RATE

# What no server without this package, or without XLA, could run.
FOREIGN = ("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction")


def export_saved_model(
    model: XTTS, folder: str | Path, vocoder: str, half: bool = False
) -> ServingModule:
    """Write the signatures of :class:`ServingModule` to ``folder``, whole or not at all.

    ``assets.extra/signatures.json`` beside the graph describes them, and ``serving.json``
    what a client wants to know of the model. ``SHA256SUMS`` has the hash of every file.

    Args:
        model: a trained model.
        folder: of the version, ``serving/my_xtts/1`` say; it must not be there yet, or be empty.
        vocoder: the decoder's, ``hifi`` or ``istft``, or ``griffin_lim``.
        half: store weights as float16. They are computed with as float32.

    Returns:
        What was written.

    Raises:
        CheckpointError: the folder is there, or cannot be written.
        TextError: the model's tokenizer cannot be put in a graph.
    """
    _require_absent(folder)
    module = ServingModule(model, vocoder)
    signatures, stored = module.signatures(), None
    weights = _read([w for part in model.parts().values() for w in part.weights], signatures)
    if half:
        stored = HalfWeights(weights)
        module.read_from(stored.in_place)
        signatures = module.signatures()
    _save(Path(folder), signatures, weights, stored, _about(module) | {"half": half})
    return module


def export_speaker_encoder(encoder: keras.layers.Layer, folder: str | Path) -> None:
    """Write the signature ``speaker_embedding`` of a speaker encoder alone.

    Args:
        encoder: one of :mod:`myxtts.models.speaker_encoder`, with its weights.
        folder: of the version; it must not be there yet, or be empty.

    Raises:
        CheckpointError: the folder is there, or cannot be written.
    """
    _require_absent(folder)
    signatures = EmbeddingModule(encoder).signatures()
    about = {"model": "speaker_encoder", "reference_rate": SPEAKER_RATE}
    _save(Path(folder), signatures, _read(encoder.weights, signatures), None, about)


def export_graphs(
    folder: str | Path, signatures: dict, weights: Iterable[keras.Variable], about: dict
) -> None:
    """Write signatures of any model, with those of its weights that they read.

    Args:
        folder: of the version; it must not be there yet, or be empty.
        signatures: concrete functions by name.
        weights: of the model.
        about: content of ``serving.json``.

    Raises:
        CheckpointError: the folder is there, or cannot be written.
    """
    _require_absent(folder)
    _save(Path(folder), signatures, _read(weights, signatures), None, about)


def _require_absent(folder: str | Path) -> None:
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} is there already; a server wants each version once.")


def _read(weights: Iterable[keras.Variable], signatures: dict) -> list[keras.Variable]:
    """Those weights that some graph reads."""
    read = {id(given) for graph in signatures.values() for given, _ in graph.graph.captures}
    return [weight for weight in weights if id(weight.value.handle) in read]


def _save(
    folder: Path,
    signatures: dict,
    weights: list[keras.Variable],
    stored: HalfWeights | None,
    about: dict,
) -> None:
    # The models themselves would be stored with their calls; the graphs want the weights alone.
    holder = tf.Module()
    holder.weights = [weight.value for weight in (stored.kept if stored else weights)]
    if stored:
        holder.stored, holder.computed = stored.stored, stored.computed
    with replacing_folder(folder) as fresh:
        tf.saved_model.save(holder, str(fresh), signatures=signatures)
        describe(fresh)
        _write(fresh, "serving", about)
        # For `sha256sum -c`: of the graphs, TensorFlow itself knows no sum.
        files = [path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()]
        write_sums(fresh, [path.as_posix() for path in files])


def _about(module: ServingModule) -> dict:
    model = module.model
    settings, gpt = model.config.synthesis, model.gpt
    languages = module.tokenizer.languages
    return {
        "model": "xtts",
        "vocoder": module.speaker.vocoder.kind,
        "sample_rate": OUTPUT_RATE,
        "reference_rate": MODEL_RATE,
        "languages": list(languages),
        "ids_only": list(module.tokenizer.ids_only),
        # The front-end reads before a text is sent: no graph holds it.
        "defaults": {name: getattr(settings, name) for name in (*OPTIONS, "front_end")},
        "phonemes": "".join(model.tokenizer.phonemes),
        "max_text_tokens": gpt.max_text_tokens,
        "max_characters": {
            name: settings.max_characters or table_of(name).max_characters for name in languages
        },
        "latents": [model.config.model.conditioning.num_latents, gpt.model_dim],
        "speaker_embedding": model.decoder.speaker_dim,
    }


def _write(folder: Path, name: str, content: dict) -> None:
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    (extra / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def describe(folder: Path) -> None:
    """Write ``assets.extra/signatures.json`` of a SavedModel.

    It holds tensors, kinds and shapes of what goes in and out, by signature and name.
    """
    described = {
        name: {
            "inputs": {key: _tensor(value) for key, value in signature.inputs.items()},
            "outputs": {key: _tensor(value) for key, value in signature.outputs.items()},
        }
        for graph in _stored(folder).meta_graphs
        for name, signature in graph.signature_def.items()
        if not name.startswith("__")
    }
    _write(folder, "signatures", described)


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
