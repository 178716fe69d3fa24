"""WAV files are heard in a graph as they are in Python."""

import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from myxtts.audio.resample import SincResampler
from myxtts.serving.graph.wav import GraphWav

RATE = 22_050


@pytest.fixture(scope="module")
def hear():
    wav = GraphWav(RATE, 3.0)
    return tf.function(wav, input_signature=(tf.TensorSpec((None,), "string"),), autograph=False)


def content(audio, rate, **options):
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format="WAV", **({"subtype": "PCM_16"} | options))
    return file.getvalue()


def noise(seconds, rate, channels=1):
    samples = (int(seconds * rate), channels)
    audio = np.random.default_rng(0).normal(size=samples).clip(-3, 3) / 4
    return np.round(audio * 2**15) / 2**15


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000])
def test_every_rate_is_resampled_as_by_the_layer(hear, rate):
    audio = noise(0.7, rate)
    found, lengths = hear(tf.constant([content(audio, rate)]))
    expected = SincResampler(rate, RATE)(audio.T.astype("float32"))
    assert lengths[0] == expected.shape[1]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_batch_of_files_is_padded(hear):
    files = [content(noise(0.5, 44_100), 44_100), content(noise(1.0, RATE), RATE)]
    found, lengths = hear(tf.constant(files))
    assert lengths.numpy().tolist() == [11_025, 22_050]
    assert found.shape == (2, 22_050)
    assert not np.any(found[0, 11_025:])


def test_channels_are_mixed_and_long_files_are_cut(hear):
    audio = noise(4.0, RATE, channels=2)
    found, lengths = hear(tf.constant([content(audio, RATE)]))
    assert lengths[0] == 3 * RATE
    np.testing.assert_allclose(found[0], audio[: 3 * RATE].mean(axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (b"", "wav_bytes is no WAV file"),
        (b"no wav at all, but as long as one's head", "wav_bytes is no WAV file"),
        (content(noise(0.1, RATE), RATE, subtype="PCM_24"), "16-bit|16 bit|bits per sample"),
        (content(noise(0.1, 1_000), 1_000), "must be 4000 to 384000 Hz"),
    ],
)
def test_other_files_are_refused(hear, given, sentence):
    with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
        hear(tf.constant([given]))
