"""The source of the istft decoder: harmonics where the pitch is, noise, and no seam in a stream."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.inference.streaming import StreamingVocoder
from myxtts.models.harmonic_source import (
    HIGHEST_HZ,
    frequency,
    harmonics,
    noise,
    octaves_of,
    source_channels,
)
from myxtts.models.istft_decoder import IstftDecoder
from myxtts.timing import HOP_LENGTH, OUTPUT_RATE

F0 = np.array([[0.0, 100.0, 120.0, 130.0, 0.0, 0.0, 200.0, 210.0, 450.0]], "float32")


def make(**changes) -> IstftDecoder:
    keras.utils.set_random_seed(0)
    sizes = {"dim": 12, "code_blocks": 2, "code_lookahead": 1, "frame_blocks": 2}
    decoder = IstftDecoder(8, 4, **(sizes | {"frame_lookahead": 3} | changes), source="harmonic")
    decoder.build()
    head = decoder.pitch_head
    head.out.kernel.assign(10 * head.out.kernel)
    # Voiced here and there.
    latents, speaker = draw(60)
    logits = np.asarray(head(decoder.hidden(latents), speaker)[1])
    head.out.bias.assign([0.0, -np.median(logits)])
    return decoder


def draw(length: int, rows: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(rows, length, 8)).astype("float32")
    return latents, rng.normal(size=(rows, 4)).astype("float32")


def test_harmonics_are_the_sum_of_their_cosines():
    phase, expected = 0.0, []
    for hertz in F0[0].astype("float64"):
        times = np.arange(HOP_LENGTH) / OUTPUT_RATE
        count = int(HIGHEST_HZ // hertz) if hertz else 0
        cosines = [np.cos(2 * np.pi * k * (phase + hertz * times)) for k in range(1, count + 1)]
        expected.append(np.sqrt(2 / max(count, 1)) * sum(cosines, np.zeros(HOP_LENGTH)))
        phase += hertz * HOP_LENGTH / OUTPUT_RATE
    found = np.asarray(harmonics(source_channels(F0)))[0]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=3e-3)


def test_harmonics_and_noise_have_the_power_of_one():
    channels = source_channels(np.full((1, 200), 173.0, "float32"))
    for wave in (harmonics(channels), noise(channels)):
        assert np.mean(np.square(wave)) == pytest.approx(1.0, abs=0.03)


def test_a_pitch_survives_octaves():
    octaves = np.asarray(octaves_of(F0))
    np.testing.assert_allclose(frequency(octaves, np.where(F0 > 0, 1.0, -1.0)), F0, rtol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"hop": 128}])
def test_a_stream_is_the_whole(changes):
    decoder = make(**changes)
    latents, speaker = draw(60)
    whole = np.asarray(decoder(latents, speaker))[0]
    voiced = np.asarray(decoder.frames(latents, speaker))[0, :, decoder.dim] > 0
    assert 0.1 < voiced.mean() < 0.98
    for size in (1, 7, 25):
        vocoder = StreamingVocoder(decoder)
        state, pieces = vocoder.start(), []
        for start in range(0, 60, size):
            piece = latents[0, start : start + size]
            wave, state = vocoder.push(state, piece, speaker, start + size >= 60)
            pieces.append(wave)
        # A rounding of the pitch is heard a hundred times in the hundredth harmonic: where a
        # pulse rises, that moves a sample here and there.
        joined = np.concatenate(pieces)
        np.testing.assert_allclose(joined, whole, atol=2e-2)
        assert np.sqrt(np.mean(np.square(joined - whole))) < 5e-4


def test_what_is_behind_a_rows_length_changes_nothing():
    decoder = make()
    latents, speakers = draw(12, rows=2)
    frames = np.array(decoder.frames(latents, speakers))
    lengths = np.array([52, 31], "int32")
    frames[1, 31:] = 7.0
    waveform = decoder.vocode(frames, speakers, lengths)
    for row, length in enumerate(lengths):
        alone = decoder.vocode(frames[row : row + 1, :length], speakers[row : row + 1])
        np.testing.assert_allclose(waveform[row, : 256 * length], alone[0], atol=1e-5)


def test_the_speech_has_the_pitch_that_is_predicted():
    decoder = make()
    layer = decoder.pitch_head.out
    layer.kernel.assign(tf.zeros_like(layer.kernel))
    layer.bias.assign([float(octaves_of(np.float32(220.0))), 1.0])
    wave = np.asarray(decoder(*draw(40)))[0]
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / OUTPUT_RATE)
    near = np.abs(hertz / 220.0 - np.round(hertz / 220.0)) < 0.05
    low = (hertz > 150) & (hertz < 5000)
    assert power[near & low].sum() > 0.9 * power[low].sum()


def test_the_configuration_is_kept():
    decoder = make()
    again = IstftDecoder.from_config(decoder.get_config())
    again.build()
    assert [w.shape for w in again.weights] == [w.shape for w in decoder.weights]


def test_gradients_reach_every_weight_but_those_of_the_pitch():
    decoder = make()
    latents, speaker = draw(8)
    with tf.GradientTape() as tape:
        frames = decoder.frames(latents, speaker)
        loss = tf.reduce_mean(tf.square(decoder.unclipped(frames, speaker)))
    values = [weight.value for weight in decoder.trainable_variables if "pitch" not in weight.path]
    for weight, gradient in zip(values, tape.gradient(loss, values), strict=True):
        assert np.isfinite(gradient).all(), weight.name
