"""The model that comes with the package is taken where none is named; its voices have names."""

import json
import shutil

import pytest

from myxtts.errors import CheckpointError
from myxtts.presets import finding
from myxtts.presets.finding import find_preset
from myxtts.presets.record import MANIFEST
from myxtts.presets.voices import PresetVoice, file_of, preset_voices, voice_path, write_list

TWO = [PresetVoice("anna", "a low voice"), PresetVoice("ben")]


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder that stands for the model in the package."""
    folder = tmp_path / "data_files" / finding.SHIPPED
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    monkeypatch.setattr(finding, "DATA_FILES", folder.parent)
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_shipped_model_is_the_default_and_has_a_name(shipped):
    assert find_preset() == find_preset("base") == shipped


def test_a_run_of_the_same_name_comes_first(shipped, tmp_path):
    shutil.copytree(shipped, tmp_path / "runs" / "base" / "preset")
    assert find_preset("base").parts == ("runs", "base", "preset")
    assert find_preset() == shipped


def test_without_the_shipped_model_one_sentence_says_what_to_do(shipped):
    shutil.rmtree(shipped)
    for name in (None, "base"):
        with pytest.raises(CheckpointError, match="comes without its model.*--preset.*make voice"):
            find_preset(name)


def test_without_the_shipped_model_the_default_run_is_taken(shipped, tmp_path):
    own = tmp_path / "runs" / "xtts" / "preset"
    shutil.copytree(shipped, own)
    assert find_preset() == shipped
    shutil.rmtree(shipped)
    assert find_preset().resolve() == own


def test_voices_are_found_by_name_the_first_unasked(shipped, tmp_path):
    write_list(shipped, TWO)
    assert preset_voices(shipped) == TWO
    assert voice_path(shipped) == voice_path(shipped, "anna") == file_of(shipped, "anna")
    assert voice_path(shipped, "ben").name == "ben.safetensors"
    (tmp_path / "own.safetensors").touch()
    assert voice_path(shipped, tmp_path / "own.safetensors") == tmp_path / "own.safetensors"
    with pytest.raises(CheckpointError, match=r"no voice carl: no such file.* are anna, ben"):
        voice_path(shipped, "carl")


def test_a_preset_without_voices_says_so(shipped):
    assert preset_voices(shipped) == []
    with pytest.raises(CheckpointError, match="no voices of its own: give --reference-audio"):
        voice_path(shipped)
    with pytest.raises(CheckpointError, match="no voice anna"):
        voice_path(shipped, "anna")


@pytest.mark.parametrize("content", ["[", '{"a": 1}', json.dumps([{"nome": "anna"}])])
def test_a_damaged_list_is_one_sentence(shipped, content):
    write_list(shipped, TWO)
    (shipped / "voices" / "voices.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"voices\.json is damaged"):
        preset_voices(shipped)
