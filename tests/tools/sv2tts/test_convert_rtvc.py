"""RTVC's files as presets and back."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from myxtts.flags import run
from myxtts.presets.record import kind_of
from myxtts.weights.torch_file import read_torch_content, write_torch_file
from tests.sv2tts_files import write_models
from tools.sv2tts import convert_rtvc

KINDS = {"encoder": "speaker_encoder", "synthesizer": "synthesizer", "vocoder": "vocoder"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_models(tmp_path_factory.mktemp("models"))


def call(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["convert_rtvc.py", *map(str, arguments)])
    return run(convert_rtvc.main, convert_rtvc.parser())


@pytest.mark.parametrize("name", KINDS)
def test_there_and_back(files, tmp_path, monkeypatch, capsys, name):
    source, preset, back = files / f"{name}.pt", tmp_path / "run" / "preset", tmp_path / "back.pt"
    if name == "encoder":
        content, source = read_torch_content(source), tmp_path / "encoder.pt"
        write_torch_file(source, content | {"step": 43})
    assert call(monkeypatch, source, "--output", preset, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"output": str(preset), "kind": KINDS[name]}
    assert kind_of(preset) == KINDS[name]
    # A run folder is as good as the preset in it.
    assert call(monkeypatch, preset.parent, "--output", back) == 0
    assert capsys.readouterr().out.strip() == str(back)
    contents = [read_torch_content(path) for path in (source, back)]
    first, second = (content["model_state"] for content in contents)
    assert list(first) == list(second)
    for key, array in first.items():
        np.testing.assert_array_equal(array, second[key], err_msg=key)
    if name == "encoder":
        assert contents[0]["step"] == contents[1]["step"] == 43


def test_an_encoder_of_other_weights_has_halves_of_its_biases(files, tmp_path, monkeypatch):
    preset, back = tmp_path / "preset", tmp_path / "back.pt"
    assert call(monkeypatch, files / "encoder.pt", "--output", preset) == 0
    kept = load_file(preset / "rtvc_encoder.safetensors")
    save_file(kept | {"lstm.bias_ih_l0": kept["lstm.bias_ih_l0"] + 1},
              preset / "rtvc_encoder.safetensors")  # fmt: skip
    assert call(monkeypatch, preset, "--output", back) == 0
    content = read_torch_content(back)
    first, second = (content["model_state"][f"lstm.bias_{part}_l0"] for part in ("ih", "hh"))
    np.testing.assert_array_equal(first, second)
    wanted = kept["lstm.bias_ih_l0"] + kept["lstm.bias_hh_l0"]
    np.testing.assert_allclose(first + second, wanted, atol=1e-7)
    assert content["step"] == 1


def test_torch_itself_reads_what_is_written(files, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    assert call(monkeypatch, files / "vocoder.pt", "--output", tmp_path / "preset") == 0
    assert call(monkeypatch, tmp_path / "preset", "--output", tmp_path / "vocoder.pt") == 0
    content = torch.load(tmp_path / "vocoder.pt", weights_only=True)
    assert int(content["model_state"]["step"][0]) == 7
    assert content["optimizer_state"]["param_groups"][0]["params"]


def test_symbols_of_a_fork(files, tmp_path, monkeypatch, capsys):
    content = read_torch_content(files / "synthesizer.pt")
    key = "encoder.embedding.weight"
    content["model_state"][key] = content["model_state"][key][:5]
    write_torch_file(tmp_path / "fork.pt", content)
    assert call(monkeypatch, tmp_path / "fork.pt", "--output", tmp_path / "preset") == 1
    assert "5 symbols, 66 are given" in capsys.readouterr().err
    given = ("--output", tmp_path / "preset", "--symbols", "_~abc")
    assert call(monkeypatch, tmp_path / "fork.pt", *given) == 0
    assert call(monkeypatch, files / "vocoder.pt", *given) == 2


def test_mistakes_are_one_sentence(files, tmp_path, monkeypatch, capsys):
    write_torch_file(tmp_path / "other.pt", {"model_state": {"weight": np.ones(3, "float32")}})
    (tmp_path / "bad.pt").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    cases = (
        (("nowhere.pt", "--output", "preset"), 2, "there is no nowhere.pt"),
        ((files / "vocoder.pt", "--output", tmp_path / "x.pt"), 2, "a folder, not a *.pt"),
        ((tmp_path / "empty", "--output", tmp_path / "x"), 2, "a file *.pt"),
        ((tmp_path / "empty", "--output", tmp_path / "x.pt"), 1, "no preset and no run"),
        ((tmp_path / "other.pt", "--output", tmp_path / "x"), 1, "is no speaker encoder, synth"),
        ((tmp_path / "bad.pt", "--output", tmp_path / "x"), 1, "bad.pt"),
        ((files / "vocoder.pt", "--output", files), 1, "holds encoder.pt and no preset"),
        ((files, "--output", tmp_path / "x.pt"), 1, "encoder.pt is RTVC's file already"),
    )
    for arguments, code, told in cases:
        assert call(monkeypatch, *arguments) == code
        error = capsys.readouterr().err.strip()
        assert told in error and len(error.splitlines()) == 1
