"""The decoder by inverse Fourier transform: lengths, reach in time, edges, independence."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.config import XTTSConfig
from myxtts.decoder_config import IstftConfig
from myxtts.models.decoder import make_decoder
from myxtts.models.hifigan import HifiDecoder
from myxtts.models.istft_decoder import IstftDecoder
from myxtts.settings import to_dict
from myxtts.timing import FRAMES_PER_CODE, HOP_LENGTH, RATE_RATIO

SIZES = {
    "dim": 12,
    "code_blocks": 2,
    "code_lookahead": 1,
    "frame_blocks": 2,
    "frame_kernel": 5,
    "frame_lookahead": 3,
    "n_fft": 1024,
}


def make(**changes) -> IstftDecoder:
    """A small decoder with weights that let everything be heard."""
    keras.utils.set_random_seed(0)
    decoder = IstftDecoder(8, 4, **(SIZES | changes))
    decoder.build()
    rng = np.random.default_rng(1)
    for weight in decoder.trainable_variables:
        if weight.path.split("/")[-2].startswith("cond"):
            weight.assign(rng.normal(size=weight.shape, scale=0.3))
    return decoder


def draw(length: int, rows: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(rows, length, 8)).astype("float32")
    return latents, rng.normal(size=(rows, 4)).astype("float32")


@pytest.mark.parametrize("length", [1, 2, 9, 147])
@pytest.mark.parametrize("hop", [64, 256])
def test_lengths_are_hifigans(length, hop):
    decoder, other = make(hop=hop), HifiDecoder(8, 4, 16)
    waveform = decoder(*draw(length))
    assert waveform.shape == (2, other.output_length(length))
    assert decoder.output_length(length) == other.output_length(length)


def test_the_default_is_small_and_hears_little_of_what_comes():
    settings = {"model": {"decoder": {"kind": "istft"}, "gpt": {"model_dim": 256, "heads": 4}}}
    config = XTTSConfig().merged(settings | {"model": settings["model"] | {
        "speaker": {"embedding_dim": 256}}}).model  # fmt: skip
    decoder = make_decoder(config)
    decoder.build()
    assert decoder.count_params() < 6e6
    ahead = decoder.unsettled / FRAMES_PER_CODE + decoder.lookahead / (FRAMES_PER_CODE * RATE_RATIO)
    # Codes of 46 ms that a stream waits for.
    assert ahead < 5.2


def test_the_configuration_has_the_decoders_sizes():
    decoder = IstftDecoder(8, 4)
    assert {name: decoder.get_config()[name] for name in to_dict(IstftConfig())} == to_dict(
        IstftConfig()
    )


def test_a_latent_reaches_as_far_as_it_says_and_no_farther():
    decoder = make()
    latents, speakers = draw(60, rows=1)
    before = np.asarray(decoder(latents, speakers))[0]
    latents[0, 30] += 1.0
    changed = np.nonzero(np.asarray(decoder(latents, speakers))[0] != before)[0]
    # Those behind a frame hear the latent as its past, those before it as its future.
    first = 4 * (30 - decoder.code_lookahead) * RATE_RATIO - 1 - decoder.lookahead
    last = 4 * (31 + decoder.latents_behind) * RATE_RATIO + 1 + decoder.receptive_field
    assert first * HOP_LENGTH <= changed[0] < (first + 2 + 7 - 5) * HOP_LENGTH
    assert (last - 3) * HOP_LENGTH < changed[-1] <= last * HOP_LENGTH


def test_a_batch_equals_its_singles():
    decoder = make()
    latents, speakers = draw(6, rows=3)
    together = np.asarray(decoder(latents, speakers))
    for row in range(3):
        alone = decoder(latents[row : row + 1], speakers[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)


@pytest.mark.parametrize("hop", [128, 256])
def test_what_is_behind_a_rows_length_changes_nothing(hop):
    decoder = make(hop=hop)
    latents, speakers = draw(12)
    frames = np.array(decoder.frames(latents, speakers))
    lengths = np.array([52, 31], "int32")
    frames[1, 31:] = 7.0
    waveform = decoder.vocode(frames, speakers, lengths)
    for row, length in enumerate(lengths):
        alone = decoder.vocode(frames[row : row + 1, :length], speakers[row : row + 1])
        np.testing.assert_allclose(waveform[row, : 256 * length], alone[0], atol=1e-6)


def test_latents_behind_a_rows_length_change_nothing():
    decoder = make()
    latents, speakers = draw(20)
    alone = np.asarray(decoder.frames(latents[:, :15], speakers))
    latents[:, 15:] = 7.0
    padded = np.asarray(decoder.frames(latents, speakers, lengths=np.array([15, 15], "int32")))
    # The last frame lies between a row's last latent and its padding.
    np.testing.assert_allclose(padded[:, : alone.shape[1] - 1], alone[:, :-1], atol=1e-6)


def test_the_speaker_is_heard_at_every_block():
    decoder = make()
    latents, speakers = draw(4)
    for layer in (decoder.speaker_in, *decoder.conds):
        before = np.asarray(decoder(latents, speakers))
        layer.kernel.assign(layer.kernel + 0.5)
        assert np.max(np.abs(np.asarray(decoder(latents, speakers)) - before)) > 1e-6, layer.name


def test_whatever_the_latents_the_waveform_is_finite_and_within_one():
    decoder = make()
    latents, speakers = draw(6)
    decoder.head.bias.assign(decoder.head.bias + 1e4)
    waveform = np.asarray(decoder(1e6 * latents, 1e6 * speakers))
    assert np.isfinite(waveform).all()
    assert np.abs(waveform).max() == 1


@pytest.mark.parametrize("compiled", [False, True])
def test_shifted_products_are_the_depthwise_convolution(compiled):
    decoder = make()
    inputs = draw(5)
    expected = np.asarray(decoder(*inputs))
    decoder.shift(True)
    found = tf.function(decoder, jit_compile=compiled)(*inputs)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_one_graph_serves_every_length():
    decoder = make()
    dynamic = tf.function(
        decoder, input_signature=[tf.TensorSpec((None, None, 8)), tf.TensorSpec((None, 4))]
    )
    for length in (3, 8):
        inputs = draw(length)
        np.testing.assert_allclose(dynamic(*inputs), decoder(*inputs), atol=1e-6)


def test_gradients_reach_every_weight():
    decoder = make()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(decoder.unclipped(decoder.frames(*draw(8)), draw(8)[1])))
    values = [weight.value for weight in decoder.trainable_variables]
    for weight, gradient in zip(values, tape.gradient(loss, values), strict=True):
        assert np.isfinite(gradient).all() and np.any(gradient != 0), weight.name
