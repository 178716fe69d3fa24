"""``myxtts quantize`` as a user meets it."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from myxtts.errors import CheckpointError
from myxtts.flags import run
from myxtts.inference.checks import read_kept_voice
from myxtts.inference.voice import Voice
from myxtts.models.xtts import XTTS
from myxtts.presets.voices import PresetVoice, file_of, write_list
from myxtts.programs import quantize as tool
from myxtts.text.tokenizer import train_tokenizer
from myxtts.training import command as training


def call(module, monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["prog", *map(str, words)])
    return run(module.main, module.parser())


@pytest.fixture(scope="module")
def source(micro_config, tmp_path_factory):
    """A preset in float16 with a voice and a model card."""
    folder = tmp_path_factory.mktemp("source") / "preset"
    model = XTTS(micro_config, train_tokenizer([("some words to learn from", "en")] * 4, 300))
    model.save_to_preset(folder, half=True)
    (folder / "README.md").write_text("Licence of the weights: none of yours.")
    voice = Voice(np.ones((1, 4, 32), "float32"), np.ones((1, 16), "float32"), model.fingerprint)
    voice.save(file_of(folder, "anna"))
    write_list(folder, [PresetVoice("anna", "calm")])
    return folder


@pytest.fixture(scope="module")
def output(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "preset"
    tool.quantise_preset(source, folder)
    return folder


def test_it_says_how_much_smaller_the_preset_is(source, monkeypatch, tmp_path, capsys):
    words = ("--preset", source, "--output", tmp_path / "q", "--json")
    assert call(tool, monkeypatch, *words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["output"] == str(tmp_path / "q")
    assert result["megabytes"] < result["before"]


def test_all_else_is_stored_as_it_was(source, output):
    for name in ("xtts.safetensors", "dvae.safetensors"):
        before, after = load_file(source / name), load_file(output / name)
        for key, array in before.items():
            if after[key].dtype != "int8":
                assert after[key].dtype == array.dtype
                np.testing.assert_array_equal(after[key], array)
    assert (output / "README.md").read_bytes() == (source / "README.md").read_bytes()


def test_its_voices_are_its_own(source, output):
    model = XTTS.from_preset(output)
    own = Voice.load(file_of(output, "anna"), model)
    before = Voice.load(file_of(source, "anna"), XTTS.from_preset(source))
    assert own.model == model.fingerprint != before.model
    np.testing.assert_array_equal(own.latents, before.latents)
    assert dataclasses.replace(own, model=before.model).references == before.references


def test_it_takes_voices_of_the_preset_it_was_made_of(source, output, micro_config, tmp_path):
    """Its audio encoder is the same; a voice of any other model is refused."""
    model, path = XTTS.from_preset(output), file_of(source, "anna")
    assert Voice.load(path, model).model == model.quantised_from
    assert read_kept_voice(path, None, output, micro_config).model == model.quantised_from
    # Not the other way round, and not what somebody else's model made.
    with pytest.raises(CheckpointError, match="was made with another model"):
        Voice.load(file_of(output, "anna"), XTTS.from_preset(source))
    dataclasses.replace(Voice.load(path, model), model="0" * 64).save(tmp_path / "other")
    with pytest.raises(CheckpointError, match="was made with another model"):
        Voice.load(tmp_path / "other", model)
    # Saved once more it still knows.
    model.save_to_preset(tmp_path / "again")
    assert XTTS.from_preset(tmp_path / "again").quantised_from == model.quantised_from


def test_training_from_it_is_one_sentence(output, monkeypatch, tmp_path, capsys):
    words = ("--init-from", output, "--train-data", tmp_path, "--output-dir", tmp_path / "run")
    assert call(training, monkeypatch, *words) == 1
    assert "int8 weights, which are for speaking only" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_quantised_is_one_sentence(source, output, monkeypatch, tmp_path, capsys):
    assert call(tool, monkeypatch, "--preset", output, "--output", tmp_path / "q") == 1
    assert "is quantised already" in capsys.readouterr().err
    assert call(tool, monkeypatch, "--preset", source, "--output", source) == 2
    assert "is the preset itself" in capsys.readouterr().err
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    assert call(tool, monkeypatch, "--preset", source, "--output", tmp_path / "folder") == 1
    assert "holds thesis.txt and no preset" in capsys.readouterr().err
