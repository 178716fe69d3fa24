"""What a decoder is trained on is what it says when it speaks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.models.istft_decoder import IstftDecoder
from myxtts.training.segments import (
    SAMPLES_PER_CODE,
    BareSegments,
    SegmentsInContext,
    frames_of,
    samples_before,
    windows,
)

RNG = np.random.default_rng(0)
SPEAKER = RNG.normal(size=(1, 4)).astype("float32")


@pytest.fixture(scope="module")
def decoder():
    keras.utils.set_random_seed(0)
    sizes = {"dim": 12, "code_blocks": 2, "code_lookahead": 1, "frame_blocks": 2}
    decoder = IstftDecoder(8, 4, **sizes, frame_lookahead=3)
    decoder.build()
    return decoder


def cut(segments, latents, start: int, wave):
    rows = (np.array([start], "int32"), latents, np.array([latents.shape[1]], "int32"))
    return segments.cut(*rows, wave, np.array([wave.shape[1]], "int32"))


@pytest.mark.parametrize(("length", "start"), [(60, 0), (60, 3), (60, 30), (60, 55), (9, 2)])
def test_a_segment_is_a_part_of_the_utterance_as_it_is_spoken(decoder, length, start):
    segments = SegmentsInContext(decoder, 5)
    latents = RNG.normal(size=(1, length, 8)).astype("float32")
    wave = np.arange(decoder.output_length(length), dtype="float32")[None]
    inputs, compared = cut(segments, latents, start, wave)
    spoken = np.asarray(segments.speak(inputs, SPEAKER)[0])[0]
    begin = max(0, min(start - segments.before, length - segments.codes))
    # From there on the utterance falls on frames as the window does.
    whole = np.asarray(decoder.unclipped(decoder.frames(latents[:, begin:], SPEAKER), SPEAKER))[0]
    first = 256 * frames_of(start - begin)
    expected = whole[first : first + segments.samples]
    heard = int(inputs[3][0])
    assert heard > 0.8 * segments.samples
    # An utterance shorter than the window ends between latents and padding.
    edge = heard if length > segments.codes else heard - 1024
    np.testing.assert_allclose(spoken[:edge], expected[:edge], atol=1e-5)
    assert not spoken[heard:].any()
    assert int(compared[0, 0]) == int(samples_before(np.array([begin]))[0]) + first
    assert abs(float(compared[0, 0]) - start * SAMPLES_PER_CODE) < 257


def test_bare_segments_stand_alone(decoder):
    segments = BareSegments(decoder, 5)
    latents = RNG.normal(size=(1, 30, 8)).astype("float32")
    wave = np.arange(decoder.output_length(30), dtype="float32")[None]
    inputs, compared = cut(segments, latents, 7, wave)
    np.testing.assert_array_equal(inputs[0], latents[:, 7:12])
    assert compared.shape == (1, decoder.output_length(5))
    assert int(compared[0, 0]) == round(7 * SAMPLES_PER_CODE)
    expected = decoder(latents[:, 7:12], SPEAKER)
    np.testing.assert_array_equal(segments.speak(inputs, SPEAKER)[0], expected)


def test_windows_end_in_silence():
    values = tf.constant([[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(windows(values, tf.constant([1]), 4), [[2, 3, 0, 0]])
