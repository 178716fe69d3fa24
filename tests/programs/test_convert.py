"""``myxtts convert`` as a user meets it."""

import json

import pytest

from myxtts.flags import run
from myxtts.programs import convert as tool


def call(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["convert_xtts.py", *map(str, words)])
    return run(tool.main, tool.parser())


def test_a_folder_without_a_checkpoint_is_one_sentence(monkeypatch, capsys, tmp_path):
    assert call(monkeypatch, "--source", tmp_path, "--output", tmp_path / "preset") == 1
    assert "hf download coqui/XTTS-v2" in capsys.readouterr().err
    assert not (tmp_path / "preset").exists()


def test_a_checkpoint_becomes_a_preset_under_its_licence(monkeypatch, capsys, tmp_path):
    pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
    from benchmarks.upstream.coqui import write_checkpoint

    write_checkpoint(tmp_path / "XTTS-v2")
    words = ("--source", tmp_path / "XTTS-v2", "--output", tmp_path / "preset", "--half", "--json")
    assert call(monkeypatch, *words) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out.splitlines()[-1])
    assert "non-commercial" in result["licence"]
    assert "non-commercial" in printed.err
    assert (tmp_path / "preset" / "manifest.json").is_file()
    card = (tmp_path / "preset" / "README.md").read_text()
    assert result["licence"] in card
    assert "model.pth" in card
