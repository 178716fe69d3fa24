"""A tensor written without torch is read by torch, and the other way round."""

import numpy as np
import pytest

from myxtts.errors import WeightsError
from myxtts.weights.torch_tensor import read_tensor, write_tensor

ROW = np.random.default_rng(0).normal(size=(1, 192)).astype("float32")


@pytest.mark.parametrize("name", ["a.ecapa_embedding", "speaker.averaged"])
@pytest.mark.parametrize("array", [ROW, ROW.reshape(2, 96), ROW[:, :1], ROW.T.astype("float64")])
def test_torch_reads_what_was_written_without_it(tmp_path, name, array):
    torch = pytest.importorskip("torch", reason="torch reads the file")
    write_tensor(tmp_path / name, array)
    tensor = torch.load(tmp_path / name, weights_only=True)
    assert tensor.dtype == torch.float32 and not tensor.requires_grad
    assert tensor.is_contiguous()
    np.testing.assert_array_equal(tensor.numpy(), array.astype("float32"))
    assert float((tensor + 1).sum()) == pytest.approx(array.sum() + array.size, rel=1e-5)


def test_what_torch_wrote_is_read_without_it(tmp_path):
    torch = pytest.importorskip("torch", reason="torch writes the file")
    torch.save(torch.from_numpy(ROW), tmp_path / "file.x_embedding")
    np.testing.assert_array_equal(read_tensor(tmp_path / "file.x_embedding"), ROW)


def test_the_same_numbers_give_the_same_file(tmp_path):
    for name in "ab":
        write_tensor(tmp_path / name, ROW)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    np.testing.assert_array_equal(read_tensor(tmp_path / "a"), ROW)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(WeightsError, match="is no file of one tensor"):
        read_tensor(tmp_path / "a")
    with pytest.raises(WeightsError, match="is no file of one tensor"):
        read_tensor(tmp_path / "missing")
