"""The HiFi-GAN decoder by convolutions in half the multiplications, beside TensorFlow's graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from myxtts.inference.int8_engine import choose_threads, load_kernels, locked, warm_up
from myxtts.models.decoder import Decoder
from myxtts.models.hifigan import FINAL_LEAK, LEAK, HifiDecoder

# None is too narrow for all threads.
WIDEST = 1024


class Upsampling(NamedTuple):
    """A transposed convolution as a plain one, whose outputs are neighbours in time.

    Attributes:
        weights: packed, ``rate * channels`` outputs.
        bias: ``(channels,)``.
        taps: of the plain convolution.
        rate: steps of a step.
        cut: steps before the first that is wanted.
    """

    weights: np.ndarray
    bias: np.ndarray
    taps: int
    rate: int
    cut: int


class CompiledDecoder:
    """Takes the place of :meth:`myxtts.models.hifigan.HifiDecoder.vocode`, in float32.

    Results differ by rounding alone (some 1e-6 of the largest sample).

    Args:
        decoder: see :func:`can_compile`; later changes of its weights are not seen.
        threads: that share the work; 0 for all.

    Raises:
        ConfigError: numba is missing, or has fewer threads.
    """

    def __init__(self, decoder: HifiDecoder, threads: int = 0):
        load_kernels()
        from myxtts.inference import convolution_kernels as kernels

        self._kernels, self.threads = kernels, choose_threads(threads, WIDEST)
        first = np.asarray(decoder.conv_pre.kernel)
        self._first = kernels.pack(first), kernels.single(decoder.conv_pre.bias), len(first)
        stages = zip(decoder.ups, decoder.upsample_rates, strict=True)
        self._ups = [_upsampling(kernels, layer, rate) for layer, rate in stages]
        self._blocks = [
            [
                [
                    [_kernel(kernels, layer) for layer in pair]
                    for pair in zip(block.dilated, block.plain, strict=True)
                ]
                for block in blocks
            ]
            for blocks in decoder.resblocks
        ]
        self._last = kernels.single(np.asarray(decoder.conv_post.kernel)[..., 0])
        self._conditions = [
            (np.array(layer.kernel), np.array(layer.bias))
            for layer in (decoder.cond_pre, *decoder.conds)
        ]
        nothing = np.zeros((1, 1, first.shape[1]), "float32")
        nobody = np.zeros((1, decoder.speaker_dim), "float32")
        warm_up("the decoder", kernels.convolve, self._rows, nothing, nobody)

    def vocode(self, frames, speaker_embedding):
        """As the decoder's own, inside a graph that XLA doesn't compile."""
        inputs = [tf.cast(frames, tf.float32), tf.cast(speaker_embedding, tf.float32)]
        return tf.ensure_shape(tf.numpy_function(self._vocode, inputs, tf.float32), (None, None))

    def _vocode(self, frames: np.ndarray, speaker_embedding: np.ndarray) -> np.ndarray:
        return locked(self.threads, self._rows, frames, speaker_embedding)

    def _rows(self, frames: np.ndarray, speaker_embedding: np.ndarray) -> np.ndarray:
        speakers = np.broadcast_to(speaker_embedding, (len(frames), speaker_embedding.shape[1]))
        pairs = zip(frames, speakers, strict=True)
        return np.stack([self._waveform(np.ascontiguousarray(x), voice) for x, voice in pairs])

    def _waveform(self, frames: np.ndarray, speaker: np.ndarray) -> np.ndarray:
        kernels = self._kernels
        conditions = [speaker @ kernel + bias for kernel, bias in self._conditions]
        weights, bias, taps = self._first
        hidden = np.empty((len(frames), len(bias)), "float32")
        kernels.convolve_plainly(
            frames, weights, bias + conditions[0], taps, taps // 2, np.float32(1), hidden
        )
        for up, condition, blocks in zip(self._ups, conditions[1:], self._blocks, strict=True):
            hidden = self._upsampled(hidden, up, condition)
            mean, room = np.zeros_like(hidden), (np.empty_like(hidden), np.empty_like(hidden))
            for pairs in blocks:
                self._residual(hidden, pairs, room, mean, np.float32(1 / len(blocks)))
            hidden = mean
        samples = np.empty(len(hidden), "float32")
        kernels.to_samples(hidden, self._last, np.float32(FINAL_LEAK), samples)
        return samples

    def _upsampled(self, hidden: np.ndarray, up: Upsampling, condition: np.ndarray) -> np.ndarray:
        steps, channels = len(hidden), len(up.bias)
        full = np.empty((steps + up.taps - 1, up.rate * channels), "float32")
        bias = np.tile(up.bias + condition, up.rate)
        self._kernels.convolve_plainly(
            hidden, up.weights, bias, up.taps, up.taps - 1, np.float32(LEAK), full
        )
        return full.reshape(-1, channels)[up.cut : up.cut + steps * up.rate]

    def _residual(self, inputs: np.ndarray, pairs: list, room: tuple, mean, share) -> None:
        """Add ``share`` of a residual block's result to ``mean``; ``room`` is two arrays' more."""
        kernels, slope = self._kernels, np.float32(LEAK)
        (between, result), old = room, inputs
        for number, (dilated, plain) in enumerate(pairs):
            kernels.convolve(old, dilated, slope, old, between, kernels.STORED, share)
            last = number == len(pairs) - 1
            into, kind = (mean, kernels.AVERAGED) if last else (result, kernels.ADDED)
            kernels.convolve(between, plain, slope, old, into, kind, share)
            old = result


def can_compile(decoder: Decoder) -> bool:
    """Whether there is compiled code for a decoder: HiFi-GAN in float32, of usual sizes.

    Channels are to be multiples of 16, residual kernels odd, and dilations divisors of 60.
    """
    if not isinstance(decoder, HifiDecoder) or decoder.compute_dtype != "float32":
        return False
    narrowest = decoder.initial_channels / 2 ** len(decoder.upsample_rates)
    return (
        narrowest % 16 == 0
        and all(size % 2 for size in decoder.resblock_kernels)
        and all(60 % rate == 0 for rate in decoder.resblock_dilations)
        and all(map(int.__ge__, decoder.upsample_kernels, decoder.upsample_rates))
    )


def _kernel(kernels, layer):
    rate = layer.dilation_rate[0]
    return kernels.make_kernel(np.asarray(layer.kernel), np.asarray(layer.bias), rate)


def _upsampling(kernels, layer, rate: int) -> Upsampling:
    """Of a layer with a kernel ``(size, outputs, inputs)``."""
    weights = np.asarray(layer.kernel)
    size, outputs, inputs = weights.shape
    taps = -(-size // rate)
    full = np.pad(weights, [(0, taps * rate - size), (0, 0), (0, 0)])
    # What meets the latest step comes last.
    full = full.reshape(taps, rate, outputs, inputs)[::-1].transpose(0, 3, 1, 2)
    packed = kernels.pack(full.reshape(taps, inputs, rate * outputs))
    return Upsampling(packed, kernels.single(layer.bias), taps, rate, (size - rate) // 2)


def vocode_of(decoder: Decoder, engine: str, threads: int = 0) -> Callable | None:
    """What makes waveforms as ``decoder.vocode`` by this engine; None where it has no code."""
    if engine == "int8" and can_compile(decoder):
        return CompiledDecoder(decoder, threads).vocode
    return None


def decoding(decoder: Decoder, vocode: Callable | None) -> Callable:
    """The decoder from latents to waveforms, with ``vocode`` of :func:`vocode_of` in it."""
    if vocode is None:
        return decoder

    def decode(latents, speaker_embedding):
        return vocode(decoder.frames(latents, speaker_embedding), speaker_embedding)

    return decode
