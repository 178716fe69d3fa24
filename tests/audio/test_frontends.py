"""The front-end table, and mels equal to those of the upstreams' own functions."""

import dataclasses
from pathlib import Path

import librosa
import numpy as np
import pytest

from myxtts.audio.frontends import (
    COQUI_SPEAKER,
    RESEMBLYZER,
    SPEECHBRAIN_ECAPA,
    XTTS_CONDITIONING,
    XTTS_DVAE,
    MelSpec,
    analysis_window,
    mel_filterbank,
    spec_dict,
)
from myxtts.audio.mel import MelSpectrogram
from myxtts.audio.resample import SincResampler

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "frontends.npz"
TOLERANCE = 1e-4
SPECS = {
    "conditioning": XTTS_CONDITIONING,
    "dvae": XTTS_DVAE,
    "coqui_speaker": COQUI_SPEAKER,
    "resemblyzer": RESEMBLYZER,
}
RATES = [(22_050, 16_000), (24_000, 22_050), (44_100, 22_050), (48_000, 16_000)]
# sample_rate, n_fft, win_length, hop_length, n_mels, f_max, window, scale, norm, compression
TABLE = {
    "conditioning": (22_050, 2048, 1024, 256, 80, 8000, "hann", "htk", "slaney", "clip"),
    "dvae": (22_050, 1024, 1024, 256, 80, 8000, "hann", "htk", "slaney", "clip"),
    "coqui_speaker": (16_000, 512, 400, 160, 64, 8000, "hamming", "htk", None, "offset"),
    "resemblyzer": (16_000, 400, 400, 160, 40, 8000, "hann", "slaney", "slaney", None),
}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as archive:
        return {key: archive[key] for key in archive.files}


def sound(golden: dict, clip: str) -> np.ndarray:
    return golden[f"audio/{clip}"].astype("float32") / 32_768


def relative_error(ours, theirs: np.ndarray) -> float:
    """Largest difference over the reference's largest value."""
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


def mel_of(audio: np.ndarray, spec: MelSpec) -> np.ndarray:
    return np.asarray(MelSpectrogram(spec)(audio[None])[0])


@pytest.mark.parametrize("name", SPECS)
def test_specification_holds_the_figures_of_its_model(name):
    spec = SPECS[name]
    figures = (spec.sample_rate, spec.n_fft, spec.win_length, spec.hop_length, spec.n_mels)
    shape = (spec.f_max, spec.window, spec.mel_scale, spec.mel_norm, spec.compression)
    assert figures + shape == TABLE[name]
    assert spec.f_min == 0
    assert spec.preemphasis == (0.97 if name == "coqui_speaker" else 0)
    assert MelSpec(**spec_dict(spec)) == spec


def test_window_is_periodic_and_centred_in_the_frame():
    window = analysis_window(XTTS_CONDITIONING)
    assert window.shape == (2048,)
    assert not window[:512].any()
    assert not window[1536:].any()
    cosine = np.cos(2 * np.pi * np.arange(1024) / 1024)
    np.testing.assert_allclose(window[512:1536], 0.5 - 0.5 * cosine, atol=1e-7)
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400)
    np.testing.assert_allclose(analysis_window(COQUI_SPEAKER)[56:456], hamming, atol=1e-7)


def test_filterbank_peaks_follow_the_htk_scale():
    filters = mel_filterbank(COQUI_SPEAKER)
    assert filters.shape == (257, 64)
    assert (filters >= 0).all()
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66) / 2595) - 1)
    peaks = filters[:, 20:].argmax(axis=0) * 16_000 / 512
    np.testing.assert_allclose(peaks, edges[21:-1], atol=16_000 / 512)


