"""A fine-tune with its ``speakers_xtts.pth``, from the command that converts it to speech."""

import json

import numpy as np
import pytest
import soundfile

from myxtts.flags import run
from myxtts.inference import command as speak
from myxtts.models.xtts import XTTS
from myxtts.programs import convert
from tests.field.coqui_folders import Source

torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")

SHORT = ("--seconds-per-character", "0.001", "--retries", "0", "--temperature", "0")


def call(module, monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["program", *map(str, words)])
    return run(module.main, module.parser())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint with two speakers, and its preset."""
    folder = tmp_path_factory.mktemp("fine-tune")
    Source().write(folder)
    rng = np.random.default_rng(0)
    speakers = {
        name: {
            "gpt_cond_latent": torch.from_numpy(rng.normal(size=(1, 32, 64)).astype("float32")),
            "speaker_embedding": torch.from_numpy(rng.normal(size=(1, 512, 1)).astype("float32")),
        }
        for name in ("Anna A", "Ben")
    }
    torch.save(speakers, folder / "speakers_xtts.pth")
    with pytest.MonkeyPatch.context() as patch:
        words = ("--source", folder, "--output", folder / "preset")
        assert call(convert, patch, *words) == 0
    return folder


def test_speakers_speak_by_name(folder, monkeypatch, tmp_path, capsys):
    """From the file, and as the preset's own voices: the same speech."""
    speech = {}
    calls = {
        "file": ("--voice", folder / "speakers_xtts.pth", "--speaker", "Ben"),
        "own": ("--voice", "Ben"),
    }
    for name, words in calls.items():
        output = tmp_path / f"{name}.wav"
        text = ("--preset", folder / "preset", "--text", "Hello.", "--output", output)
        assert call(speak, monkeypatch, *text, *words, *SHORT) == 0
        speech[name] = soundfile.read(output)[0]
    np.testing.assert_array_equal(speech["file"], speech["own"])
    assert call(speak, monkeypatch, "--preset", folder / "preset", "--list-voices") == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[-2:]] == [
        "Anna A",
        "Ben",
    ]
    listing = ("--list-voices", "--voice", folder / "speakers_xtts.pth", "--json")
    assert call(speak, monkeypatch, "--preset", folder / "preset", *listing) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["Anna A", "Ben"]


def test_a_wrong_call_is_known_before_the_model_is_read(folder, monkeypatch, tmp_path, capsys):
    def read(*args):
        raise AssertionError("the model was read")

    monkeypatch.setattr(XTTS, "from_preset", read)
    speakers = ("--voice", folder / "speakers_xtts.pth")
    torch.save(
        {"gpt_cond_latent": torch.ones(1, 32, 60), "speaker_embedding": torch.ones(1, 512, 1)},
        tmp_path / "other.pth",
    )
    (tmp_path / "file").touch()
    wrong = {
        (*speakers,): "holds 2 voices; name one, --speaker: Anna A, Ben",
        (*speakers, "--speaker", "Carl"): "has no speaker 'Carl'; it has Anna A, Ben",
        ("--voice", tmp_path / "other.pth"): r"latents of shape (1, 32, 60); this model wants",
        ("--speaker", "Ben"): "--speaker is for files of several voices",
        ("--voice", "Carl"): "there is no voice Carl",
        ("--language", "xx"): "unknown language 'xx'",
        ("--text", "..."): "nothing that can be spoken",
        ("--output", "out.opus"): ".opus is no audio format",
        ("--output", "out"): "no suffix is no audio format",
        ("--output", tmp_path / "file" / "out.wav"): "cannot write",
        ("--output", "/proc/none/out.wav"): "cannot write /proc/none/out.wav",
        ("--save-voice", tmp_path): "it is a folder",
        ("--vocoder", "istft"): "the decoder of this checkpoint is hifi",
        ("--reference-audio", tmp_path / "absent.wav"): "no audio file",
    }
    monkeypatch.chdir(tmp_path)
    for words, message in wrong.items():
        text = () if "--text" in words else ("--text", "Hello.")
        status = call(speak, monkeypatch, "--preset", folder / "preset", *text, *words)
        error = capsys.readouterr().err
        assert status in (1, 2), words
        assert message in error, words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other.pth"]


def test_a_preset_that_cannot_be_written_is_known_first(folder, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("myxtts.weights.coqui_xtts.convert_checkpoint", None)
    (tmp_path / "file").touch()
    words = ("--source", folder, "--output", tmp_path / "file" / "preset")
    assert call(convert, monkeypatch, *words) == 1
    assert "cannot write" in capsys.readouterr().err
