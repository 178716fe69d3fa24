"""Kokoro's int8 ONNX graph as the weights of ``kokoro.model.KModel``.

The exporter kept the module tree in its node names, so a weight is found by the
operator that uses it: ``/decoder/decoder/X/Conv_quant`` is ``decoder.X``,
``/encoder/F0.0/...`` is ``predictor.F0.0...``. Biases, scales of normalisation
and ``alpha`` keep their names. ONNX Runtime's quantiser stores
``weight = scale * (quantised - zero_point)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from myxtts.errors import WeightsError

# Keys of KModel that have no tensor in the graph, and why none is needed.
UNUSED = {
    r"bert\.pooler\.(weight|bias)": "KModel reads the last hidden state, not the pooled one",
    r".*\.norm\.(weight|bias)": "AdaIN's instance norm is the identity there; fc scales and shifts",
}
# Tensors of the graph that are no weights.
CONSTANTS = {
    r"decoder\.decoder\.generator\.stft\..*": "the inverse STFT's window and basis",
}
# Submodules of KModel.predictor that the exporter named without their parent.
_ORPHANS = re.compile(r"^(F0|N|shared|F0_proj|N_proj)(\.|$)")
_OPERATORS = {
    "ConvInteger": "conv",
    "Conv": "conv",
    "ConvTranspose": "conv",
    "MatMulInteger": "linear",
    "MatMul": "linear",
    "Gather": "embedding",
    "DynamicQuantizeLSTM": "lstm",
}


def kmodel_state(data: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Float32 weights for every key of ``shapes`` but those in ``UNUSED``.

    Args:
        data: the ONNX file.
        shapes: of KModel's state dictionary.

    Raises:
        WeightsError: a weight is missing, has another shape, or is left over.
    """
    graph = Graph(data)
    state = {}
    for key, shape in shapes.items():
        if is_named(key, UNUSED):
            continue
        state[key] = np.array(graph.tensor(key), "float32", order="C")
        if state[key].shape != tuple(shape):
            raise WeightsError(
                f"the ONNX weight for {key} has shape {state[key].shape}; KModel wants {shape}."
            )
    left = graph.left_over()
    if left:
        raise WeightsError(f"the ONNX graph holds weights that KModel has no place for: {left}.")
    return state


def is_named(key: str, patterns: Mapping[str, str]) -> bool:
    """Does one of the patterns match all of ``key``?"""
    return any(re.fullmatch(pattern, key) for pattern in patterns)


def module_of(node_name: str) -> str:
    """KModel's module for the node ``/scope/.../Operator``: ``decoder.encode.conv1``."""
    parts: list[str] = []
    for part in node_name.strip("/").split("/")[:-1]:
        # An item of a list carries the list's name again: cnn.0, then cnn.0.0.
        if parts and part.startswith(parts[-1] + "."):
            parts.pop()
        parts.append(part)
    name = ".".join(parts[1:])  # without the wrapper's "encoder" or "decoder"
    return f"predictor.{name}" if _ORPHANS.match(name) else name


