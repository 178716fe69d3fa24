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

from myxtts.programs import entry, info, playing, speak

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
    assert all(f"  {name} " in told for name in entry.COMMANDS)
    assert in_process(monkeypatch) == 2
    assert in_process(monkeypatch, "bogus") == 2


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_every_command_has_help(monkeypatch, capsys, name):
    with pytest.raises(SystemExit) as end:
        in_process(monkeypatch, name, "--help")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: myxtts {name}")


def test_info_is_one_line_of_json(monkeypatch, capsys):
    assert in_process(monkeypatch, "info", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["numpy"] and {"presets", "missing", "cache"} <= set(found)
    assert in_process(monkeypatch, "info") == 0
    assert "tensorflow" in capsys.readouterr().out


def test_infos_extras_are_those_of_setup():
    extras = extras_of_setup()
    for extra, names in info.EXTRAS.items():
        assert tuple(line.split(">=")[0] for line in extras[extra]) == names
    assert {"server", "torch", "languages", "ray", "serving", "dev", "docs"} <= extras.keys()


def extras_of_setup() -> dict:
    """The table as it is written."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXTRAS":
            return ast.literal_eval(node.value)
    raise AssertionError("setup.py has no table of extras")


def test_info_says_what_is_missing_and_how_to_get_it(monkeypatch):
    monkeypatch.setattr(info, "version", lambda name: None if name == "av" else "1")
    monkeypatch.setattr(info, "find_player", lambda: None)
    told = info.report(info.facts())
    assert "extra        av: av missing: pip install 'myxtts[av]'" in told
    assert "engine       int8: 1" in told
    assert "--play wants one" in told


def test_the_hubs_presets_are_named_as_preset_takes_them(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--me--my--voice" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    assert info.hub_presets() == []
    (folder / "manifest.json").write_text("{}")
    assert info.hub_presets() == ["hf://me/my--voice"]


@pytest.mark.parametrize(
    ("line", "found"),
    [("myxtts ex", ["export"]), ("myxtts voices --pre", ["--preset"]), ("myxtts voices --zz", [])],
)
def test_the_shell_completes_commands_and_flags(line, found):
    completers = pytest.importorskip("argcomplete.finders")
    words = line.split()
    finder = completers.CompletionFinder(entry.completed(line))
    told = finder._get_completions(words[:-1], words[-1], "", None)
    assert [word.strip() for word in told] == found


def test_without_argcomplete_nothing_is_completed(monkeypatch):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert entry.complete() is None


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


@pytest.fixture
def player(monkeypatch, tmp_path):
    """A program that notes what it plays, and a model that says its text."""
    heard = tmp_path / "heard"
    program = tmp_path / "bin" / "aplay"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncat "$2" > {heard}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(playing, "PLAYERS", {"aplay": ("-q",)})
    write = lambda args: Path(args.output).write_bytes(args.text.encode())  # noqa: E731
    monkeypatch.setattr(speak.command, "main", write)
    return heard


def test_speech_is_played(monkeypatch, player, tmp_path):
    assert in_process(monkeypatch, "speak", "Hi", "--play") == 0
    assert player.read_text() == "Hi"
    kept = tmp_path / "kept.wav"
    assert in_process(monkeypatch, "speak", "Ho", "--play", "--output", str(kept)) == 0
    assert player.read_text() == kept.read_text() == "Ho"


def test_a_player_that_fails_is_one_sentence(monkeypatch, capsys, player, tmp_path):
    (tmp_path / "bin" / "aplay").write_text("#!/bin/sh\necho no sound card >&2\nexit 1\n")
    assert in_process(monkeypatch, "speak", "Hi", "--play") == 1
    assert "aplay could not play" in (told := capsys.readouterr().err)
    assert "no sound card" in told


def test_without_a_player_a_sentence_names_some(monkeypatch, capsys):
    monkeypatch.setattr(playing, "PLAYERS", {})
    assert in_process(monkeypatch, "speak", "Hi", "--play") == 2
    assert "--play wants a player" in capsys.readouterr().err
