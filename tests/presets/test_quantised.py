"""int8 matrices: rounded within half a step, exact where it is done again, not for training."""

import json

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from myxtts.errors import CheckpointError
from myxtts.models.xtts import XTTS
from myxtts.presets.quantised import SCALE, dequantise, quantise
from myxtts.presets.variables import load_variables
from myxtts.text.tokenizer import train_tokenizer
from myxtts.training.stages.xtts import make_model

QKV = "gpt/block_0/qkv/kernel"


@pytest.fixture(scope="module")
def model(micro_config) -> XTTS:
    return XTTS(micro_config, train_tokenizer([("some words to learn from", "en")] * 4, 300))


@pytest.fixture(scope="module")
def preset(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantised") / "preset"
    model.save_to_preset(folder, quantise="int8")
    return folder


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(40, 30)) * 10.0 ** rng.uniform(-6, 6, 30)).astype("float32")


def test_errors_are_half_a_step_at_most(matrix):
    integers, scales = quantise(matrix)
    assert integers.dtype == "int8"
    assert scales.dtype == "float32"
    assert np.abs(integers).max(axis=0).tolist() == [127] * 30
    assert np.all(np.abs(dequantise(integers, scales) - matrix) <= 0.5001 * scales)


def test_quantised_again_it_is_the_same(matrix):
    integers, scales = quantise(matrix)
    again = quantise(dequantise(integers, scales))
    np.testing.assert_array_equal(again[0], integers)
    np.testing.assert_array_equal(again[1], scales)


def test_products_are_exact(matrix):
    integers, scales = quantise(matrix)
    exact = integers.astype("float64") * scales.astype("float64")
    np.testing.assert_array_equal(dequantise(integers, scales), exact)


def test_channels_of_zeros_stay_zeros():
    integers, scales = quantise(np.zeros((3, 2)))
    assert not dequantise(integers, scales).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        quantise(np.array([[1.0, value]]))


def test_only_matrices_of_the_blocks_are_integers(model, preset):
    arrays = load_file(preset / "xtts.safetensors")
    integers = {name for name, array in arrays.items() if array.dtype == "int8"}
    assert len(integers) == len(model.gpt.matrices) == 8
    assert {name for name in arrays if name.endswith(SCALE)} == {n + SCALE for n in integers}
    assert all(name.startswith("gpt/block_") for name in integers)
    others = set(arrays) - integers
    assert all(arrays[name].dtype != "float16" for name in others)


def test_it_is_read_as_floats_and_its_record_says_so(model, preset):
    read = XTTS.from_preset(preset)
    assert read.quantised == "int8"
    assert json.loads((preset / "manifest.json").read_text())["quantised"] == "int8"
    for own, theirs in zip(read.gpt.matrices, model.gpt.matrices, strict=True):
        np.testing.assert_array_equal(own, dequantise(*quantise(theirs)))
    np.testing.assert_array_equal(read.gpt.audio_head.kernel, model.gpt.audio_head.kernel)


def test_saved_again_it_is_the_same_file(preset, tmp_path):
    read = XTTS.from_preset(preset)
    read.save_to_preset(tmp_path / "again")
    name = "xtts.safetensors"
    assert (tmp_path / "again" / name).read_bytes() == (preset / name).read_bytes()


def test_half_and_int8_go_together(model, tmp_path):
    model.save_to_preset(tmp_path / "small", half=True, quantise="int8")
    arrays = load_file(tmp_path / "small" / "xtts.safetensors")
    assert arrays[QKV].dtype == "int8"
    assert arrays["gpt/audio_head/kernel"].dtype == "float16"
    XTTS.from_preset(tmp_path / "small")


def test_one_changed_scale_is_noticed(preset, tmp_path):
    arrays = load_file(preset / "xtts.safetensors")
    arrays[QKV + SCALE][0] *= 2
    (tmp_path / "config.yaml").write_bytes((preset / "config.yaml").read_bytes())
    (tmp_path / "tokenizer.json").write_bytes((preset / "tokenizer.json").read_bytes())
    (tmp_path / "manifest.json").write_bytes((preset / "manifest.json").read_bytes())
    save_file(arrays, tmp_path / "xtts.safetensors")
    (tmp_path / "dvae.safetensors").write_bytes((preset / "dvae.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"xtts\.safetensors is damaged"):
        XTTS.from_preset(tmp_path)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"a": np.ones((2, 3), "int8")}, "a holds int8"),
        ({"a": np.ones((2, 3), "float32"), "a" + SCALE: np.ones(3, "float32")}, "a holds float32"),
        ({"a": np.ones((2, 3), "int8"), "a" + SCALE: np.ones(2, "float32")}, r"scales float32 \(2"),
        ({"a": np.ones((2, 3), "int8"), "b" + SCALE: np.ones(3, "float32")}, "has 'b:scale'"),
    ],
)
def test_integers_that_cannot_be_weights_are_refused(tmp_path, stored, message):
    save_file(stored, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_variables(tmp_path / "w.safetensors", {"a": keras.Variable(np.zeros((2, 3)))})


def test_no_training_begins_with_it(preset, micro_config, tmp_path):
    config = micro_config.merged({"training": {"init_from": str(preset)}})
    with pytest.raises(CheckpointError, match="int8 weights, which are for speaking only"):
        make_model(config, tmp_path)