class Graph:
    """Initialisers of an ONNX file, found by KModel's names and dequantised.

    Args:
        data: the ONNX file.

    Raises:
        WeightsError: the package onnx is missing.
    """

    def __init__(self, data: bytes) -> None:
        try:
            import onnx
        except ImportError as error:
            raise WeightsError("building KModel needs onnx; run: pip install onnx") from error
        graph = onnx.load_model_from_string(data).graph
        self._tensors = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
        self._operators = dict(self._weighted(graph.node))
        self._embedding_zeros = {
            node.name.removesuffix("_DequantizeLinear"): node.input[2]
            for node in graph.node
            if node.op_type == "DequantizeLinear"
        }
        self._used: set[str] = set()

    def tensor(self, key: str) -> np.ndarray:
        """The tensor for one key of KModel's state dictionary, float32."""
        module, _, leaf = key.rpartition(".")
        if leaf in ("weight_g", "weight_v"):
            return weight_norm(self._weight(module))[leaf]
        if "_l0" in leaf:
            return self._lstm(module, leaf)
        if leaf == "weight" and module in self._operators:
            return self._weight(module)
        return self._get(f"decoder.{key}" if key.startswith("decoder.") else f"encoder.{key}")

    def left_over(self) -> list[str]:
        """Weights that no key has asked for."""
        # The exporter's own constants have a node's path, weights a dotted name.
        weights = {
            name
            for name, tensor in self._tensors.items()
            if name.endswith("_quantized") or ("." in name and not name.startswith("/"))
            if tensor.dtype in (np.float32, np.int8, np.uint8)
            if not name.endswith(("_scale", "_zero_point")) and not is_named(name, CONSTANTS)
        }
        return sorted(weights - self._used)

    def _weighted(self, nodes) -> Iterator[tuple[str, tuple]]:
        for node in nodes:
            kind = _OPERATORS.get(node.op_type)
            data = node.input[0] if kind == "embedding" else node.input[1] if kind else ""
            if data in self._tensors and node.name.startswith("/"):
                yield module_of(node.name), (kind, node)

    def _weight(self, module: str) -> np.ndarray:
        kind, node = self._operators.get(module, (None, None))
        if kind == "embedding":
            return self._dequantised(node.input[0], self._embedding_zeros.get(node.name))
        if kind is None:
            raise WeightsError(f"the ONNX graph has no weight for {module}.")
        if not node.input[1].endswith("_quantized"):
            weight = self._get(node.input[1])
        else:
            weight = self._dequantised(node.input[1], node.input[3])
        return weight.T if kind == "linear" else weight

    def _lstm(self, module: str, leaf: str) -> np.ndarray:
        """One of torch's LSTM tensors, e.g. ``weight_ih_l0_reverse``."""
        _, node = self._operators.get(module, (None, None))
        if node is None:
            raise WeightsError(f"the ONNX graph has no LSTM {module}.")
        direction = int(leaf.endswith("_reverse"))
        if leaf.startswith("bias"):
            both = np.split(self._get(node.input[3])[direction], 2)
            return torch_gates(both[int("_hh_" in leaf)])
        weight, scale = (2, 10) if "_hh_" in leaf else (1, 8)
        tensor = self._dequantised(node.input[weight], node.input[scale + 1])
        return torch_gates(tensor[direction].T)

    def _dequantised(self, name: str, zero_point: str | None) -> np.ndarray:
        """Scales are for the whole tensor, for its last axis, or for each direction of an LSTM."""
        quantised = self._get(name).astype("float32")
        scale = self._get(name.removesuffix("_quantized") + "_scale")
        zero = self._get(zero_point).astype("float32") if zero_point else np.float32(0)
        if quantised.ndim == 3 and scale.ndim == 1:
            scale, zero = scale[:, None, None], zero[:, None, None]
        return (quantised - zero) * scale

    def _get(self, name: str) -> np.ndarray:
        if name not in self._tensors:
            raise WeightsError(f"the ONNX graph has no tensor {name}.")
        self._used.add(name)
        return self._tensors[name]


def torch_gates(tensor: np.ndarray) -> np.ndarray:
    """Rows of ONNX's LSTM gates (input, output, forget, cell) in torch's order (i, f, c, o)."""
    first, output, forget, cell = np.split(tensor, 4)
    return np.concatenate([first, forget, cell, output])


def weight_norm(weight: np.ndarray) -> dict[str, np.ndarray]:
    """Direction ``weight_v`` and length ``weight_g`` of a fused weight, by its first axis.

    A channel that quantised to zeros has length 0; its direction is set to ones, for
    torch divides by the direction's length.
    """
    axes = tuple(range(1, weight.ndim))
    length = np.sqrt(np.sum(weight.astype("float64") ** 2, axis=axes, keepdims=True))
    return {"weight_g": length, "weight_v": np.where(length > 0, weight, 1)}
