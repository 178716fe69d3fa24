"""``--engine int8`` from a quantised preset to a file of speech."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile

from myxtts.config import SynthesisConfig
from myxtts.flags import run
from myxtts.inference import command
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.text.tokenizer import train_tokenizer
from tests.conftest import hum

pytest.importorskip("numba", reason="numba, of the int8 engine, is not installed")
TEXT = "Hello there."


@pytest.fixture(scope="module")
def preset(micro_config, tmp_path_factory):
    """A quantised model with random weights that speaks with its decoder."""
    words = train_tokenizer([("hello there, some words to learn from", "en")] * 4, 300)
    model = XTTS(micro_config, words)
    rng = np.random.default_rng(0)
    for matrix in model.gpt.matrices:
        matrix.assign(rng.normal(0, 0.3, matrix.shape))
    model.set_mel_stats(np.ones(80, "float32"))
    model.trained_steps = {"dvae": 1, "gpt": 1, "decoder": 1}
    folder = tmp_path_factory.mktemp("small") / "preset"
    model.save_to_preset(folder, quantise="int8")
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("voice") / "reference.wav"
    soundfile.write(path, hum(2.0, 120.0, np.random.default_rng(0)), 22_050)
    return path


@pytest.fixture(scope="module")
def synthesizers(preset) -> dict[str, Synthesizer]:
    settings = SynthesisConfig(vocoder="hifi", retries=0, min_seconds_per_character=0.08)
    model = XTTS.from_preset(preset)
    return {name: Synthesizer(model, settings, engine=name) for name in ("tensorflow", "int8")}


@pytest.fixture(scope="module")
def voice(synthesizers, reference):
    return synthesizers["tensorflow"].condition([reference])


@pytest.fixture(scope="module")
def spoken(synthesizers, voice):
    return {name: side.speak(TEXT, voice) for name, side in synthesizers.items()}


def call(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["inference_main.py", *map(str, words)])
    return run(command.main, command.parser())


def test_the_engine_is_named(synthesizers):
    assert {name: side.engine for name, side in synthesizers.items()} == {
        "tensorflow": "tensorflow",
        "int8": "int8",
    }


def test_speech_is_that_of_the_float_engine(spoken):
    own, other = spoken["int8"], spoken["tensorflow"]
    assert len(own.codes[0]) > 10
    np.testing.assert_array_equal(own.codes[0], other.codes[0])
    assert own.flags == other.flags
    np.testing.assert_allclose(own.waveform, other.waveform, atol=1e-3)


def test_a_stream_is_the_whole_speech(synthesizers, spoken, voice):
    chunks = list(synthesizers["int8"].stream(TEXT, voice))
    assert len(chunks) > 1
    np.testing.assert_allclose(np.concatenate(chunks), spoken["int8"].waveform, atol=1e-4)


@pytest.mark.parametrize("more", [(), ("--stream",)], ids=["whole", "stream"])
def test_the_program_speaks(preset, reference, monkeypatch, tmp_path, capsys, caplog, more):
    words = ("--preset", preset, "--reference-audio", reference, "--text", TEXT, *more)
    files = ("--output", tmp_path / "out.wav", "--engine", "int8", "--threads", "1", "--json")
    with caplog.at_level("INFO"):
        assert call(monkeypatch, *words, *files) == 0
    assert "engine: int8" in caplog.text
    result = json.loads(capsys.readouterr().out)
    assert soundfile.info(tmp_path / "out.wav").duration == pytest.approx(
        result["duration"], abs=0.01
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--threads", "1"), "--threads is for --engine int8"),
        (("--engine", "int8", "--threads", "999"), "--threads 999 is more than numba's"),
        (("--engine", "int8", "--xla"), "engine int8 has none"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(
    preset, reference, monkeypatch, tmp_path, capsys, words, message
):
    files = ("--reference-audio", reference, "--output", tmp_path / "out.wav")
    assert call(monkeypatch, "--preset", preset, "--text", TEXT, *files, *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()


def test_an_engine_beats_that_of_the_settings(preset):
    model = XTTS.from_preset(preset)
    settings = dataclasses.replace(model.config.synthesis, engine="int8")
    assert Synthesizer(model, settings).engine == "int8"
    assert Synthesizer(model, settings, engine="tensorflow").engine == "tensorflow"
