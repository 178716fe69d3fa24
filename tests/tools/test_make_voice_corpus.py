"""The command line of the corpus program: what it refuses, its dry run, a small corpus."""

import json

import pytest
import soundfile

from myxtts.data.formats import find_utterances
from tools import make_voice_corpus as tool
from tools.voice_corpus import checks
from tools.voice_corpus.kokoro_speech import KokoroSpeaker

SMALL = ("--no-austen", "--grammar-sentences", "200")


def command(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["make_voice_corpus.py", *map(str, words)])
    return tool.run(tool.main, tool.parser())


def test_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
    output = tmp_path / "corpus"
    assert command(monkeypatch, "--output", output, "--dry-run", *SMALL, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["hours"] == 25.0
    assert told["train"] + told["val"] == told["texts"]["grammar"]
    assert not output.exists()


def test_dry_run_shows_a_person_settings_and_examples(tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "--output", tmp_path, "--dry-run", *SMALL) == 0
    told = capsys.readouterr().out
    assert "grammar_sentences  200" in told and "for instance" in told


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--hours", "0"), "nothing to make"),
        (("--hours", "-1"), "hours must be"),
        (("--workers", "0"), "--workers must be at least 1"),
        (("--val-share", "0.9"), "val_share must be"),
        (("--grammar-sentences", "3"), "grammar_sentences must be"),
    ],
)
def test_wrong_usage_is_one_sentence(flags, sentence, tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "--output", tmp_path, *SMALL, *flags) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", [("--hours", "many"), ("--audio-format", "mp3"), ("--houres", 1)])
def test_flags_that_are_none_end_with_usage(flags, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, "--output", tmp_path, *flags)
    assert stopped.value.code == 2
    assert flags[0] in capsys.readouterr().err


def test_an_output_is_wanted(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, "--dry-run")
    assert "--output" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags", [("--held-out", "none.txt"), ("--austen", "--austen-package", "none.deb")]
)
def test_files_that_are_missing_are_named(flags, tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "--output", tmp_path, *SMALL, *flags) != 0
    assert flags[-1] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_hears_is_asked_for_before_the_first_clip(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "HibariSpeech", lambda: None)
    monkeypatch.setattr(checks, "_PACKAGES", ("package_that_is_not_there",))
    assert command(monkeypatch, "--output", tmp_path, *SMALL) != 0
    assert "package_that_is_not_there; run: pip install -r" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_hours_of_kokoro_bring_its_speakers(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "HibariSpeech", lambda: None)
    monkeypatch.setattr(tool, "KokoroSpeech", lambda voices: None)
    monkeypatch.setattr(tool, "find_voices", lambda voices: voices)
    names = dict.fromkeys(("af_a", "af_b", "bm_c", "af_kore"))
    monkeypatch.setattr(tool, "load_voices", lambda place: names)
    made = []
    monkeypatch.setattr(tool, "make", lambda plan, *_: made.append(plan) or {})
    monkeypatch.setattr(tool, "report", lambda *_: "")
    flags = ("--kokoro-hours", "1", "--kokoro-mixtures", "2", "--check-every", "0")
    assert command(monkeypatch, "--output", tmp_path, "--voices", tmp_path, *SMALL, *flags) == 0
    (plan,) = made
    assert plan.voices == tmp_path
    assert [speaker.name for speaker in plan.speakers["kokoro"]] == [
        "k_af_a", "k_af_b", "k_bm_c", "k0000", "k0001"
    ]  # fmt: skip
    assert plan.speakers["kokoro"][0] == KokoroSpeaker("k_af_a", ("af_a",))


def test_a_small_corpus_is_made_by_processes(tmp_path, monkeypatch, capsys):
    for name in ("hibari", "onnx", "onnxruntime"):
        pytest.importorskip(name, reason="speaking needs requirements-voice.txt")
    flags = ["--hours", "0.003", "--shard-clips", "3", "--check-every", "0", "--workers", "1"]
    assert command(monkeypatch, "--output", tmp_path, *SMALL, *flags, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["hours"]["train"] >= 0.00294
    for item in find_utterances(tmp_path / "train"):
        seconds = soundfile.info(str(item.path)).duration
        assert sum(item.durations) == pytest.approx(seconds, abs=5e-3)
