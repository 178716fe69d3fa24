"""The choice of vocoders, and what each makes of a mel."""

import numpy as np
import pytest

from myxtts.audio.frontends import RTVC_SYNTHESIZER
from myxtts.audio.rtvc_griffin_lim import rtvc_griffin_lim
from myxtts.errors import AudioError, ConfigError, WeightsError
from myxtts.generation.vocoders import GriffinLimVocoder, WaveRNNVocoder, open_vocoder
from myxtts.generation.wavernn import KernelEngine, generate
from myxtts.weights import rtvc_vocoder
from myxtts.weights.torch_file import write_torch_file
from tests.models.test_wavernn import tiny_model

MEL = np.random.default_rng(0).uniform(-4, 4, (5, 12)).astype("float32")


def test_a_wavernn_is_given_a_quarter_of_the_mel():
    model = tiny_model()
    wave = WaveRNNVocoder(model, honest=False).vocode(MEL, seed=2, target=20, overlap=6)
    wanted = generate(KernelEngine(model), MEL.T / 4, target=20, overlap=6, seed=2)
    assert wave.dtype == np.float32
    np.testing.assert_allclose(wave, wanted, rtol=1e-6)
    assert len(wave) == 11 * 6


def test_every_place_of_a_vocoder_opens_the_same(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    model = tiny_model()
    model.save_to_preset(tmp_path / "run" / "preset")
    rtvc_vocoder.write(tmp_path / "vocoder.pt", model, 0)
    waves = [
        open_vocoder(path).vocode(MEL, batched=False)
        for path in (tmp_path / "run", tmp_path / "run" / "preset", tmp_path / "vocoder.pt")
    ]
    # The file does not say the pre-emphasis; RTVC's is 0.97, and so is this model's.
    np.testing.assert_array_equal(waves[0], waves[1])
    np.testing.assert_array_equal(waves[0], waves[2])


def test_griffin_lim_is_behind_the_same_call():
    mel = np.random.default_rng(0).uniform(-4, 0, (80, 11)).astype("float32")
    vocoder = open_vocoder("griffin_lim")
    assert vocoder.sample_rate == 16_000
    wanted = rtvc_griffin_lim(mel.T, RTVC_SYNTHESIZER, seed=1)
    np.testing.assert_array_equal(vocoder.vocode(mel, seed=1), wanted)
    assert len(wanted) == 2000


def test_a_synthesizers_file_is_refused(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    path = tmp_path / "synthesizer.pt"
    write_torch_file(path, {"model_state": {"encoder.embedding.weight": np.zeros((66, 4))}})
    with pytest.raises(WeightsError, match="is no vocoder: it holds a synthesizer"):
        open_vocoder(path)


def test_nothing_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no vocoder"):
        open_vocoder(tmp_path / "nowhere")


@pytest.mark.parametrize("mel", [np.zeros((80, 1)), np.zeros((7, 9)), np.zeros(80)])
def test_what_is_no_mel_is_refused(mel):
    with pytest.raises(AudioError):
        GriffinLimVocoder().vocode(mel)
    with pytest.raises(AudioError):
        WaveRNNVocoder(tiny_model(), how="model").vocode(mel)
