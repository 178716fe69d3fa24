"""The mels of Real-Time-Voice-Cloning, in the graph and in numpy."""

from pathlib import Path

import librosa
import numpy as np
import pytest

from myxtts.audio.analysis import magnitudes, mel_of, preemphasised
from myxtts.audio.frontends import RESEMBLYZER, RTVC_SYNTHESIZER, mel_filterbank
from myxtts.audio.mel import MelSpectrogram
from myxtts.errors import AudioError

SPECS = {"encoder": RESEMBLYZER, "synthesizer": RTVC_SYNTHESIZER}
PADDINGS = ("zero", "reflect")


@pytest.fixture(scope="module")
def golden(sv2tts_fixtures: Path) -> dict[str, np.ndarray]:
    return dict(np.load(sv2tts_fixtures / "mel_frontends.npz"))


def padded(name: str, padding: str):
    return SPECS[name].reflected() if padding == "reflect" else SPECS[name]


def expected(golden: dict, name: str, padding: str) -> np.ndarray:
    mel = golden[f"out/{name}_mel_{padding}_padding"]
    return mel.T if name == "synthesizer" else mel


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", SPECS)
def test_numpy_equals_the_original(golden, name, padding):
    mel = mel_of(golden["in/wave"], padded(name, padding))
    wanted = expected(golden, name, padding)
    assert mel.dtype == np.float32 and mel.shape == wanted.shape
    assert np.abs(mel - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", SPECS)
def test_the_layer_equals_the_original(golden, name, padding):
    """In single precision: a quiet channel of a loud sound keeps fewer digits."""
    wanted = expected(golden, name, padding)
    mel = MelSpectrogram(padded(name, padding))(golden["in/wave"][None])[0]
    assert np.abs(np.asarray(mel) - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_the_paddings_differ_at_the_ends_only(golden):
    zero, reflected = (expected(golden, "synthesizer", padding) for padding in PADDINGS)
    differ = np.flatnonzero(np.abs(zero - reflected).max(axis=1) > 1e-3)
    assert len(differ) and set(differ) <= {0, 1, len(zero) - 2, len(zero) - 1}


@pytest.mark.parametrize("name", SPECS)
def test_filters_and_preemphasis(golden, name):
    filters = mel_filterbank(SPECS[name]).T
    np.testing.assert_allclose(filters, golden[f"out/{name}_filterbank"], atol=1e-7)
    ours = preemphasised(golden["in/wave"])
    np.testing.assert_allclose(ours, golden["out/preemphasised"], atol=1e-6)


def noise(samples: int = 4000) -> np.ndarray:
    return (0.1 * np.random.default_rng(3).standard_normal(samples)).astype("float32")


def test_a_twin_of_the_synthesizers_mel():
    wave = noise()
    twin = wave - 0.97 * np.concatenate([[0], wave[:-1]])
    spectra = np.abs(librosa.stft(twin, n_fft=800, hop_length=200, pad_mode="constant"))
    filters = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    decibels = 20 * np.log10(np.maximum(1e-5, filters @ spectra)) - 20
    twin = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4).T
    assert np.abs(mel_of(wave, RTVC_SYNTHESIZER) - twin).max() < 1e-5
    layer = MelSpectrogram(RTVC_SYNTHESIZER)
    assert np.abs(np.asarray(layer(wave[None])[0]) - twin).max() < 1e-4


def test_a_row_of_a_batch_hears_only_itself():
    wave = noise()
    rows = np.stack([wave, np.pad(wave[:2500], (0, 1500), constant_values=0.7)])
    mels = np.asarray(MelSpectrogram(RTVC_SYNTHESIZER)(rows, np.array([4000, 2500])))
    alone = mel_of(wave[:2500], RTVC_SYNTHESIZER)
    assert np.abs(mels[1, : len(alone)] - alone).max() < 1e-4


def test_silence_and_the_way_back():
    assert (mel_of(np.zeros(1000), RTVC_SYNTHESIZER) == RTVC_SYNTHESIZER.silence).all()
    assert RTVC_SYNTHESIZER.silence == -4.0 and RESEMBLYZER.silence == 0.0
    mel = np.linspace(-4, 4, 9)
    decibels = 20 * np.log10(magnitudes(mel, RTVC_SYNTHESIZER))
    np.testing.assert_allclose(decibels, (mel + 4) * 100 / 8 - 100 + 20, atol=1e-9)


def test_too_few_samples_are_refused():
    with pytest.raises(AudioError, match="too few"):
        mel_of(np.zeros(0), RTVC_SYNTHESIZER)
    with pytest.raises(AudioError, match="too few"):
        mel_of(np.ones(400), RTVC_SYNTHESIZER.reflected())
