"""A preset written before records named a kind of model still loads, and speaks as it did."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.presets.record import XTTS_KIND, read_record

# Written by 0.1.0 with half=True.
PRESET = Path(__file__).with_name("preset_0_1_0")
SPOKEN = PRESET.with_name("preset_0_1_0_spoken.npz")


@pytest.fixture(scope="module")
def model() -> XTTS:
    return XTTS.from_preset(PRESET)


def test_its_record_is_read(model):
    record = read_record(PRESET, XTTS_KIND)
    assert record.myxtts == "0.1.0"
    assert model.trained_steps == {"dvae": 3, "gpt": 5, "decoder": 2}
    assert model.vocoder_errors == {"griffin_lim": 1.25, "hifi": 1.5}
    assert model.encoder_provenance is None
    assert model.licence is None
    assert model.fingerprint == record.sha256["xtts.safetensors"]
    assert record.parameters == {name: p.count_params() for name, p in model.parts().items()}


def test_it_speaks_as_it_did(model):
    spoken = np.load(SPOKEN)
    time = np.arange(2 * 22_050) / 22_050
    reference = 0.3 * np.sin(2 * np.pi * 140 * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
    synthesizer = Synthesizer(model)
    voice = synthesizer.condition([reference.astype("float32")])
    result = synthesizer.speak("Hello there.", voice)
    np.testing.assert_allclose(voice.latents, spoken["latents"], atol=1e-5)
    np.testing.assert_allclose(voice.speaker_embedding, spoken["speaker_embedding"], atol=1e-5)
    np.testing.assert_array_equal(np.concatenate(result.codes), spoken["codes"])
    assert result.vocoder == "hifi"
    np.testing.assert_allclose(result.waveform[:4096], spoken["waveform"], atol=1e-5)


def test_written_again_its_record_names_the_kind(model, tmp_path):
    folder = Path(shutil.copytree(PRESET, tmp_path / "preset"))
    XTTS.from_preset(folder).save_to_preset(folder)
    assert '"kind": "xtts"' in (folder / "manifest.json").read_text()
    again = XTTS.from_preset(folder)
    assert again.trained_steps == model.trained_steps
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)
