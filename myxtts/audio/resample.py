"""Windowed-sinc resampling as a Keras layer, so that it exports with a model."""

from __future__ import annotations

import functools
import math

import keras
import numpy as np
from keras import ops

from myxtts import replicas

LOWPASS_WIDTH = 6
ROLLOFF = 0.99


class SincResampler(keras.layers.Layer):
    """Resample ``(batch, samples)`` to ``(batch, ceil(samples * to_rate / from_rate))``.

    The Hann-windowed sinc of torchaudio's default ``resample`` (Smith,
    "Digital Audio Resampling"), which XTTS's speaker encoder was trained behind.
    """

    def __init__(self, from_rate: int, to_rate: int, **kwargs):
        super().__init__(**kwargs | {"trainable": False, "dtype": "float32"})
        self.from_rate = from_rate
        self.to_rate = to_rate

    def call(self, audio):
        audio = ops.cast(audio, "float32")
        if self.from_rate == self.to_rate:
            return audio
        kernel, old, new, width = sinc_kernel(self.from_rate, self.to_rate)
        samples = ops.shape(audio)[1]
        padded = ops.pad(audio, [[0, 0], [width, width + old]])
        phases = replicas.with_a_row(
            lambda rows: ops.conv(rows, ops.convert_to_tensor(kernel), strides=old),
            padded[..., None],
        )
        merged = ops.reshape(phases, (ops.shape(audio)[0], -1))
        return merged[:, : resampled_length(samples, self.from_rate, self.to_rate)]

    def compute_output_shape(self, input_shape):
        batch, samples = input_shape
        if samples is not None:
            samples = resampled_length(samples, self.from_rate, self.to_rate)
        return (batch, samples)


def resampled_length(samples, from_rate: int, to_rate: int):
    """Length after resampling; works on integers and on integer tensors."""
    divisor = math.gcd(from_rate, to_rate)
    old, new = from_rate // divisor, to_rate // divisor
    return (samples * new + old - 1) // old


@functools.cache
def sinc_kernel(from_rate: int, to_rate: int) -> tuple[np.ndarray, int, int, int]:
    """Kernel ``(taps, 1, new)`` float32, the reduced rates and the padding.

    It is computed in float64: float32 sines lose the last digits.
    """
    divisor = math.gcd(from_rate, to_rate)
    old, new = from_rate // divisor, to_rate // divisor
    cutoff = min(old, new) * ROLLOFF
    width = math.ceil(LOWPASS_WIDTH * old / cutoff)
    taps = np.arange(-width, width + old, dtype=np.float64)[None] / old
    times = (taps - np.arange(new, dtype=np.float64)[:, None] / new) * cutoff
    times = np.clip(times, -LOWPASS_WIDTH, LOWPASS_WIDTH)
    window = np.cos(times * np.pi / LOWPASS_WIDTH / 2) ** 2
    kernel = np.sinc(times) * window * (cutoff / old)
    return kernel.T[:, None, :].astype("float32"), old, new, width
