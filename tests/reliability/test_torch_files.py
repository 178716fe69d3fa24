"""A changed bit in a torch file is refused by name, whoever reads it."""

import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch writes the files")

from myxtts.errors import CheckpointError, WeightsError  # noqa: E402
from myxtts.weights.coqui_voices import read_voices  # noqa: E402
from myxtts.weights.torch_file import (  # noqa: E402
    read_torch_file,
    read_torch_step,
    read_torch_tables,
    read_torch_tensor,
)
from tools.kokoro.resuming import DAMAGES, read_state, write_state  # noqa: E402

NUMBERS = torch.arange(600.0)
TABLES = {"Anna": {"gpt_cond_latent": torch.ones(1, 4, 8), "speaker_embedding": torch.ones(1, 6)}}


def read_file(path: Path) -> list:
    return read_torch_file(path, "model")["a"].tolist()


def read_speakers(path: Path) -> list:
    return [(name, voice.latents.tolist()) for name, voice in read_voices(path).items()]


def read_table(path: Path) -> list:
    return read_torch_tables(path)["Anna"]["gpt_cond_latent"].tolist()


READERS = {
    "model.pth": ({"model": {"a": NUMBERS}, "step": 7}, read_file),
    "mel_stats.pth": (NUMBERS, lambda path: read_torch_tensor(path).tolist()),
    "speakers.pth": (TABLES, read_table),
    "speakers_xtts.pth": (TABLES, read_speakers),
    "state.pt": ({"a": NUMBERS}, lambda path: read_state(path)["a"].tolist()),
}


def changed(path: Path, place: int, bit: int = 4) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("name", READERS)
def test_no_changed_bit_changes_what_is_read(tmp_path, name):
    content, read = READERS[name]
    path, draw, refused = tmp_path / name, random.Random(7), 0
    torch.save(content, path)
    right, whole = read(path), path.read_bytes()
    for _ in range(80):
        path.write_bytes(whole)
        changed(path, draw.randrange(len(whole)), draw.randrange(8))
        try:
            assert read(path) == right
        except (WeightsError, CheckpointError) as error:
            assert name in str(error) and "\n" not in str(error)
            refused += 1
        except DAMAGES:
            # A state's own reader turns those into its sentence.
            assert name == "state.pt"
            refused += 1
    assert refused > 30


def test_the_part_that_is_damaged_is_named(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"model": {"a": NUMBERS}}, path)
    changed(path, path.read_bytes().index(NUMBERS.numpy().tobytes()) + 400)
    with pytest.raises(WeightsError, match=r"model\.pth is damaged: model/data/0 in it is not"):
        read_torch_file(path, "model")


def test_the_step_is_read_without_the_tensors_bytes(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"model": {"a": NUMBERS}, "step": 7}, path)
    changed(path, path.read_bytes().index(NUMBERS.numpy().tobytes()) + 400)
    assert read_torch_step(path) == 7
    changed(path, path.read_bytes().index(b"step"))
    with pytest.raises(WeightsError, match=r"data\.pkl in it is not"):
        read_torch_step(path)


def test_a_file_that_was_written_without_sums_is_read_and_named(tmp_path, caplog):
    path = tmp_path / "quick.pth"
    torch.save({"a": NUMBERS}, path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        sums = {item.CRC.to_bytes(4, "little") for item in archive.infolist()}
    for number in sums:
        content = content.replace(number, bytes(4))
    path.write_bytes(content)
    np.testing.assert_array_equal(read_torch_file(path)["a"], NUMBERS)
    assert "quick.pth carries no sums" in caplog.text


def test_a_file_of_an_older_torch_is_read(tmp_path):
    path = tmp_path / "old.pth"
    torch.save({"a": NUMBERS}, path, _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(read_torch_file(path)["a"], NUMBERS)


def test_a_packed_archive_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data/0", bytes(2**24))
    with pytest.raises(WeightsError, match=r"bomb\.pth unpacks to many times its size"):
        read_torch_file(path)


def test_an_error_of_the_disk_is_not_called_damage(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    torch.save({"a": NUMBERS}, path)

    def failing(self, *arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(zipfile.ZipFile, "open", failing)
    with pytest.raises(WeightsError, match=r"cannot read .*model\.pth: Input/output error"):
        read_torch_file(path)


def test_states_are_written_with_sums(tmp_path):
    write_state(tmp_path / "state.pt", {"a": NUMBERS})
    with zipfile.ZipFile(tmp_path / "state.pt") as archive:
        assert all(item.CRC for item in archive.infolist() if item.file_size)
