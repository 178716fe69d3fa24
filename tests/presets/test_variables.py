"""Variables go to a file and back by name, strictly, whole or not at all."""

import keras
import numpy as np
import pytest

from myxtts.errors import CheckpointError
from myxtts.presets import variables as module
from myxtts.presets.variables import load_variables, named, save_variables


def make_variables(**values) -> dict:
    return {name: keras.Variable(value, name=name) for name, value in values.items()}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "v.safetensors"
    save_variables(path, make_variables(a=np.arange(6.0).reshape(2, 3), b=np.ones(4)))
    return path


def test_values_and_metadata_come_back(tmp_path):
    written = make_variables(a=np.arange(6.0).reshape(2, 3), steps=np.array(7))
    save_variables(tmp_path / "v.safetensors", written, {"stage": "gpt"})
    read = make_variables(a=np.zeros((2, 3)), steps=np.array(0))
    assert load_variables(tmp_path / "v.safetensors", read) == {"stage": "gpt"}
    for name, variable in written.items():
        np.testing.assert_array_equal(variable, read[name])


def test_bfloat16_comes_back_exactly(tmp_path):
    values = np.random.default_rng(0).normal(size=100)
    written = {"a": keras.Variable(values, dtype="bfloat16", name="a")}
    save_variables(tmp_path / "v.safetensors", written)
    read = {"a": keras.Variable(np.zeros(100), dtype="bfloat16", name="a")}
    load_variables(tmp_path / "v.safetensors", read)
    np.testing.assert_array_equal(
        np.asarray(written["a"]).astype("float32"), np.asarray(read["a"]).astype("float32")
    )


def test_transposed_arrays_are_stored_in_order(tmp_path):
    array = np.arange(6.0, dtype="float32").reshape(2, 3).T
    save_variables(tmp_path / "v.safetensors", {"a": array})
    read = {"a": keras.Variable(np.zeros((3, 2)), name="a")}
    load_variables(tmp_path / "v.safetensors", read)
    np.testing.assert_array_equal(read["a"], array)


def test_optimizers_can_be_saved(tmp_path):
    def stepped(steps: int):
        weight = keras.Variable(np.ones(3), name="w")
        optimizer = keras.optimizers.AdamW(0.1, name="optimizer")
        optimizer.build([weight])
        for _ in range(steps):
            optimizer.apply([np.ones(3, "float32")], [weight])
        return named(optimizer.variables)

    first, second = stepped(3), stepped(0)
    save_variables(tmp_path / "o.safetensors", first)
    load_variables(tmp_path / "o.safetensors", second)
    assert any("iteration" in name for name in first)
    for name, variable in first.items():
        np.testing.assert_array_equal(variable, second[name])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": np.zeros((2, 3))}, "has 'b' and 0 more that the model does not"),
        ({"a": np.zeros((2, 3)), "b": np.zeros(4), "c": np.zeros(1)}, "lacks 'c'"),
        (
            {"a": np.zeros((2, 3)), "b": np.zeros(5)},
            r"b has shape \(4,\), the model expects \(5,\)",
        ),
    ],
)
def test_another_configuration_is_refused_and_nothing_is_set(saved, values, message):
    read = make_variables(**values)
    with pytest.raises(CheckpointError, match=f"v.safetensors.*{message}.*another configuration"):
        load_variables(saved, read)
    for variable in read.values():
        assert not np.any(variable)


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_truncated_files_are_named(saved, kept):
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="v.safetensors is damaged"):
        load_variables(saved, make_variables(a=np.zeros((2, 3)), b=np.zeros(4)))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no weights file .*absent"):
        load_variables(tmp_path / "absent.safetensors", {})


def test_a_failed_write_leaves_the_old_file_alone(saved, monkeypatch):
    before = saved.read_bytes()

    def full(arrays, path, metadata=None):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(CheckpointError, match="cannot write .*No space left"):
        save_variables(saved, make_variables(a=np.zeros(1)))
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_two_variables_of_one_name_are_refused():
    twins = [keras.Variable(np.ones(1), name="same") for _ in range(2)]
    with pytest.raises(CheckpointError, match="same"):
        named(twins)


def test_names_are_paths_below_the_root():
    layer = keras.layers.Dense(2, name="inner")
    outer = keras.Sequential([keras.layers.Input((3,)), layer], name="outer")
    assert set(named(outer.weights, "inner")) == {"kernel", "bias"}
