"""Mel front-ends equal librosa's and torchaudio's, and padding does not leak."""

import dataclasses

import keras
import librosa
import numpy as np
import pytest
import tensorflow as tf

from myxtts.audio.frontends import (
    COQUI_SPEAKER,
    RESEMBLYZER,
    XTTS_CONDITIONING,
    XTTS_DVAE,
    MelSpec,
)
from myxtts.audio.io import read_audio
from myxtts.audio.mel import MelNorm, MelSpectrogram
from myxtts.errors import AudioError

SPECS = {
    "conditioning": XTTS_CONDITIONING,
    "dvae": XTTS_DVAE,
    "coqui_speaker": COQUI_SPEAKER,
    "resemblyzer": RESEMBLYZER,
}


def chirp(spec: MelSpec, samples: int = 20_001) -> np.ndarray:
    time = np.arange(samples) / spec.sample_rate
    wave = np.sin(2 * np.pi * (100 * time + 2500 * time**2))
    noise = np.random.default_rng(0).normal(size=samples)
    return (0.5 * wave + 0.01 * noise).astype("float32")


def by_librosa(audio: np.ndarray, spec: MelSpec) -> np.ndarray:
    if spec.preemphasis:
        previous = np.concatenate([audio[1:2], audio[:-1]])
        audio = audio - spec.preemphasis * previous
    mel = librosa.feature.melspectrogram(
        y=audio.astype("float64"),
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        win_length=spec.win_length,
        hop_length=spec.hop_length,
        n_mels=spec.n_mels,
        fmin=spec.f_min,
        fmax=spec.f_max,
        window=spec.window,
        htk=spec.mel_scale == "htk",
        norm=spec.mel_norm,
        pad_mode=spec.pad_mode,
    ).T
    if spec.compression == "clip":
        return np.log(np.maximum(mel, spec.eps))
    return np.log(mel + spec.eps) if spec.compression == "offset" else mel


def ours(audio: np.ndarray, spec: MelSpec) -> np.ndarray:
    return np.asarray(MelSpectrogram(spec)(audio[None])[0])


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("samples", [20_001, 8192, 3001])
def test_equals_librosa(name, samples):
    spec = SPECS[name]
    audio = chirp(spec, samples)
    expected = by_librosa(audio, spec)
    assert ours(audio, spec).shape == expected.shape == (spec.num_frames(samples), spec.n_mels)
    assert np.abs(ours(audio, spec) - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["conditioning", "dvae", "coqui_speaker"])
def test_equals_torchaudio(name):
    torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")
    transforms = pytest.importorskip("torchaudio.transforms", reason="no torchaudio")
    spec = SPECS[name]
    audio = torch.from_numpy(chirp(spec))
    if spec.preemphasis:
        padded = torch.nn.functional.pad(audio[None, None], (1, 0), "reflect")[0, 0]
        audio = audio - spec.preemphasis * padded[:-1]
    window = {"hann": torch.hann_window, "hamming": torch.hamming_window}[spec.window]
    mel = transforms.MelSpectrogram(
        sample_rate=spec.sample_rate,
        n_fft=spec.n_fft,
        win_length=spec.win_length,
        hop_length=spec.hop_length,
        n_mels=spec.n_mels,
        f_min=spec.f_min,
        f_max=spec.f_max,
        power=2.0,
        norm=spec.mel_norm,
        mel_scale=spec.mel_scale,
        window_fn=window,
    )(audio).T
    clip = spec.compression == "clip"
    expected = (mel.clamp(min=spec.eps) if clip else mel + spec.eps).log().numpy()
    assert np.abs(ours(chirp(spec), spec) - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["conditioning", "dvae", "coqui_speaker"])
