"""``myxtts COMMAND``: stdin, stdout, what is missing."""

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from myxtts.programs import entry, info, speak

ROOT = Path(__file__).resolve().parents[2]


def call(*words: str, given: bytes = b"", **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "myxtts.programs.entry", *words]
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return subprocess.run(command, cwd=ROOT, input=given, capture_output=True, env=variables)


def in_process(monkeypatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["myxtts", *words])
    return entry.main()


def test_help_names_every_command(monkeypatch, capsys):
    assert in_process(monkeypatch, "--help") == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in [*entry.COMMANDS, *entry.TOOLS])
    assert in_process(monkeypatch) == 2
    assert in_process(monkeypatch, "bogus") == 2


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_every_command_has_help(monkeypatch, capsys, name):
    with pytest.raises(SystemExit) as end:
        in_process(monkeypatch, name, "--help")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: myxtts {name}")


@pytest.mark.parametrize("name", entry.TOOLS)
def test_programs_of_the_source_tree_are_found(name):
    assert (ROOT / "tools" / entry.TOOLS[name][0]).is_file()


def test_a_wheel_says_that_it_has_no_tools(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(entry, "_TOOLS", tmp_path)
    assert in_process(monkeypatch, "export") == 1
    assert "source tree" in capsys.readouterr().err


def test_info_is_one_line_of_json(monkeypatch, capsys):
    assert in_process(monkeypatch, "info", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["numpy"] and {"presets", "missing", "cache"} <= set(found)
    assert in_process(monkeypatch, "info") == 0
    assert "tensorflow" in capsys.readouterr().out


def test_infos_extras_are_those_of_setup():
    tree = ast.parse((ROOT / "setup.py").read_text())
    keyword = next(
        node for node in ast.walk(tree) if getattr(node, "arg", None) == "extras_require"
    )
    extras = ast.literal_eval(keyword.value)
    for extra, names in info.EXTRAS.items():
        assert tuple(line.split(">=")[0] for line in extras[extra]) == names


def test_speak_hands_the_file_on(monkeypatch, capsysbinary):
    def main(args):
        print(args.output)
        Path(args.output).write_bytes(args.text.encode())

    monkeypatch.setattr(speak.command, "main", main)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Grüße".encode())))
    assert in_process(monkeypatch, "speak", "-") == 0
    assert capsysbinary.readouterr().out == "Grüße".encode()


@pytest.mark.slow
def test_speak_writes_to_stdout_what_stdin_says(trained, corpus):
    flags = ["--preset", str(trained.preset), "--reference-audio", str(corpus / "clip_0.wav")]
    done = call("speak", "-", *flags, given=b"Hello there.")
    assert done.returncode == 0, done.stderr
    assert soundfile.info(io.BytesIO(done.stdout)).samplerate == 24_000


@pytest.mark.parametrize("words", [("Hi", "--json"), ("Hi", "--stream"), ("Hi", "--text", "Hi")])
def test_speak_refuses_what_stdout_cannot_take(monkeypatch, capsys, words):
    assert in_process(monkeypatch, "speak", *words) == 2
    assert "myxtts speak: error: " in capsys.readouterr().err
