"""The resampling layer equals torchaudio's default."""

import numpy as np
import pytest

from myxtts.audio.resample import SincResampler, resampled_length

RATES = [(22_050, 16_000), (24_000, 22_050), (8000, 22_050), (44_100, 22_050), (48_000, 16_000)]


@pytest.mark.parametrize(("old", "new"), RATES)
def test_equals_torchaudio(old, new):
    torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")
    functional = pytest.importorskip("torchaudio.functional", reason="no torchaudio")
    audio = np.random.default_rng(0).normal(size=(2, 7013)).astype("float32")
    expected = functional.resample(torch.from_numpy(audio), old, new).numpy()
    got = np.asarray(SincResampler(old, new)(audio))
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(("old", "new"), RATES)
def test_keeps_a_tone(old, new):
    def tone(rate):
        return np.sin(2 * np.pi * 500 * np.arange(rate // 4) / rate)[None].astype("float32")

    got = np.asarray(SincResampler(old, new)(tone(old)))
    middle = slice(new // 16, new // 8)
    np.testing.assert_allclose(got[:, middle], tone(new)[:, middle], atol=5e-3)


def test_equal_rates_change_nothing():
    audio = np.ones((1, 5), "float32")
    np.testing.assert_array_equal(SincResampler(8000, 8000)(audio), audio)


@pytest.mark.parametrize("samples", [1, 440, 441, 442, 10_000])
def test_length_is_rounded_up(samples):
    assert resampled_length(samples, 22_050, 16_000) == -(-samples * 320 // 441)
