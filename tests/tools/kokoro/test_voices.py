"""Voices as files: three forms in and out, and one sentence for what is none."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the voice optimiser is torch's")

from myxtts.errors import CheckpointError, DataError  # noqa: E402
from tests.tools.kokoro.fakes import fake_voices  # noqa: E402
from tools.kokoro import voice_sources  # noqa: E402
from tools.kokoro.voices import load_voice, load_voices, save_voice  # noqa: E402

VOICE = fake_voices(1)["v0_a"]


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".bin"])
def test_a_voice_comes_back_as_it_was_written(suffix, tmp_path):
    save_voice(tmp_path / f"me{suffix}", VOICE)
    np.testing.assert_array_equal(load_voice(tmp_path / f"me{suffix}"), VOICE)
    assert [path.name for path in tmp_path.iterdir()] == [f"me{suffix}"]


def test_forms_are_those_of_kokoro_and_kokoro_onnx(tmp_path):
    for suffix in (".pt", ".npz", ".bin"):
        save_voice(tmp_path / f"me{suffix}", VOICE)
    tensor = torch.load(tmp_path / "me.pt", weights_only=True)
    assert (tensor.shape, tensor.dtype) == ((510, 1, 256), torch.float32)
    assert np.load(tmp_path / "me.npz")["me"].dtype == np.float32
    assert (tmp_path / "me.bin").stat().st_size == 510 * 256 * 4


def test_a_folder_and_an_archive_hold_voices_by_name(tmp_path):
    voices = fake_voices(3)
    folder = tmp_path / "folder"
    save_voice(folder / "one.bin", voices["v0_a"])
    save_voice(folder / "two.pt", voices["v1_a"])
    np.save(folder / "three.npy", voices["v2_a"])
    (folder / "README.md").write_text("no voice")
    assert list(load_voices(folder)) == ["one", "three", "two"]
    # kokoro-onnx names its archive so.
    with (tmp_path / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, **voices)
    assert list(load_voices(tmp_path / "voices-v1.0.bin")) == list(voices)


@pytest.mark.parametrize("name", ["short.bin", "text.pt", "text.npz", "text.npy", "zip.bin"])
def test_an_unreadable_voice_is_named(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"PK not a voice at all" if name == "zip.bin" else b"not a voice at all..")
    with pytest.raises(DataError, match=name):
        load_voice(path)


def test_a_missing_voice_is_said_to_be_missing(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_voice(tmp_path / "gone.pt")


def test_shape_and_values_are_checked(tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros((510, 256), "float32"))
    with pytest.raises(DataError, match=r"float32 \(510, 256\)"):
        load_voice(tmp_path / "flat.npy")
    np.save(tmp_path / "nan.npy", VOICE * np.nan)
    with pytest.raises(DataError, match="NaN"):
        load_voice(tmp_path / "nan.npy")
    with pytest.raises(DataError, match="wanted"):
        save_voice(tmp_path / "short.pt", VOICE[:5])
    with pytest.raises(CheckpointError, match="written as"):
        save_voice(tmp_path / "voice.wav", VOICE)


def test_objects_in_a_file_are_not_brought_to_life(tmp_path):
    torch.save({"voice": object()}, tmp_path / "object.pt")
    with pytest.raises(DataError, match="object.pt"):
        load_voice(tmp_path / "object.pt")
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="object.npy"):
        load_voice(tmp_path / "object.npy")


def test_two_voices_of_one_name_and_a_lonely_voice_are_refused(tmp_path):
    save_voice(tmp_path / "me.pt", VOICE)
    with pytest.raises(DataError, match="two or more"):
        load_voices(tmp_path)
    save_voice(tmp_path / "me.bin", VOICE)
    with pytest.raises(DataError, match="two voices named me"):
        load_voices(tmp_path)


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write"):
        save_voice(tmp_path / "file" / "me.pt", VOICE)


def test_given_voices_must_exist(tmp_path):
    assert voice_sources.find_voices(tmp_path) == tmp_path
    with pytest.raises(DataError, match="no such file or folder"):
        voice_sources.find_voices(tmp_path / "gone")


def test_fetched_voices_are_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    monkeypatch.setattr(voice_sources, "_in_hub_cache", lambda: None)
    for name, voice in fake_voices(10).items():
        save_voice(voice_sources.fetched_folder() / f"{name}.bin", voice)
    assert len(load_voices(voice_sources.find_voices())) == 10


def test_without_voices_and_npm_the_way_to_them_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(voice_sources, "_in_hub_cache", lambda: None)
    with pytest.raises(DataError, match="npm pack kokoro-js@1.2.1"):
        voice_sources.find_voices()
