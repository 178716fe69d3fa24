"""From folders of speakers to a preset, its figure and its SavedModel, as a user does it."""

import json

import pytest
import yaml

from myxtts.flags import run
from myxtts.programs import export, verify
from tests.training.stages.test_speaker import SMALL, write_speakers
from tools.speaker_encoder import train_encoder


def call(monkeypatch, tool, *words) -> int:
    monkeypatch.setattr("sys.argv", [tool.__name__, *map(str, words)])
    try:
        return run(tool.main, tool.parser())
    except SystemExit as stop:
        return stop.code


def test_trained_measured_and_exported(tmp_path, monkeypatch, capsys):
    write_speakers(tmp_path / "data", (90, 130, 180, 240, 300), clips=2)
    values = SMALL | {"data": SMALL["data"] | {"train_data": str(tmp_path / "data")}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    folder = tmp_path / "run"
    words = ("--config", tmp_path / "c.yaml", "--output-dir", folder, "--speaker-steps", 2)
    assert call(monkeypatch, train_encoder, *words, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == {"speaker": 2} and 0 <= result["best"]["speaker"] <= 100

    trials = ("--trials", folder / "trials.txt", "--output", tmp_path / "scores")
    words = ("--encoder", folder, *trials, "--save-threshold", "--json")
    assert call(monkeypatch, verify, *words) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["trials"] == 2 + 4  # two speakers of two clips were held out
    assert (folder / "preset" / "verification.json").is_file()

    words = ("--preset", folder, "--output", tmp_path / "serving" / "mine" / "1", "--no-warmup")
    assert call(monkeypatch, export, *words, "--half") == 2
    assert "--half is for a preset, not for a speaker encoder" in capsys.readouterr().err
    assert call(monkeypatch, export, *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["signatures"] == ["speaker_embedding"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no training corpus"),
        (("--train-data", "missing"), "the folder of speakers missing does not exist"),
        (("--speaker-batch-size", "17"), "must be a multiple of"),
    ],
)
def test_mistakes_are_one_sentence(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, train_encoder, *words) in (1, 2)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in said and "Traceback" not in said
