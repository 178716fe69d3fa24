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
