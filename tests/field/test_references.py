"""References as people name them: files, folders, addresses."""

from pathlib import Path

import numpy as np
import pytest

from myxtts.audio.io import hum, read_audio, write_audio
from myxtts.errors import AudioError
from myxtts.generation.references import reference_files


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two recordings, one of them with capitals in its suffix, and what lies beside such."""
    folder = tmp_path / "my voice"
    for name in ("b.wav", "a.flac"):
        write_audio(folder / name, hum(1, 200, 22_050), 22_050)
    (folder / "b.wav").rename(folder / "b.WAV")
    for name in ("notes.txt", "._a.flac"):
        (folder / name).write_text("text")
    return folder


def test_a_folder_is_its_recordings(folder):
    array = np.zeros(5, "float32")
    found = reference_files([str(folder), "c.wav", array])
    assert [Path(item).name for item in found[:3]] == ["a.flac", "b.WAV", "c.wav"]
    assert found[3] is array


def test_home_is_found(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert len(read_audio("~/a.flac")[0]) == 22_050
    assert [path.name for path in reference_files(["~"])] == ["a.flac", "b.WAV"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("https://example.com/voice.wav", "https://example.com/voice.wav is an address"),
        ("file:///tmp/voice.wav", "file:///tmp/voice.wav is an address"),
        ("{}", "is a folder; name an audio file in it"),
        ("{}/absent.wav", "no audio file"),
    ],
)
def test_what_is_no_file_is_named_for_what_it_is(folder, name, message):
    with pytest.raises(AudioError, match=message):
        read_audio(name.format(folder))


def test_a_folder_without_recordings_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"holds no audio file \(\.wav, \.flac"):
        reference_files([tmp_path])
