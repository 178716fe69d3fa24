"""Cheap checks come before dear work, and a served model speaks with its own settings."""

import json
import logging

import pytest

from myxtts.errors import ConfigError
from myxtts.flags import run
from myxtts.serving.client import SpeechClient, speech_client
from myxtts.serving.client import command as client

OWN = {"temperature": 0.6, "top_k": 40, "top_p": 0.8, "repetition_penalty": 5.0, "seed": 3}


@pytest.fixture
def export(tmp_path):
    """A model's folder of two versions; the newer one's record says how it speaks."""
    for version, defaults in ((9, {"repetition_penalty": 2.0}), (10, OWN)):
        folder = tmp_path / "served" / str(version) / "assets.extra"
        folder.mkdir(parents=True)
        (folder / "serving.json").write_text(json.dumps({"defaults": defaults}))
    return tmp_path / "served"


@pytest.fixture
def requests(monkeypatch):
    """What is sent to the server, which answers nothing."""
    sent = []

    class Transport:
        def predict(self, signature, inputs):
            sent.append((signature, dict(inputs)))
            raise ConfigError("enough.")

    monkeypatch.setattr(speech_client, "connect", lambda *given: Transport())
    monkeypatch.setattr(SpeechClient, "_recording", lambda self, path: {"wav_bytes": [path]})
    return sent


def call(monkeypatch, *words) -> int:
    words = ("--model", "m", "--reference-audio", "a.wav", *words)
    monkeypatch.setattr("sys.argv", ["client", *map(str, words)])
    return run(client.main, client.parser())


@pytest.mark.parametrize("place", ["", "10", "10/assets.extra/serving.json"])
def test_the_client_speaks_as_the_record_says(monkeypatch, export, requests, place):
    assert call(monkeypatch, "--text", "Hello.", "--export", export / place) == 2
    ((signature, inputs),) = requests
    assert signature == "clone_wav"
    told = {name: round(float(inputs[name][0]), 6) for name in OWN}
    assert told == OWN
    call(monkeypatch, "--text", "Hello.", "--export", export, "--top-k", 7)
    assert requests[1][1]["top_k"][0] == 7
    assert requests[1][1]["repetition_penalty"][0] == 5
    assert SpeechClient("http://x", "m", export=export).settings.repetition_penalty == 5


def test_without_a_record_it_is_said(monkeypatch, requests, caplog):
    caplog.set_level(logging.INFO)
    call(monkeypatch, "--text", "Hello.")
    assert "--export takes the model's" in caplog.text
    assert requests[0][1]["repetition_penalty"][0] == 1
    caplog.clear()
    SpeechClient("http://x", "m")
    assert "the model's own are in its export" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--output", "o.opus"), ".opus is no audio format"),
        (("--output", "noext"), "no suffix is no audio format"),
        (("--output", "/proc/none/o.wav"), "cannot write /proc/none/o.wav"),
        (("--output", "folder.wav"), "it is a folder"),
        (("--text", "..."), "nothing that can be spoken"),
        (("--export", "nowhere"), "is no export of a model"),
        (("--export", "damaged.json"), "is no record of a served XTTS"),
        (("--export", "wrong.json"), "top_p"),
    ],
)
def test_nothing_is_sent_for_a_wrong_call(monkeypatch, tmp_path, requests, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "damaged.json").write_text("{}")
    (tmp_path / "wrong.json").write_text(json.dumps({"defaults": {"top_p": 7}}))
    text = () if "--text" in words else ("--text", "Hello.")
    assert call(monkeypatch, *text, *words) in (1, 2)
    assert message in capsys.readouterr().err
    assert requests == []
