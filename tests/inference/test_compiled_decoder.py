"""The compiled decoder makes the waveform of the decoder that TensorFlow computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.models.hifigan import HifiDecoder
from myxtts.models.istft_decoder import IstftDecoder

pytest.importorskip("numba", reason="numba, of the int8 engine, is not installed")

from myxtts.inference import convolution_kernels as kernels
from myxtts.inference.compiled_decoder import CompiledDecoder, can_compile, decoding, vocode_of
from myxtts.inference.streaming import StreamingVocoder

SLOPE = np.float32(0.1)


def make_decoder(**sizes) -> HifiDecoder:
    keras.utils.set_random_seed(3)
    decoder = HifiDecoder(24, 8, **({"initial_channels": 256} | sizes))
    decoder.build()
    rng = np.random.default_rng(0)
    for variable in decoder.trainable_variables:
        if len(variable.shape) == 1:
            variable.assign(rng.normal(0, 0.1, variable.shape))
    return decoder


@pytest.fixture(scope="module")
def decoder() -> HifiDecoder:
    return make_decoder()


@pytest.fixture(scope="module")
def compiled(decoder) -> CompiledDecoder:
    return CompiledDecoder(decoder)


def convolved(inputs, weights, bias, dilation):
    """By all its products, in float64."""
    heard = np.where(inputs > 0, inputs, SLOPE * inputs).astype("float64")
    reach = len(weights) // 2 * dilation
    heard = np.pad(heard, [(reach, reach), (0, 0)])
    taps = [heard[k * dilation :][: len(inputs)] @ weights[k] for k in range(len(weights))]
    return sum(taps) + bias


@pytest.mark.parametrize("taps", [3, 7, 11])
@pytest.mark.parametrize("outputs", [3, 4])
def test_transforms_are_exact(taps, outputs):
    forth, there, back = kernels.transforms(outputs, 4)
    rng = np.random.default_rng(taps)
    kernel, inputs = rng.normal(size=4), rng.normal(size=outputs + 3)
    wanted = [inputs[place : place + 4] @ kernel for place in range(outputs)]
    np.testing.assert_allclose(back @ ((there @ kernel) * (forth @ inputs)), wanted, atol=1e-12)


@pytest.mark.parametrize("taps", [1, 3, 5, 7, 11])
@pytest.mark.parametrize("dilation", [1, 3, 5])
@pytest.mark.parametrize("steps", [1, 7, 500])
def test_a_convolution_is_that_by_all_its_products(taps, dilation, steps):
    rng = np.random.default_rng(steps)
    inputs = rng.normal(size=(steps, 16)).astype("float32")
    weights, bias = rng.normal(size=(taps, 16, 32)), rng.normal(size=32)
    wanted = convolved(inputs, weights, bias, dilation)
    old = rng.normal(size=(steps, 32)).astype("float32")
    kernel = kernels.make_kernel(weights, bias, dilation)
    results = {kernels.STORED: wanted, kernels.ADDED: old + wanted}
    results[kernels.AVERAGED] = 1 + 0.25 * (old + wanted)
    for kind, result in results.items():
        made = np.ones((steps, 32), "float32")
        kernels.convolve(inputs, kernel, SLOPE, old, made, kind, np.float32(0.25))
        assert np.abs(made - result).max() <= 1e-5 * np.abs(result).max()


@pytest.mark.parametrize("frames", [1, 2, 37])
def test_waveform_is_tensorflows(decoder, compiled, frames):
    rng = np.random.default_rng(frames)
    inputs = rng.normal(size=(2, frames, 24)).astype("float32")
    speakers = rng.normal(size=(2, 8)).astype("float32")
    wanted = np.asarray(decoder.vocode(inputs, speakers))
    made = tf.function(compiled.vocode)(inputs, speakers).numpy()
    assert made.shape == wanted.shape
    assert np.abs(made - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_other_sizes_are_tensorflows_too():
    sizes = {"initial_channels": 128, "upsample_rates": (8, 16, 2), "upsample_kernels": (17, 16, 5)}
    decoder = make_decoder(**sizes, resblock_kernels=(5,), resblock_dilations=(1, 2))
    inputs = np.random.default_rng(0).normal(size=(1, 9, 24)).astype("float32")
    speakers = np.ones((1, 8), "float32")
    wanted = np.asarray(decoder.vocode(inputs, speakers))
    made = np.asarray(CompiledDecoder(decoder, threads=1).vocode(inputs, speakers))
    assert np.abs(made - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_a_stream_is_the_whole(decoder, compiled):
    latents = np.random.default_rng(1).normal(size=(40, 24)).astype("float32")
    speaker = np.ones((1, 8), "float32")
    vocoder = StreamingVocoder(decoder, vocode=compiled.vocode)
    state, pieces = vocoder.start(), []
    for first in range(0, 40, 8):
        final = first == 32
        samples, state = vocoder.push(state, latents[first : first + 8], speaker, final)
        pieces.append(samples)
    wanted = np.asarray(decoder(latents[None], speaker))[0]
    assert np.abs(np.concatenate(pieces) - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize(
    "sizes",
    [{"initial_channels": 64}, {"resblock_kernels": (4, 7)}, {"resblock_dilations": (1, 7)}],
)
def test_sizes_without_compiled_code_are_left_to_tensorflow(sizes):
    decoder = make_decoder(**sizes)
    assert not can_compile(decoder)
    assert vocode_of(decoder, "int8") is None


def test_the_engine_chooses(decoder):
    assert vocode_of(decoder, "tensorflow") is None
    assert decoding(decoder, None) is decoder
    vocode = vocode_of(decoder, "int8")
    latents, speaker = np.ones((1, 3, 24), "float32"), np.ones((1, 8), "float32")
    wanted = np.asarray(decoder(latents, speaker))
    made = np.asarray(decoding(decoder, vocode)(latents, speaker))
    assert np.abs(made - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert not can_compile(object.__new__(IstftDecoder))
