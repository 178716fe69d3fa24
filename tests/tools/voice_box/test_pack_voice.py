"""A packed model is half the size, has voices and a card, and speaks by itself."""

import json

import numpy as np
import pytest
from safetensors import safe_open

from myxtts.errors import CheckpointError, ConfigError
from myxtts.flags import run
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.presets.voices import preset_voices
from myxtts.text.tokenizer import train_tokenizer
from tests.conftest import hum
from tools import pack_voice as tool
from tools.voice_box.proof import megabytes, prove
from tools.voice_box.voices import TEXTS, VOICES, Studio, named

CORPUS = {
    "made_by": "tools/make_voice_corpus.py",
    "licences": {"austen": "novels: public domain"},
    "texts": {"austen": 1200, "grammar": 0},
    "result": {
        "hours": {"train": 21.5, "val": 0.4},
        "clips": {"train": 20_000, "val": 400},
        "speakers": 400,
        "checked": 200,
        "wer": 0.031,
        "misheard": 3,
    },
}
JUDGED = {
    "sentences": 109,
    "each": 3,
    "voices": ["a", "b"],
    "settings": {"temperature": 0.3},
    "gates": {"wer": {"title": "WER", "value": 0.071, "gate": "≤ 0.08", "passed": True}},
}


def record(voice) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [hum(1.5, 100 + 20 * VOICES.index(voice), rng)]


@pytest.fixture
def call(trained, tmp_path, monkeypatch):
    """The program on the trained model, with hums for recordings."""
    monkeypatch.setattr(tool, "Studio", lambda voices: record)
    for name, content in {"record.json": CORPUS, "judged.json": JUDGED}.items():
        (tmp_path / name).write_text(json.dumps(content))

    def call(*words) -> int:
        options = ["--preset", trained.preset, "--output", tmp_path / "base"]
        options += ["--corpus", tmp_path, "--judged", tmp_path / "judged.json", *words]
        monkeypatch.setattr("sys.argv", ["prog", *map(str, options)])
        return run(tool.main, tool.parser())

    return call


@pytest.mark.slow
def test_a_packed_model_speaks_by_itself(call, trained, tmp_path, capsys):
    assert call("--voices", "oskar", "hana", "--temperature", "0.4", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["spoken"]) == {"oskar", "hana", "reference"}
    assert result["megabytes"] == pytest.approx(megabytes(tmp_path / "base"), abs=0.01)
    assert megabytes(tmp_path / "base") < 0.7 * megabytes(trained.preset)
    packed = XTTS.from_preset(tmp_path / "base")
    assert packed.config.synthesis.temperature == 0.4
    # Nothing of the machine it was trained on.
    text = (tmp_path / "base" / "config.yaml").read_text()
    assert str(trained.preset.parent) not in text and "train_data: null" in text
    assert [voice.name for voice in preset_voices(tmp_path / "base")] == ["oskar", "hana"]
    assert len(Synthesizer(packed).speak("Hello.").waveform)
    card = (tmp_path / "base" / "README.md").read_text()
    for words in ("21.5 hours", "400 speakers", "austen 1,200", "| WER | 0.071 | ≤ 0.08 |"):
        assert words in card
    assert "public domain" in card and "`oskar`: a man" in card


def test_a_model_that_is_too_large_takes_nobodys_place(call, tmp_path, capsys):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "manifest.json").write_text("older")
    assert call("--voices", "hana", "--limit", "0.01") == 1
    assert "more than 0.01 (largest: " in capsys.readouterr().err
    assert (tmp_path / "base" / "manifest.json").read_text() == "older"


def test_a_frozen_encoder_is_stored_in_half_too(micro_config, tmp_path):
    kind = {"use_pretrained_speaker_encoder": True, "speaker_encoder_type": "ecapa_tdnn"}
    tokenizer = train_tokenizer([("some words to learn from", "en")] * 4, 300)
    model = XTTS(micro_config.merged({"model": kind}), tokenizer)
    tool.store_in_half(model)
    model.save_to_preset(tmp_path / "preset", half=True)
    with safe_open(tmp_path / "preset" / "xtts.safetensors", framework="numpy") as file:
        names = [name for name in file.keys() if "speaker_encoder" in name]  # noqa: SIM118
        kinds = {
            (len(file.get_slice(n).get_shape()) > 1, file.get_slice(n).get_dtype()) for n in names
        }
    assert kinds == {(True, "F16"), (False, "F32")}


def test_a_model_that_does_not_speak_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="does not speak by itself: .*no preset"):
        prove(tmp_path, tmp_path / "absent.wav")


def test_there_are_six_voices_and_more_of_different_names():
    assert len({voice.name for voice in VOICES}) == len(VOICES) >= 6
    assert named(None) == list(VOICES)
    with pytest.raises(ConfigError, match="no voice nobody"):
        named(["nobody"])


def test_a_studio_records_pseudo_speakers():
    pytest.importorskip("hibari", reason="requirements-voice.txt is not installed")
    pytest.importorskip("onnx")
    deep, high = (np.concatenate(Studio()(voice)) for voice in named(["oskar", "mina"]))
    assert 8 < len(deep) / 22_050 < 20
    assert not np.allclose(deep[:20_000], high[:20_000])
    assert len(TEXTS) == 3