def test_equals_librosa_on_speech(name, shared_data):
    spec = SPECS[name]
    path = sorted((shared_data / "libritts_mini" / "dev").rglob("*.flac"))[0]
    audio = read_audio(path, spec.sample_rate)[0][:50_001]
    expected = by_librosa(audio, spec)
    assert np.abs(ours(audio, spec) - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("change", [{"hop_length": 257}, {"f_max": 7600.0}, {"mel_norm": None}])
def test_another_front_end_would_be_noticed(change):
    audio = chirp(XTTS_DVAE)
    expected = by_librosa(audio, XTTS_DVAE)
    got = ours(audio, dataclasses.replace(XTTS_DVAE, **change))
    size = min(len(expected), len(got))
    assert np.abs(got[:size] - expected[:size]).max() > 1e-2


@pytest.mark.parametrize("name", SPECS)
def test_padding_changes_no_valid_frame(name):
    spec = SPECS[name]
    clips = [chirp(spec, size) for size in (9001, 12_345)]
    batch = np.zeros((2, 16_000), "float32")
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    batch[0, 9001:] = 0.3
    mels = MelSpectrogram(spec)(batch, np.array([9001, 12_345]))
    for mel, clip in zip(mels, clips, strict=True):
        expected = ours(clip, spec)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(mel[: len(expected)], expected, atol=1e-5 * scale)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("padding", [1, 99, 300, 1023])
def test_padding_shorter_than_half_a_frame_changes_no_valid_frame(name, padding):
    """The row's reflection must not be the reflection of the padded batch."""
    spec = SPECS[name]
    clip = chirp(spec, 9001)
    expected = ours(clip, spec)
    padded = np.pad(clip, (0, padding), constant_values=0.3)
    got = np.asarray(MelSpectrogram(spec)(padded[None], np.array([9001]))[0])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(got[: len(expected)], expected, atol=1e-5 * scale)


@pytest.mark.parametrize("samples", [200, 700, 1024])
def test_row_shorter_than_half_a_frame_is_reflected_as_librosa_does(samples):
    clip = chirp(XTTS_CONDITIONING, samples)
    with pytest.warns(UserWarning, match="too large"):
        expected = by_librosa(clip, XTTS_CONDITIONING)
    batch = np.pad(clip, (0, 3000))[None]
    got = np.asarray(MelSpectrogram(XTTS_CONDITIONING)(batch, np.array([samples]))[0])
    np.testing.assert_allclose(got[: len(expected)], expected, atol=1e-3)


@pytest.mark.parametrize("name", ["conditioning", "dvae", "coqui_speaker"])
def test_too_short_audio_is_named(name):
    half = SPECS[name].n_fft // 2
    with pytest.raises(AudioError, match=f"{half} samples are too few"):
        ours(chirp(SPECS[name], half), SPECS[name])
    assert np.isfinite(ours(chirp(SPECS[name], half + 1), SPECS[name])).all()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_one_graph_takes_any_batch_and_length(name, compiled):
    layer = MelSpectrogram(SPECS[name])
    signature = [tf.TensorSpec((None, None)), tf.TensorSpec((None,), "int32")]
    graph = tf.function(lambda a, n: layer(a, n), signature, jit_compile=compiled)
    plain = tf.function(layer, [tf.TensorSpec((None, None))], jit_compile=compiled)
    for batch, samples in ((1, 4001), (3, 5000)):
        audio = np.stack([chirp(SPECS[name], samples)] * batch)
        expected = ours(audio[0], SPECS[name])
        scale = np.abs(expected).max()
        whole = np.full(batch, samples, "int32")
        for mels in (graph(audio, whole), plain(audio)):
            assert mels.shape == (batch, *expected.shape)
            np.testing.assert_allclose(mels[-1], expected, atol=1e-4 * scale)


def test_runs_in_a_compiled_graph_and_passes_gradients():
    layer = MelSpectrogram(XTTS_DVAE)
    audio = tf.constant(chirp(XTTS_DVAE, 8000)[None])

    @tf.function(jit_compile=True)
    def gradient(wave):
        with tf.GradientTape() as tape:
            tape.watch(wave)
            loss = tf.reduce_mean(layer(wave))
        return tape.gradient(loss, wave)

    value = gradient(audio)
    assert np.isfinite(value).all()
    assert np.abs(value).max() > 0


@pytest.mark.parametrize("with_lengths", [False, True])
def test_gradient_equals_the_finite_difference(with_lengths):
    layer = MelSpectrogram(XTTS_DVAE)
    audio = chirp(XTTS_DVAE, 3001)[None]
    lengths = np.array([2800]) if with_lengths else None
    direction = np.random.default_rng(3).normal(size=audio.shape).astype("float32")

    def loss(wave):
        return tf.reduce_mean(layer(wave, lengths)[:, :11])

    wave = tf.constant(audio)
    with tf.GradientTape() as tape:
        tape.watch(wave)
        value = loss(wave)
    slope = float(np.sum(tape.gradient(value, wave) * direction))
    step = 1e-4
    measured = float(loss(audio + step * direction) - loss(audio - step * direction)) / (2 * step)
    assert slope == pytest.approx(measured, rel=0.02)


def test_mixed_precision_does_not_touch_the_front_end():
    audio = chirp(XTTS_DVAE)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mel = MelSpectrogram(XTTS_DVAE)(audio[None])
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(mel.dtype) == "float32"
    np.testing.assert_array_equal(mel[0], ours(audio, XTTS_DVAE))


def test_layer_survives_its_config():
    layer = MelSpectrogram(COQUI_SPEAKER, name="mel")
    assert MelSpectrogram.from_config(layer.get_config()).spec == COQUI_SPEAKER


def test_norm_divides_every_channel():
    layer = MelNorm(3)
    layer.build()
    layer.mel_stats.assign([1.0, 2.0, 4.0])
    np.testing.assert_allclose(layer(np.ones((1, 2, 3)))[0, 0], [1, 0.5, 0.25])