@pytest.mark.parametrize("clip", ["chirp", "speech"])
@pytest.mark.parametrize("name", SPECS)
def test_equals_the_golden_mel(golden, name, clip):
    expected = golden[f"mel/{name}/{clip}"]
    got = mel_of(sound(golden, clip), SPECS[name])
    assert got.shape == expected.shape
    assert relative_error(got, expected) <= TOLERANCE


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("change", ["hop", "window", "scale"])
def test_golden_mel_notices_a_changed_front_end(golden, name, change):
    spec = SPECS[name]
    twin = {
        "hop": {"hop_length": spec.hop_length + 1},
        "window": {"window": "hann" if spec.window == "hamming" else "hamming"},
        "scale": {"mel_scale": "htk" if spec.mel_scale == "slaney" else "slaney"},
    }[change]
    expected = golden[f"mel/{name}/speech"]
    got = mel_of(sound(golden, "speech"), dataclasses.replace(spec, **twin))
    frames = min(len(got), len(expected))
    assert relative_error(got[:frames], expected[:frames]) > 10 * TOLERANCE


@pytest.mark.parametrize(("old", "new"), RATES)
def test_equals_the_golden_resampling(golden, old, new):
    expected = golden[f"resampled/{old}/{new}"]
    got = np.asarray(SincResampler(old, new)(sound(golden, "speech")[None, :3_001]))[0]
    assert got.shape == expected.shape
    assert relative_error(got, expected) <= TOLERANCE


@pytest.mark.parametrize("name", SPECS)
def test_equals_the_installed_upstream_on_speech(golden, name):
    for module in ("torch", "TTS", "resemblyzer"):
        pytest.importorskip(module, reason=f"{module} is not installed (make reference)")
    import torch

    from tests.golden.make_frontends import FRONTENDS

    audio = sound(golden, "speech")[:8_000]
    expected = FRONTENDS[name](torch.from_numpy(audio))
    assert relative_error(mel_of(audio, SPECS[name]), expected) <= TOLERANCE


def test_ecapa_specification_holds_the_figures_of_speechbrain():
    spec = SPEECHBRAIN_ECAPA
    figures = (spec.sample_rate, spec.n_fft, spec.win_length, spec.hop_length, spec.n_mels)
    assert figures == (16_000, 400, 400, 160, 80)
    assert (spec.window, spec.compression, spec.eps, spec.top_db) == (
        "hamming",
        "decibel",
        1e-10,
        80.0,
    )
    assert MelSpec(**spec_dict(spec)) == spec


@pytest.mark.parametrize("samples", [399, 8_001])
def test_ecapa_mel_equals_speechbrains(golden, samples):
    pytest.importorskip("speechbrain", reason="speechbrain is not installed (make reference)")
    import torch
    from speechbrain.lobes.features import Fbank

    audio = sound(golden, "speech")[4_000 : 4_000 + samples]
    expected = Fbank(n_mels=80)(torch.from_numpy(audio)[None])[0].numpy()
    got = mel_of(audio, SPEECHBRAIN_ECAPA)
    assert got.shape == expected.shape
    assert relative_error(got, expected) <= TOLERANCE
    plain = dataclasses.replace(SPEECHBRAIN_ECAPA, symmetric=False)
    assert relative_error(mel_of(audio, plain), expected) > 10 * TOLERANCE


@pytest.mark.parametrize("samples", [5_001, 16_000])
def test_slaney_mel_is_librosas_default_at_16_khz(golden, samples):
    audio = np.resize(sound(golden, "speech"), samples)
    expected = librosa.feature.melspectrogram(y=audio, sr=16_000).T
    spec = MelSpec(
        16_000,
        n_fft=2048,
        win_length=2048,
        hop_length=512,
        n_mels=128,
        mel_scale="slaney",
        compression=None,
        pad_mode="constant",
    )
    assert relative_error(mel_of(audio, spec), expected) <= TOLERANCE


def test_golden_file_is_small_and_says_how_it_was_made(golden):
    assert GOLDEN.stat().st_size <= 300_000
    assert str(golden["command"]) == "python -m tests.golden.make_frontends"
