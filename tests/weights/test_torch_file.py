"""Torch files are read as data, never run."""

import re

import numpy as np
import pytest

from myxtts.errors import WeightsError
from myxtts.weights.torch_file import read_torch_file

torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")


def test_state_dictionary_becomes_arrays(tmp_path):
    torch.save({"model": {"a": torch.arange(3.0), "step": 4}}, tmp_path / "m.pt")
    arrays = read_torch_file(tmp_path / "m.pt", "model")
    assert list(arrays) == ["a"]
    np.testing.assert_array_equal(arrays["a"], [0, 1, 2])


class Harmful:
    def __reduce__(self):
        return (print, ("this must not be printed",))


def test_pickled_objects_are_refused_and_not_run(tmp_path, capsys):
    torch.save({"model": Harmful()}, tmp_path / "bad.pt")
    with pytest.raises(WeightsError, match=r"bad\.pt is refused.*print"):
        read_torch_file(tmp_path / "bad.pt", "model")
    assert capsys.readouterr().out == ""


def test_unfit_files_are_named(tmp_path):
    (tmp_path / "text.pt").write_text("no torch file")
    torch.save({"other": {}}, tmp_path / "other.pt")
    for name, message in (
        ("absent.pt", "no weights file"),
        ("text.pt", "text.pt"),
        ("other.pt", "has no 'model'"),
    ):
        with pytest.raises(WeightsError, match=message):
            read_torch_file(tmp_path / name, "model")


def test_bfloat16_becomes_float32(tmp_path):
    torch.save({"a": torch.tensor([1.5, -2.0], dtype=torch.bfloat16)}, tmp_path / "m.pt")
    array = read_torch_file(tmp_path / "m.pt")["a"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [1.5, -2.0])


def test_cut_files_are_named(tmp_path):
    torch.save({"a": torch.arange(1000.0)}, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    for size in (0, 1, 100, len(content) // 2):
        (tmp_path / "cut.pt").write_bytes(content[:size])
        with pytest.raises(WeightsError, match=r"cut\.pt"):
            read_torch_file(tmp_path / "cut.pt")


@pytest.mark.parametrize("name", ["bytes.pt", "bytes.ckpt", "bytes.safetensors"])
def test_bytes_that_are_no_torch_file_are_named_whatever_they_are_called(tmp_path, name):
    rng = np.random.default_rng(0)
    pickled = b"\x80\x02}q\x00(X\x01\x00\x00\x00a"
    for content in (b"", b"\x80", pickled, pickled + b"K\x01u.", rng.bytes(300), b"PK\x03\x04"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=re.escape(name)):
            read_torch_file(tmp_path / name)


def test_the_first_prefix_that_occurs_chooses_the_keys(tmp_path):
    tensors = {"outer.part.a": torch.zeros(1), "part.b": torch.ones(1), "other.c": torch.ones(2)}
    torch.save(tensors, tmp_path / "m.pt")
    prefixes = ("outer.part.", "part.", "")
    assert list(read_torch_file(tmp_path / "m.pt", prefixes=prefixes)) == ["a"]
    assert list(read_torch_file(tmp_path / "m.pt", prefixes=prefixes[1:])) == ["b"]
    assert len(read_torch_file(tmp_path / "m.pt", prefixes=("absent.", ""))) == 3
