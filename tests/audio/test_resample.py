"""The resampling layer equals torchaudio's default."""

import keras
import numpy as np
import pytest
import tensorflow as tf

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


@pytest.mark.parametrize("compiled", [False, True])
def test_one_graph_takes_any_batch_and_length(compiled):
    layer = SincResampler(22_050, 16_000)
    graph = tf.function(layer, [tf.TensorSpec((None, None))], jit_compile=compiled)
    for batch, samples in ((1, 1001), (3, 2000)):
        audio = np.random.default_rng(0).normal(size=(batch, samples)).astype("float32")
        np.testing.assert_allclose(graph(audio), layer(audio), atol=1e-5)


def test_padding_changes_nothing_before_the_end():
    layer = SincResampler(22_050, 16_000)
    audio = np.random.default_rng(0).normal(size=(1, 3001)).astype("float32")
    alone = np.asarray(layer(audio))
    padded = np.asarray(layer(np.pad(audio, ((0, 0), (0, 777)))))
    np.testing.assert_allclose(padded[:, : alone.shape[1]], alone, atol=1e-6)


def test_mixed_precision_does_not_touch_it_and_config_keeps_it():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = SincResampler(24_000, 22_050, name="resampler")
        audio = layer(np.ones((1, 100), "float32"))
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(audio.dtype) == "float32"
    again = SincResampler.from_config(layer.get_config())
    assert (again.name, again.from_rate, again.to_rate) == ("resampler", 24_000, 22_050)


def test_equal_rates_change_nothing():
    audio = np.ones((1, 5), "float32")
    np.testing.assert_array_equal(SincResampler(8000, 8000)(audio), audio)


@pytest.mark.parametrize("samples", [1, 440, 441, 442, 10_000])
def test_length_is_rounded_up(samples):
    assert resampled_length(samples, 22_050, 16_000) == -(-samples * 320 // 441)
