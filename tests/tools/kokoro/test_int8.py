"""The int8 ONNX graph as torch weights, on graphs small enough to write here."""

import numpy as np
import pytest

from myxtts.errors import WeightsError
from tools.kokoro import int8

onnx = pytest.importorskip("onnx", reason="builds the small graphs")


def graph_bytes(nodes, tensors: dict[str, np.ndarray]) -> bytes:
    initialisers = [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = onnx.helper.make_graph(nodes, "small", [], [], initialisers)
    return onnx.helper.make_model(graph).SerializeToString()


def conv_graph(**extra: np.ndarray) -> bytes:
    node = onnx.helper.make_node(
        "ConvInteger", ["x", "c_quantized", "xz", "z"], ["y"], name="/encoder/F0.0/conv1/Conv_quant"
    )
    tensors = {
        "c_quantized": np.array([[[130, 126]], [[128, 128]]], "uint8"),
        "c_scale": np.float32(0.5),
        "z": np.uint8(128),
        "encoder.predictor.F0.0.conv1.bias": np.array([1, 2], "float32"),
    }
    return graph_bytes([node], tensors | extra)


SHAPES = {
    "predictor.F0.0.conv1.weight_g": (2, 1, 1),
    "predictor.F0.0.conv1.weight_v": (2, 1, 2),
    "predictor.F0.0.conv1.bias": (2,),
}


@pytest.mark.parametrize(
    ("node", "module"),
    [
        ("/decoder/decoder/encode/conv1/Conv_quant", "decoder.encode.conv1"),
        ("/decoder/decoder/asr_res/asr_res.0/Conv_quant", "decoder.asr_res.0"),
        ("/encoder/F0.0/norm1/fc/Gemm_MatMul_quant", "predictor.F0.0.norm1.fc"),
        ("/encoder/N_proj/Conv_quant", "predictor.N_proj"),
        ("/encoder/shared/LSTM_quant", "predictor.shared"),
        ("/encoder/text_encoder/cnn.0/cnn.0.0/Conv_quant", "text_encoder.cnn.0.0"),
        ("/encoder/bert_encoder/MatMul_quant", "bert_encoder"),
    ],
)
def test_node_paths_name_modules(node, module):
    assert int8.module_of(node) == module


def test_weight_norm_of_a_quantised_convolution_gives_the_fused_weight_back():
    torch = pytest.importorskip("torch", reason="its weight norm is the measure")
    state = int8.kmodel_state(conv_graph(), SHAPES)
    fused = torch._weight_norm(
        *(torch.from_numpy(state[f"predictor.F0.0.conv1.weight_{part}"]) for part in "vg"), 0
    )
    # The second channel quantised to zeros and must stay zero, not become NaN.
    np.testing.assert_allclose(fused.numpy(), [[[1, -1]], [[0, 0]]], atol=1e-7)


def test_missing_weight_is_named():
    with pytest.raises(WeightsError, match="no weight for predictor.N.0.conv1"):
        int8.kmodel_state(conv_graph(), {"predictor.N.0.conv1.weight_g": (2, 1, 1)})


def test_other_shape_is_an_error():
    shapes = {**SHAPES, "predictor.F0.0.conv1.bias": (3,)}
    with pytest.raises(WeightsError, match="bias has shape"):
        int8.kmodel_state(conv_graph(), shapes)


def test_weight_that_no_key_asks_for_is_an_error():
    extra = {"encoder.predictor.F0.9.conv1.bias": np.zeros(2, "float32")}
    with pytest.raises(WeightsError, match=r"F0\.9"):
        int8.kmodel_state(conv_graph(**extra), SHAPES)


def test_unused_keys_are_left_out():
    shapes = {**SHAPES, "bert.pooler.weight": (1,), "predictor.F0.0.norm1.norm.bias": (1,)}
    assert int8.kmodel_state(conv_graph(), shapes).keys() == SHAPES.keys()


def test_lstm_gates_and_directions_are_torchs():
    """A quantised ONNX LSTM and torch's, run on the same input."""
    torch = pytest.importorskip("torch", reason="its LSTM is the measure")
    runtime = pytest.importorskip("onnxruntime", reason="it runs the ONNX LSTM")
    rng = np.random.default_rng(0)
    quantised = {
        "w_quantized": rng.integers(-90, 90, (2, 3, 16)).astype("int8"),
        "r_quantized": rng.integers(-90, 90, (2, 4, 16)).astype("int8"),
        "w_scale": np.array([0.01, 0.02], "float32"),
        "r_scale": np.array([0.02, 0.01], "float32"),
        "z": np.zeros(2, "int8"),
        "b": rng.normal(size=(2, 32)).astype("float32"),
    }
    inputs = ["x", "w_quantized", "r_quantized", "b", "", "", "", ""]
    inputs += ["w_scale", "z", "r_scale", "z"]
    node = onnx.helper.make_node("DynamicQuantizeLSTM", inputs, ["y"], name="/encoder/shared/LSTM")
    keys = torch.nn.LSTM(3, 4, bidirectional=True)
    shapes = {f"predictor.shared.{key}": tuple(t.shape) for key, t in keys.state_dict().items()}
    state = int8.kmodel_state(graph_bytes([node], quantised), shapes)
    keys.load_state_dict(
        {key.rpartition(".")[2]: torch.from_numpy(value) for key, value in state.items()}
    )
    audio = rng.normal(size=(5, 1, 3)).astype("float32")
    ours = keys(torch.from_numpy(audio))[0].detach().numpy()
    np.testing.assert_allclose(ours, plain_onnx_lstm(runtime, quantised, audio), atol=1e-6)


def plain_onnx_lstm(runtime, quantised: dict, audio: np.ndarray) -> np.ndarray:
    """Output ``(steps, batch, 8)`` of ONNX's float LSTM with the same weights."""
    tensors = {
        name: (quantised[f"{name}_quantized"] * quantised[f"{name}_scale"][:, None, None])
        .transpose(0, 2, 1)
        .astype("float32")
        for name in "wr"
    }
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=4)
    node.attribute.append(helper.make_attribute("direction", "bidirectional"))
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info("x", kind, audio.shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [
            onnx.numpy_helper.from_array(value, name)
            for name, value in {**tensors, "b": quantised["b"]}.items()
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": audio})  # (steps, directions, batch, hidden)
    return output.transpose(0, 2, 1, 3).reshape(len(audio), 1, 8)
