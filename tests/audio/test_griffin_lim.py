"""Griffin-Lim gives back a waveform of the same mel."""

import numpy as np
import pytest

from myxtts.audio.frontends import XTTS_DVAE, mel_filterbank
from myxtts.audio.griffin_lim import griffin_lim, mel_to_power
from myxtts.audio.io import read_audio
from myxtts.audio.mel import MelSpectrogram


def log_mel(audio: np.ndarray) -> np.ndarray:
    return np.asarray(MelSpectrogram(XTTS_DVAE)(audio[None])[0])


def test_mel_of_the_result_is_near(shared_data):
    path = sorted((shared_data / "libritts_mini" / "dev").rglob("*.flac"))[0]
    audio, _ = read_audio(path, XTTS_DVAE.sample_rate)
    mel = log_mel(audio[:60_000])
    again = log_mel(griffin_lim(mel, XTTS_DVAE))
    size = min(len(mel), len(again))
    loud = mel[:size] > -6
    assert np.abs(mel[:size] - again[:size])[loud].mean() < 0.35


def test_length_level_and_seed():
    rng = np.random.default_rng(0)
    mel = log_mel(rng.normal(size=22_050).astype("float32"))
    wave = griffin_lim(mel, XTTS_DVAE, n_iter=4)
    assert wave.shape == ((len(mel) - 1) * XTTS_DVAE.hop_length,)
    assert np.abs(wave).max() <= 0.95 + 1e-6
    np.testing.assert_array_equal(wave, griffin_lim(mel, XTTS_DVAE, n_iter=4))


def test_power_is_non_negative_and_fits_the_mel():
    rng = np.random.default_rng(1)
    filters = mel_filterbank(XTTS_DVAE)
    mel = rng.uniform(0.1, 2.0, (5, len(filters))).astype("float32") @ filters
    power = mel_to_power(mel, XTTS_DVAE)
    assert (power >= 0).all()
    assert power @ filters == pytest.approx(mel, rel=0.05)
