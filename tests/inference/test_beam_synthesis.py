"""Beam search by its settings: spoken, refused for a stream, named on the command line."""

import sys

import numpy as np
import pytest

from myxtts.config import SynthesisConfig, XTTSConfig
from myxtts.errors import ConfigError
from myxtts.flags import run
from myxtts.inference import command
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS


@pytest.fixture(scope="module")
def model(trained):
    return XTTS.from_preset(trained.preset)


@pytest.fixture(scope="module")
def voice(model, corpus):
    return Synthesizer(model).condition([corpus / "clip_0.wav"])


def settings(**changes) -> SynthesisConfig:
    return SynthesisConfig(
        **{"temperature": 0.0, "vocoder": "griffin_lim", "num_beams": 3} | changes
    )


def test_beams_speak_the_same_every_time(model, voice):
    first, second = (
        Synthesizer(model, settings(seed=seed)).speak("Hello there.", voice) for seed in (0, 1)
    )
    np.testing.assert_array_equal(first.codes[0], second.codes[0])
    assert first.duration > 0


def test_speech_stays_within_its_bound(model, voice):
    synthesizer = Synthesizer(model, settings(seconds_per_character=0.01, length_penalty=5.0))
    assert len(synthesizer.speak("Hello there.", voice).codes[0]) <= 46


def test_a_stream_of_beams_is_refused_at_once(model, voice):
    with pytest.raises(ConfigError, match="--num-beams 1"):
        Synthesizer(model, settings()).stream("Hello", voice)


def test_the_refused_stream_leaves_no_file(trained, corpus, monkeypatch, tmp_path, capsys):
    words = ["--text", "Hello", "--reference-audio", str(corpus / "clip_0.wav"), "--stream"]
    words += ["--checkpoint", str(trained.preset), "--output", str(tmp_path / "out.wav")]
    words += ["--num-beams", "2", "--temperature", "0"]
    monkeypatch.setattr(sys, "argv", ["inference_main.py", *words])
    assert run(command.main, command.parser()) == 2
    assert "--num-beams 1" in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_beams": 0}, "num_beams must be from 1 to 256"),
        ({"length_penalty": 11.0}, "length_penalty must be from -10 to 10"),
        ({"length_penalty": float("nan")}, "length_penalty must be from -10 to 10"),
        ({"num_beams": 3}, r"num_beams 3 wants synthesis\.temperature 0, not 0\.75"),
    ],
)
def test_values_that_cannot_be_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        XTTSConfig().merged({"synthesis": values})


def test_help_names_the_flags():
    text = command.parser().format_help()
    assert "--num-beams" in text
    assert "--length-penalty" in text
