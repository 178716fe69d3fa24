"""The decoder's lengths, interpolation, reach in time and independence of the batch."""

import math
from fractions import Fraction

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.models.hifigan import HifiDecoder, interpolate
from myxtts.timing import RATE_RATIO

SAMPLES_PER_LATENT = 1024 * 24_000 / 22_050


def make(**changes) -> HifiDecoder:
    keras.utils.set_random_seed(0)
    decoder = HifiDecoder(8, 4, 16, **({"resblock_kernels": (3,), "resblock_dilations": (1, 3)}
                                       | changes))  # fmt: skip
    decoder.build()
    return decoder


def draw(length: int, rows: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(rows, length, 8)).astype("float32")
    return latents, rng.normal(size=(rows, 4)).astype("float32")


# 147 latents are the shortest whose frames at 24 kHz come out whole.
@pytest.mark.parametrize("length", [1, 2, 9, 147])
def test_samples_follow_from_the_number_of_latents(length):
    decoder = make()
    waveform = decoder(*draw(length))
    samples = 256 * math.floor(4 * length * 24_000 / 22_050)
    assert waveform.shape == (2, samples)
    assert decoder.output_length(length) == samples


def test_a_latent_lasts_46_milliseconds():
    assert make().output_length(1470) / 1470 / 24_000 == pytest.approx(0.04644, abs=1e-5)


def test_interpolation_maps_centres_of_samples():
    ramp = np.arange(3, dtype="float32")[None, :, None]
    doubled = np.asarray(interpolate(ramp, Fraction(2)))[0, :, 0]
    np.testing.assert_allclose(doubled, [0, 0.25, 0.75, 1.25, 1.75, 2])


# Up to eleven, the second scale gives no more frames than it gets.
@pytest.mark.parametrize("length", [1, 4, 8, 11, 12, 37, 588])
def test_interpolation_equals_torchs(length):
    torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")
    inputs = np.random.default_rng(0).normal(size=(2, length, 3)).astype("float32")
    channels_first = torch.from_numpy(inputs).transpose(1, 2)
    for scale in (Fraction(4), RATE_RATIO):
        theirs = torch.nn.functional.interpolate(
            channels_first, scale_factor=[float(scale)], mode="linear"
        )
        np.testing.assert_allclose(
            interpolate(inputs, scale), theirs.transpose(1, 2), rtol=0, atol=3e-4
        )


def test_an_input_too_short_to_grow_is_handed_back():
    inputs = draw(8)[0]
    np.testing.assert_array_equal(interpolate(inputs, RATE_RATIO), inputs)


def test_the_ratio_of_lengths_would_be_another_interpolation():
    ramp = np.arange(37, dtype="float32")
    ours = np.asarray(interpolate(ramp[None, :, None], RATE_RATIO))[0, :, 0]
    by_lengths = (np.arange(len(ours)) + 0.5) * len(ramp) / len(ours) - 0.5
    assert np.max(np.abs(ours - np.clip(by_lengths, 0, 36))) > 0.05


def test_a_batch_equals_its_singles():
    decoder = make()
    latents, speakers = draw(6, rows=3)
    together = np.asarray(decoder(latents, speakers))
    for row in range(3):
        alone = decoder(latents[row : row + 1], speakers[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)


def test_frames_behind_a_rows_length_change_nothing():
    decoder = make()
    latents, speakers = draw(12)
    frames = np.array(decoder.frames(latents))
    lengths = np.array([52, 31], "int32")
    frames[1, 31:] = 7.0
    waveform = decoder.vocode(frames, speakers, lengths)
    for row, length in enumerate(lengths):
        alone = decoder.vocode(frames[row : row + 1, :length], speakers[row : row + 1])
        np.testing.assert_allclose(waveform[row, : 256 * length], alone[0], atol=2e-6)


def test_the_speaker_is_heard_at_every_stage():
    decoder = make()
    latents, speakers = draw(4)
    for layer in (decoder.cond_pre, *decoder.conds):
        before = np.asarray(decoder(latents, speakers))
        layer.kernel.assign(layer.kernel + 0.5)
        assert np.max(np.abs(np.asarray(decoder(latents, speakers)) - before)) > 1e-6, layer.name


def test_a_latent_reaches_less_than_five_latents_far():
    decoder = make(resblock_kernels=(3, 7, 11), resblock_dilations=(1, 3, 5))
    latents, speakers = draw(20, rows=1)
    before = np.asarray(decoder(latents, speakers))[0]
    latents[0, 10] += 1.0
    changed = np.nonzero(np.asarray(decoder(latents, speakers))[0] != before)[0]
    assert changed[0] > (10 - 5) * SAMPLES_PER_LATENT
    assert changed[-1] < (11 + 5) * SAMPLES_PER_LATENT
    assert changed[-1] - changed[0] > SAMPLES_PER_LATENT


def test_one_graph_serves_every_length():
    decoder = make()
    dynamic = tf.function(
        decoder,
        input_signature=[tf.TensorSpec((None, None, 8)), tf.TensorSpec((None, 4))],
    )
    for length in (3, 8):
        inputs = draw(length)
        np.testing.assert_allclose(dynamic(*inputs), decoder(*inputs), atol=1e-6)


def test_compiled_by_xla_it_says_the_same():
    decoder = make(resblock_dilations=(1,))
    inputs = draw(5)
    compiled = tf.function(decoder, jit_compile=True)
    np.testing.assert_allclose(compiled(*inputs), decoder(*inputs), atol=1e-5)


def test_config_gives_the_same_decoder_back():
    decoder = make()
    again = HifiDecoder.from_config(decoder.get_config())
    again.build()
    paths = [[weight.path for weight in item.weights] for item in (decoder, again)]
    assert paths[0] == paths[1]
    assert len(set(paths[0])) == len(paths[0])


@pytest.mark.parametrize("spectra_hop", [0, 4])
def test_without_a_speaker_padding_changes_nothing(spectra_hop):
    decoder = HifiDecoder(8, 0, 16, (5, 2), (10, 4), (3,), (1, 3), spectra_hop=spectra_hop)
    decoder.build()
    assert not any("cond" in item.path for item in decoder.weights)
    frames = np.random.default_rng(0).normal(size=(2, 20, 8)).astype("float32")
    hop = 10 * max(spectra_hop, 1)
    whole = np.asarray(decoder.vocode(frames, lengths=np.array([20, 13], "int32")))
    alone = np.asarray(decoder.vocode(frames[1:, :13]))
    assert whole.shape == (2, 20 * hop)
    np.testing.assert_allclose(whole[1, : 13 * hop], alone[0], atol=1e-5)
    reach = decoder.receptive_field
    changed = frames[:1].copy()
    changed[:, 15:] += 1.0
    same = np.asarray(decoder.vocode(changed))[0, : (15 - reach) * hop]
    np.testing.assert_allclose(same, whole[0, : (15 - reach) * hop], atol=1e-5)
    assert reach < 15
