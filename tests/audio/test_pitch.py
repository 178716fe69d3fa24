"""The fundamental frequency of sounds whose own is known."""

import numpy as np
import pytest

from myxtts.audio.pitch import pitch

RATE, HOP = 24_000, 256


def buzz(hertz: np.ndarray) -> np.ndarray:
    """Ten harmonics of a frequency in Hz for each sample."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    return sum(np.sin(k * phase) / k for k in range(1, 11)).astype("float32") * 0.1


@pytest.mark.parametrize("hertz", [75.0, 120.0, 220.0, 440.0])
def test_a_steady_tone(hertz):
    found = pitch(buzz(np.full(RATE, hertz)), RATE, HOP)
    assert found.shape == (94,) and found.dtype == np.float32
    inner = found[4:-5]
    assert (inner > 0).all()
    np.testing.assert_allclose(inner, hertz, rtol=0.01)


def test_a_glide_is_followed_frame_by_frame():
    hertz = np.linspace(100, 200, RATE)
    found = pitch(buzz(hertz), RATE, HOP)[5:-6]
    middles = hertz[HOP // 2 :: HOP][5 : 5 + len(found)]
    np.testing.assert_allclose(found, middles, rtol=0.03)


def test_noise_and_silence_have_none():
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(RATE).astype("float32")
    assert (pitch(noise, RATE, HOP) > 0).mean() < 0.05
    tone = buzz(np.full(RATE, 150.0))
    tone[RATE // 2 :] = 0.0
    found = pitch(tone, RATE, HOP)
    assert (found[4:40] > 0).all() and not found[55:].any()


def test_a_clip_shorter_than_a_frame():
    assert pitch(np.zeros(100, "float32"), RATE, HOP).tolist() == [0.0]
