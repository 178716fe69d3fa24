"""``myxtts convert`` as a user meets it."""

import json

import numpy as np
import pytest

from myxtts.config import SynthesisConfig
from myxtts.flags import run
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.programs import convert as tool


def call(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["convert_xtts.py", *map(str, words)])
    return run(tool.main, tool.parser())


def test_a_folder_without_a_checkpoint_is_one_sentence(monkeypatch, capsys, tmp_path):
    assert call(monkeypatch, "--source", tmp_path, "--output", tmp_path / "preset") == 1
    assert "hf download coqui/XTTS-v2" in capsys.readouterr().err
    assert not (tmp_path / "preset").exists()


def test_a_checkpoint_becomes_a_preset_under_its_licence(monkeypatch, capsys, tmp_path):
    pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
    from benchmarks.upstream.coqui import write_checkpoint

    write_checkpoint(tmp_path / "XTTS-v2")
    words = ("--source", tmp_path / "XTTS-v2", "--output", tmp_path / "preset", "--half", "--json")
    assert call(monkeypatch, *words) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out.splitlines()[-1])
    assert "non-commercial" in result["licence"]
    assert "non-commercial" in printed.err
    assert (tmp_path / "preset" / "manifest.json").is_file()
    card = (tmp_path / "preset" / "README.md").read_text()
    assert result["licence"] in card
    assert "model.pth" in card


@pytest.mark.slow
def test_a_quantised_checkpoint_speaks_by_the_int8_engine(monkeypatch, tmp_path):
    pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
    pytest.importorskip("numba", reason="numba, of the int8 engine, is not installed")
    from benchmarks.upstream.coqui import write_checkpoint

    write_checkpoint(tmp_path / "XTTS-v2")
    words = ("--source", tmp_path / "XTTS-v2", "--output", tmp_path / "preset")
    assert call(monkeypatch, *words, "--quantize", "int8") == 0
    model = XTTS.from_preset(tmp_path / "preset")
    assert model.quantised == "int8"
    # Nothing says which floats it was made of, since they were never saved as a preset.
    assert model.quantised_from is None
    settings = SynthesisConfig(engine="int8", retries=0, seconds_per_character=0.01)
    synthesizer = Synthesizer(model, settings)
    reference = np.random.default_rng(0).normal(0, 0.1, 2 * 22_050).astype("float32")
    spoken = synthesizer.speak("Hello.", synthesizer.condition([reference]))
    assert synthesizer.engine == "int8"
    assert len(spoken.waveform) and np.isfinite(spoken.waveform).all()
