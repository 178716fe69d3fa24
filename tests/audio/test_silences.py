"""Volume, silences, noise and Griffin-Lim against RTVC's numbers, and twins made here."""

import json
import sys

import numpy as np
import pytest

from myxtts.audio.analysis import mel_of
from myxtts.audio.frontends import RESEMBLYZER, RTVC_SYNTHESIZER
from myxtts.audio.log_mmse import denoised, noise_profile
from myxtts.audio.rtvc_griffin_lim import deemphasised, linear_magnitudes, rtvc_griffin_lim
from myxtts.audio.silences import (
    Splitting,
    gain_of,
    kept_windows,
    raised_volume,
    segments_of,
    speech_flags,
    split_on_silences,
    trim_silences,
)
from myxtts.errors import AudioError, ConfigError, DataError

RATE = 16_000


@pytest.fixture(scope="module")
def golden(sv2tts_fixtures):
    return lambda name: dict(np.load(sv2tts_fixtures / f"{name}.npz"))


def close(ours, theirs, share=1e-4):
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= share * np.abs(theirs).max()


def test_the_encoders_chain(golden):
    pytest.importorskip("webrtcvad", reason="silences are found with webrtcvad")
    values = golden("encoder_audio")
    speech = values["in/speech_int16"] / np.float32(32_768)
    assert gain_of(np.mean(speech.astype("float64") ** 2)) == pytest.approx(
        float(values["out/gain"]), rel=1e-5
    )
    loud = raised_volume(speech)
    np.testing.assert_array_equal(speech_flags(loud), values["in/vad_flags"])
    trimmed = trim_silences(loud)
    assert len(trimmed) == values["out/trimmed_length"]
    close(mel_of(trimmed, RESEMBLYZER), values["out/frames"], 1e-5)


def test_which_windows_stay(golden):
    values = golden("encoder_audio")
    kept = kept_windows(values["in/vad_flags"])
    np.testing.assert_array_equal(kept, values["out/kept_windows"])
    for flags, wanted in zip(values["in/random_flags"], values["out/random_kept"], strict=True):
        np.testing.assert_array_equal(kept_windows(flags), wanted)


def test_windows_of_a_twin():
    """Five of eight count, four do not; three on both sides come along."""
    flags = np.zeros(40, bool)
    flags[16:21] = True
    five = np.flatnonzero(kept_windows(flags))
    flags[20] = False
    assert not kept_windows(flags).any()
    assert five[0] == 13 and five[-1] == 22


def test_log_mmse(golden):
    values = golden("logmmse")
    profile = noise_profile(values["in/noise"], RATE)
    close(profile.power, values["out/noise_mu2"])
    close(denoised(values["in/noisy"], profile), values["out/denoised"])


def test_noise_goes_and_speech_stays():
    rng = np.random.default_rng(1)
    noise = 0.01 * rng.standard_normal(RATE)
    tone = 0.3 * np.sin(2 * np.pi * 400 * np.arange(RATE) / RATE)
    profile = noise_profile(noise, RATE)
    assert np.std(denoised(noise, profile)) < 0.3 * np.std(noise)
    assert np.std(denoised(noise + tone, profile)) > 0.8 * np.std(tone)


def test_splitting(golden, sv2tts_fixtures):
    told = json.loads((sv2tts_fixtures / "split_on_silences.json").read_text())
    values = golden("synthesizer_preprocess")
    wave = values["in/wave"]
    wave = wave / np.abs(wave).max() * np.float32(0.9)
    parts = split_on_silences(wave, told["words"], told["end_times"])
    assert [text for _, text in parts] == told["texts"]
    assert [len(part) for part, _ in parts] == told["lengths"]
    for place, (part, _) in enumerate(parts):
        scale = np.abs(part).max()
        assert np.abs(part[:200] - values[f"out/{place}/first_200"]).max() < 1e-4 * scale
        assert np.abs(part[-200:] - values[f"out/{place}/last_200"]).max() < 1e-4 * scale
        assert np.sqrt(np.mean(part**2)) == pytest.approx(values["out/rms"][place], rel=1e-4)


def test_segments_of_a_twin():
    words = ["", "A", "", "B", "", "C", ""]
    ends = [0.5, 1.0, 1.5, 3.5, 4.0, 7.0, 7.5]
    times, texts, silences = segments_of(words, ends)
    assert texts == ["A B", "C"] and times == [(0.5, 3.5), (4.0, 7.0)] and len(silences) == 4
    assert len(segments_of(words, ends, Splitting(longest=2.0))[1]) == 3
    with pytest.raises(DataError, match="silence"):
        segments_of(words[1:], ends[1:])
    with pytest.raises(DataError, match="3 words and 2 times"):
        segments_of(["", "A", ""], [1.0, 2.0])


def test_an_utterance_as_it_is_stored(golden):
    pytest.importorskip("webrtcvad", reason="silences are found with webrtcvad")
    values = golden("synthesizer_preprocess")
    speech = golden("encoder_audio")["in/speech_int16"] / np.float32(32_768)
    wave = trim_silences(speech / np.abs(speech).max() * np.float32(0.9))
    assert len(wave) == values["out/utterance_audio_length"]
    close(wave[:2000], values["out/utterance_audio_first_2000"], 1e-6)
    close(mel_of(wave, RTVC_SYNTHESIZER), values["out/utterance_mel_saved"], 1e-5)


@pytest.mark.parametrize("count", [0, 1, 60])
def test_griffin_lim(golden, count):
    values = golden("mel_frontends")
    mel, phases = values["in/mel_to_invert"].T, values["in/griffin_lim_uniform"]
    close(linear_magnitudes(mel), values["out/linear_magnitude_power"])
    wave = rtvc_griffin_lim(mel, n_iter=count, phases=phases)
    close(wave, values[f"out/griffin_lim_{count}_iterations"])
    close(deemphasised(values["in/wave"]), values["out/deemphasised"])


def test_griffin_lim_gives_the_tone_back():
    tone = (0.3 * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)).astype("float32")
    wave = rtvc_griffin_lim(mel_of(tone, RTVC_SYNTHESIZER), n_iter=20, seed=3)
    assert np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave) == pytest.approx(500, abs=20)


def test_what_cannot_be_heard(monkeypatch):
    with pytest.raises(AudioError, match="silent"):
        raised_volume(np.zeros(100))
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(ConfigError, match="pip install webrtcvad-wheels"):
        speech_flags(np.ones(1000))
