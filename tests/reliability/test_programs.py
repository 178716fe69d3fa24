"""Programs under wrong configurations, a full disk and faults: a code and one sentence."""

import errno
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from myxtts.audio import io
from myxtts.audio.io import write_audio
from myxtts.config import XTTSConfig
from myxtts.errors import AudioError, CheckpointError, ConfigError, DataError, TextError
from myxtts.files import replacing, write_whole
from myxtts.flags import TRACEBACK, make_parser, run
from myxtts.text.tokenizer import VoiceBpeTokenizer, train_tokenizer

WRONG = {
    "layers": ("model: {gpt: {layers: -3}}", "layers must be from 1 to"),
    "no width": ("model: {gpt: {model_dim: 0}}", "model_dim must be from 1 to"),
    "heads": ("model: {gpt: {heads: 0}}", "heads must be"),
    "dropout": ("model: {gpt: {dropout: 2}}", "dropout must be"),
    "clip": ("training: {gradient_clip: -1}", "gradient_clip must be above 0"),
    "rate": ("training: {gpt: {learning_rate: .inf}}", "learning_rate must be"),
    "NaN": ("training: {mel_loss_weight: .nan}", "mel_loss_weight must be at least 0"),
    "digits": (f"training: {{weight_decay: {'9' * 400}}}", "weight_decay must be"),
    "many digits": (f"training: {{seed: {'9' * 5000}}}", "not valid YAML"),
    "seed": (f"training: {{seed: {2**70}}}", "seed is too large"),
    "huge": ("model: {gpt: {layers: 1000000000}}", "layers must be from 1 to"),
    "deep": ("[" * 100_000, "not valid YAML"),
    "date": ("data: {language: 2026-13-45}", "not valid YAML"),
    "large": ("# " + "x" * 2**20, "more than a megabyte"),
    "zero": ('data: {language: "a\\0b"}', "without a zero byte"),
    "key": ("? [1, 2]\n: 3", "not valid YAML"),
    "twice": ("training: {seed: 1}\n\ntraining: {seed: 2}", "line 3: 'training' stands .*line 1"),
    "inner": ("training:\n  seed: 1\n  seed: 1", "line 3: 'seed' stands there and on line 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration_is_a_short_sentence(tmp_path, name):
    text, told = WRONG[name]
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=told) as caught:
        XTTSConfig.from_yaml(path)
    assert "config.yaml" in str(caught.value)
    assert len(str(caught.value)) < 600


FAULTS = [
    (OSError(errno.ENOSPC, "No space left", "/x/a"), "no space on the disk of /x/a."),
    (MemoryError(), "too little memory (MemoryError)."),
    (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied."),
    (RuntimeError("a\nb"), f"unexpected RuntimeError: a b. {TRACEBACK}=1 shows where."),
    (CheckpointError("no preset."), "no preset."),
]


@pytest.mark.parametrize(("error", "told"), FAULTS)
def test_whatever_fails_is_one_sentence(monkeypatch, capsys, error, told):
    def main(args):
        raise error

    monkeypatch.setattr("sys.argv", ["p"])
    monkeypatch.delenv(TRACEBACK, raising=False)
    assert run(main, make_parser("p", "P.")) == 1
    assert capsys.readouterr().err == f"p: error: {told}\n"


def test_the_traceback_is_had_when_asked_for(monkeypatch):
    def main(args):
        raise RuntimeError("a")

    monkeypatch.setattr("sys.argv", ["p"])
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(RuntimeError):
        run(main, make_parser("p", "P."))


class Panic(BaseException):
    """As those of libraries in Rust, which are no Exception."""


def test_a_panic_is_one_sentence(monkeypatch, capsys):
    def main(args):
        raise Panic("retry-limit-in-match over")

    monkeypatch.setattr("sys.argv", ["p"])
    monkeypatch.delenv(TRACEBACK, raising=False)
    assert run(main, make_parser("p", "P.")) == 1
    assert "error: unexpected Panic: retry-limit-in-match over." in capsys.readouterr().err


def test_a_tokenizer_whose_rules_do_not_end_is_refused(tmp_path):
    state = json.loads(train_tokenizer([("hello there", "en")], 290).to_json())
    slow = {"type": "Split", "pattern": {"Regex": "(a+)+$"}}
    state["pre_tokenizer"] = {**slow, "behavior": "Isolated", "invert": False}
    (tmp_path / "t.json").write_text(json.dumps(state), encoding="utf-8")
    tokenizer = VoiceBpeTokenizer(tmp_path / "t.json")
    with pytest.raises(TextError, match=r"cannot take '\[en\]aaa.*' apart: .*retry-limit"):
        tokenizer.encode("a" * 26 + "!", "en")


def test_keys_that_are_merged_in_may_be_replaced(tmp_path):
    text = "training:\n  dvae: &usual {steps: 5, batch_size: 3}\n  gpt:\n    <<: *usual\n"
    (tmp_path / "c.yaml").write_text(f"{text}    steps: 7\n", encoding="utf-8")
    gpt = XTTSConfig.from_yaml(tmp_path / "c.yaml").training.gpt
    assert (gpt.steps, gpt.batch_size) == (7, 3)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_full_disk_says_no_space_and_leaves_nothing(tmp_path, monkeypatch, suffix):
    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    for write, error in (
        (lambda: write_audio(tmp_path / f"a.{suffix}", np.zeros(999), 24_000), AudioError),
        (lambda: write_whole(tmp_path / "a.json", "text"), CheckpointError),
    ):
        with pytest.raises(error, match=r"cannot write .*no space on its disk"):
            write()
    assert not list(tmp_path.iterdir())


WRITERS = {
    "numpy": lambda path: np.ones(90_000).tofile(path),
    "zip": lambda path: np.savez(path.open("wb"), np.ones(90_000)),
    "torch": lambda path: torch_save(path, 90_000),
    "torch, many": lambda path: torch_save(path, *[900] * 100),
    "safetensors": lambda path: save_file({"a": np.ones(90_000)}, path),
}


def torch_save(path, *sizes):
    torch = pytest.importorskip("torch")
    with path.open("wb") as file:
        torch.save([torch.ones(size) for size in sizes], file)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_fills_is_told_whoever_writes(tmp_path, writer):
    """With a real limit: libraries hide the system's error, or raise others while it is raised."""
    resource = pytest.importorskip("resource", reason="this system has no limits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        with (
            pytest.raises(DataError, match=r"cannot write .*a\.bin: .*(no space|too large)"),
            replacing(tmp_path / "a.bin", DataError) as fresh,
        ):
            WRITERS[writer](fresh)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_what_has_nothing_to_do_with_the_disk_stays_what_it_is(tmp_path):
    with pytest.raises(KeyError, match="a"), replacing(tmp_path / "a.bin"):
        raise KeyError("a")


def test_what_libsndfile_keeps_to_itself_is_told(tmp_path, monkeypatch):
    class Full:
        def __init__(self, **named):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    error = io.soundfile.LibsndfileError(2)
    assert io._why(tmp_path / "a.wav", error) == "no space on its disk"


@pytest.mark.parametrize("told", ["a\nb", "a\r\nb", "a\x0cb", "a\u2028b"])
def test_a_sentence_is_one_line_whatever_it_quotes(told):
    assert str(DataError(told)) == "a b"
