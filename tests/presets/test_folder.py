"""Preset folders lose nothing and load only whole."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from myxtts.errors import CheckpointError, MyXTTSError
from myxtts.models.xtts import XTTS
from myxtts.presets.folder import load, read_config, save
from myxtts.presets.record import Record
from myxtts.presets.variables import named_parts
from myxtts.settings import Settings, setting
from myxtts.text.tokenizer import train_tokenizer

FILES = ("config.yaml", "tokenizer.json", "manifest.json", "xtts.safetensors", "dvae.safetensors")


@dataclass(frozen=True)
class ToyConfig(Settings, section="toy"):
    shape: str = setting("round", "form")
    frequency: float = setting(1.0, "how often")


@pytest.fixture(scope="module")
def model(micro_config) -> XTTS:
    return XTTS(micro_config, train_tokenizer([("some words to learn from", "en")] * 4, 300))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "preset"
    model.save_to_preset(folder)
    return folder


@pytest.fixture
def preset(saved, tmp_path) -> Path:
    """A copy for a test to damage."""
    return Path(shutil.copytree(saved, tmp_path / "preset"))


def test_a_preset_has_five_files(saved):
    assert {path.name for path in saved.iterdir()} == set(FILES)


def test_a_folder_of_other_files_is_not_replaced(model, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"thesis\.txt and no preset"):
        model.save_to_preset(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_is_not_replaced(model, tmp_path):
    (tmp_path / "p").write_text("a file")
    with pytest.raises(CheckpointError, match="is a file"):
        model.save_to_preset(tmp_path / "p")
    assert (tmp_path / "p").read_text() == "a file"


def test_other_files_of_a_preset_stay(model, preset):
    (preset / "README.md").write_text("model card")
    (preset / "samples").mkdir()
    (preset / "samples" / "one.txt").write_text("1")
    model.save_to_preset(preset)
    assert (preset / "README.md").read_text() == "model card"
    assert (preset / "samples" / "one.txt").read_text() == "1"
    XTTS.from_preset(preset)


def test_the_working_folder_can_be_a_preset(model, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    model.save_to_preset(".")
    assert (tmp_path / "here" / "manifest.json").is_file()


def test_a_failed_exchange_puts_the_old_preset_back(model, preset, monkeypatch):
    before = (preset / "manifest.json").read_bytes()
    rename = Path.rename

    def failing(self, target):
        if self.name.endswith(".new"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(CheckpointError, match="Input/output error"):
        model.save_to_preset(preset)
    assert (preset / "manifest.json").read_bytes() == before
    assert [path.name for path in preset.parent.iterdir()] == ["preset"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["missing", "cut"])
def test_a_damaged_file_is_one_sentence(preset, name, kind):
    path = preset / name
    content = path.read_bytes()
    path.unlink()
    if kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(MyXTTSError, match=str(preset)):
        XTTS.from_preset(preset)


def test_one_changed_bit_of_the_weights_is_noticed(preset):
    path = preset / "xtts.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"xtts\.safetensors is damaged"):
        XTTS.from_preset(preset)


@pytest.mark.parametrize("changes", [{"trained_steps": 3}, {"sha256": None}])
def test_a_manifest_of_another_kind_is_refused(preset, changes):
    manifest = json.loads((preset / "manifest.json").read_text())
    (preset / "manifest.json").write_text(json.dumps(manifest | changes))
    with pytest.raises(CheckpointError, match=r"manifest\.json is missing or damaged"):
        XTTS.from_preset(preset)


def test_a_preset_of_another_kind_says_what_it_is(preset):
    manifest = json.loads((preset / "manifest.json").read_text())
    assert manifest["kind"] == "xtts"
    (preset / "manifest.json").write_text(json.dumps(manifest | {"kind": "tacotron"}))
    with pytest.raises(CheckpointError, match="is a preset of kind 'tacotron', not 'xtts'"):
        XTTS.from_preset(preset)


def test_any_model_can_have_a_preset(tmp_path):
    made, read = (keras.layers.Dense(2, name="net") for _ in range(2))
    made.build((None, 3))
    read.build((None, 3))
    writers = {"words.txt": lambda path: path.write_text("hello")}
    record = Record("toy", licence="CC0-1.0", trained_steps={"only": 3})
    config = {"shape": "square", "frequency": 2.0}
    save(tmp_path / "toy", record, config, {"toy.safetensors": named_parts({"net": made})}, writers)
    assert read_config(tmp_path / "toy", "toy", ToyConfig) == ToyConfig("square", 2.0)
    again = load(tmp_path / "toy", "toy", {"toy.safetensors": named_parts({"net": read})})
    assert again == record
    assert set(again.sha256) == {"toy.safetensors"}
    np.testing.assert_array_equal(read(np.eye(3)), made(np.eye(3)))
    assert (tmp_path / "toy" / "words.txt").read_text() == "hello"


def test_a_newer_record_may_say_more(preset):
    manifest = json.loads((preset / "manifest.json").read_text())
    (preset / "manifest.json").write_text(json.dumps(manifest | {"colour": "blue"}))
    XTTS.from_preset(preset)


def test_a_model_without_a_tokenizer_is_not_saved(micro_config, tmp_path):
    with pytest.raises(CheckpointError, match="tokenizer"):
        XTTS(micro_config).save_to_preset(tmp_path / "p")
    assert list(tmp_path.iterdir()) == []
