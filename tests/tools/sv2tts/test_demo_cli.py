"""The demo: its options, one round, the loop, and what is told of mistakes."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from myxtts.errors import AudioError
from myxtts.flags import run
from myxtts.inference import spectrograms, sv2tts
from myxtts.inference.sv2tts import Spoken, hear
from tests.sv2tts_files import SENTENCE, write_models, write_reference
from tools.sv2tts import demo_cli

RATE = 16_000


class FakeCloner:
    """Hears a recording as the real one does, and says every text as a short noise."""

    def __init__(self, flags=()):
        self.flags, self.seeds, self.said = flags, [], []

    def embed(self, reference):
        hear(reference)
        return np.ones(256, "float32")

    def speak(self, text, embedding, seed=0, trim=True):
        if text == "break":
            raise RuntimeError("something\nbroke")
        self.seeds.append(seed)
        self.said.append(text)
        wave = np.random.default_rng(seed).uniform(-0.5, 0.5, 800).astype("float32")
        return Spoken(wave, RATE, np.zeros((80, 5), "float32"), self.flags)


@pytest.fixture
def cloner(monkeypatch, tmp_path):
    """A fake in the place of the models, and a voice in the working folder."""
    monkeypatch.chdir(tmp_path)
    write_reference(tmp_path / "me.wav")
    fake = FakeCloner()
    monkeypatch.setattr(sv2tts.VoiceCloner, "open", lambda *paths, **options: fake)
    return fake


def call(monkeypatch, *arguments: str, typed: str = "") -> int:
    monkeypatch.setattr(sys, "argv", ["demo_cli.py", "--no_sound", *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    return run(demo_cli.main, demo_cli.parser())


def test_options_of_the_original_and_their_defaults():
    args = demo_cli.parser().parse_args([])
    models = (args.enc_model_fpath, args.syn_model_fpath, args.voc_model_fpath)
    names = ("encoder", "synthesizer", "vocoder")
    assert models == tuple(f"saved_models/default/{name}.pt" for name in names)
    assert (args.cpu, args.no_sound, args.seed) == (False, False, None)
    given = ["-e", "a", "-s", "b", "-v", "c", "--cpu", "--no_sound", "--seed", "3"]
    args = demo_cli.parser().parse_args(given)
    assert (args.enc_model_fpath, args.syn_model_fpath, args.voc_model_fpath) == ("a", "b", "c")
    assert (args.cpu, args.no_sound, args.seed) == (True, True, 3)


def test_the_whole_with_small_models(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spectrograms, "LEAST_FRAMES", 30)
    monkeypatch.setattr(spectrograms, "FRAMES_A_CHARACTER", 0)
    folder, voice = write_models(tmp_path / "models"), write_reference(tmp_path / "me.wav")
    models = ["-e", str(folder), "-s", str(folder / "synthesizer.pt"), "-v", "griffin_lim"]
    given = ["--reference-audio", str(voice), "--text", SENTENCE, "--seed", "4", "--json"]
    for name in ("one.wav", "two.wav"):
        assert call(monkeypatch, *models, *given, "--output", name) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["output"], told["seed"], told["sample_rate"]) == (name, 4, RATE)
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()
    wave, rate = soundfile.read("one.wav")
    assert rate == RATE and len(wave) / rate == pytest.approx(told["seconds"], abs=1e-3)
    wrong = [*models[:4], "-v", str(folder / "synthesizer.pt")]
    assert call(monkeypatch, *wrong, *given) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("demo_cli.py: error: ") and "it holds a synth" in said


def test_without_a_text_there_is_a_sample(cloner, monkeypatch, capsys, caplog):
    caplog.set_level("INFO")
    assert call(monkeypatch, "--reference-audio", "me.wav") == 0
    assert cloner.said == ["This is a deep learning sample"]
    assert capsys.readouterr().out.strip() == "demo_output_00.wav"
    assert call(monkeypatch, "--reference-audio", "me.wav", "--text", "Another.") == 0
    assert capsys.readouterr().out.strip() == "demo_output_01.wav"
    # Seeds that nobody chose are told, so that what was good can be had again.
    assert cloner.seeds[0] != cloner.seeds[1]
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"--seed {seed} says it again" for seed in cloner.seeds]


def test_both_are_asked_for_until_a_line_is_empty(cloner, monkeypatch, capsys):
    typed = '"me.wav"\nHello.\nnowhere.wav\nHello?\nme.wav\nbreak\nme.wav\nOnce more.\n\nme.wav\n'
    assert call(monkeypatch, "--seed", "5", typed=typed) == 0
    said = capsys.readouterr()
    assert said.out.split() == ["demo_output_00.wav", "demo_output_01.wav"]
    assert (cloner.said, cloner.seeds) == (["Hello.", "Once more."], [5, 5])
    assert "error: no audio file nowhere.wav." in said.err
    assert "error: unexpected RuntimeError: something broke." in said.err
    assert "Traceback" not in said.err
    first, second = (Path(name).read_bytes() for name in said.out.split())
    assert first == second


@pytest.mark.parametrize("typed", ["", "\n", "me.wav\n", "me.wav\n\n"])
def test_the_end_of_the_input_is_the_end(cloner, monkeypatch, typed):
    assert call(monkeypatch, typed=typed) == 0
    assert cloner.said == []


def test_with_a_text_only_the_voice_is_asked_for(cloner, monkeypatch, capsys):
    assert call(monkeypatch, "--text", "Hello.", "--json", typed="me.wav\nme.wav\n") == 0
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["output"] for line in lines] == ["demo_output_00.wav", "demo_output_01.wav"]
    assert cloner.said == ["Hello.", "Hello."] and "sentence" not in said.err


def test_a_doubtful_attention_is_told(cloner, monkeypatch, caplog):
    cloner.flags = ("skips",)
    with caplog.at_level("WARNING"):
        assert call(monkeypatch, "--reference-audio", "me.wav") == 0
    assert "it may be ill spoken (skips)" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--reference-audio", "nowhere.wav"], 1, "no audio file nowhere.wav"),
        (["--reference-audio", "silent.wav"], 1, "silent.wav is silent"),
        (["--reference-audio", "me.wav", "--output", "x.txt"], 1, "is no audio format"),
        (["--output", "x.wav"], 2, "give --reference-audio with it"),
        (["--text", " "], 2, "--text is empty"),
        (["--seed", "-1"], 2, "--seed must be in"),
    ],
)
def test_mistakes_are_one_sentence(cloner, monkeypatch, capsys, arguments, code, told):
    soundfile.write("silent.wav", np.zeros(RATE), RATE)
    assert call(monkeypatch, *arguments) == code
    error = capsys.readouterr().err.strip()
    assert told in error and len(error.splitlines()) == 1


def test_models_that_are_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_reference(tmp_path / "me.wav")
    assert call(monkeypatch, "--reference-audio", "me.wav") == 1
    error = capsys.readouterr().err
    assert "no speaker encoder saved_models/default/encoder.pt" in error
    assert "huggingface.co/CorentinJ/SV2TTS" in error


def test_sound_that_cannot_be_played_is_told_once(cloner, caplog, monkeypatch):
    args = SimpleNamespace(no_sound=False, seed=1, output=None, json=False)
    demo = demo_cli.Demo(args, cloner)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with caplog.at_level("WARNING"):
        demo.round("me.wav", "One.")
        demo.round("me.wav", "Two.")
    assert caplog.text.count("the sound is not played") == 1
    played = []
    player = SimpleNamespace(
        play=lambda wave, rate: played.append((len(wave), rate)), stop=int, wait=int
    )
    monkeypatch.setitem(sys.modules, "sounddevice", player)
    demo_cli.Demo(args, cloner).round("me.wav", "Three.")
    assert played == [(800, RATE)]
    with pytest.raises(AudioError):
        demo.round("nowhere.wav", "Four.")


def test_bytes_that_are_no_text_cost_their_round_only(cloner, monkeypatch, capfd):
    typed = b"\xe9.wav\nHello.\nme.wav\nCaf\xe9.\n"
    stdin = io.TextIOWrapper(io.BytesIO(typed), "utf-8", "strict")
    monkeypatch.setattr(sys, "argv", ["demo_cli.py", "--no_sound"])
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run(demo_cli.main, demo_cli.parser()) == 0
    assert cloner.said == ["Caf\ufffd."]
    assert "error: no audio file" in capfd.readouterr().err
