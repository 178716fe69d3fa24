"""RTVC gives one name to the runs of all three models; here each has a folder of its own."""

import os
import sys
from importlib import import_module

import pytest

from myxtts.flags import run


@pytest.mark.parametrize("name", ["encoder", "synthesizer", "vocoder"])
@pytest.mark.parametrize("more", [[], ["-f"]])
def test_a_folder_of_another_models_run_is_refused(tmp_path, monkeypatch, capsys, name, more):
    other = "speaker" if name == "vocoder" else "vocoder"
    folder = tmp_path / "models" / "mine"
    (folder / "checkpoints" / other / "step-2").mkdir(parents=True)
    program = import_module(f"tools.sv2tts.{name}_train")
    own = ["mine", str(tmp_path), "-m", str(folder.parent), *more]
    monkeypatch.setattr(sys, "argv", [f"{name}_train.py", *own])
    assert run(program.main, program.parser()) == 2
    assert f"holds the run of another model ({other})" in capsys.readouterr().err
    assert folder.is_dir()


@pytest.mark.parametrize("name", ["encoder", "synthesizer", "vocoder"])
@pytest.mark.parametrize("make", ["folder", "pipe", "dangling link"])
def test_what_is_no_file_in_the_place_of_rtvcs_is_not_passed_over(
    tmp_path, monkeypatch, capsys, name, make
):
    export = tmp_path / "models" / "mine" / f"{name}.pt"
    export.parent.mkdir(parents=True)
    made = {
        "folder": export.mkdir,
        "pipe": lambda: os.mkfifo(export),
        "dangling link": lambda: export.symlink_to(tmp_path / "nothing"),
    }
    made[make]()
    program = import_module(f"tools.sv2tts.{name}_train")
    own = ["mine", str(tmp_path), "-m", str(tmp_path / "models")]
    monkeypatch.setattr(sys, "argv", [f"{name}_train.py", *own])
    assert run(program.main, program.parser()) == 2
    assert f"{export} is no file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["encoder", "synthesizer", "vocoder"])
def test_a_run_comes_back_when_its_successor_is_refused(tmp_path, monkeypatch, caplog, name):
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "kept").write_text("x")
    program = import_module(f"tools.sv2tts.{name}_train")
    own = ["mine", str(tmp_path / "nowhere"), "-m", str(folder.parent), "-f"]
    monkeypatch.setattr(sys, "argv", [f"{name}_train.py", *own])
    assert run(program.main, program.parser()) == 1
    assert "there again" in caplog.text
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    assert (folder / "kept").read_text() == "x"


@pytest.mark.parametrize(
    ("name", "option", "least"),
    [
        ("encoder", ("--save_every", "-1"), 0),
        ("encoder", ("--steps", "0"), 1),
        ("encoder", ("--utterances_per_speaker", "0"), 1),
        ("synthesizer", ("--save_every", "0"), 1),
        ("synthesizer", ("--backup_every", "-3"), 0),
        ("vocoder", ("--save_every", "0"), 1),
        ("hifigan", ("--save_every", "-1"), 1),
    ],
)
def test_numbers_out_of_their_range_are_told_by_their_options(
    tmp_path, monkeypatch, capsys, name, option, least
):
    program = import_module(f"tools.sv2tts.{name}_train")
    own = ["mine", str(tmp_path), "-m", str(tmp_path / "models"), *option]
    monkeypatch.setattr(sys, "argv", [f"{name}_train.py", *own])
    assert run(program.main, program.parser()) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.endswith(f"{option[0]} must be at least {least}, not {option[1]}.")
