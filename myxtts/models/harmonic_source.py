"""A voice before its vocal tract: harmonics of a fundamental frequency, and noise.

The source of neural source-filter models (Wang et al. 2019) and of DDSP (Engel et al. 2020). The
harmonics' phases and the noise are laid down by what precedes a frame and by its number, so that
a stream has the same source as the whole.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from keras import layers, ops

from myxtts.models.layer import Layer, of_power_one
from myxtts.timing import HOP_LENGTH, OUTPUT_RATE

# The highest harmonic; what is above is noise's.
HIGHEST_HZ = 11_000.0
LOWEST_F0, HIGHEST_F0 = 40.0, 800.0
REFERENCE_F0 = 150.0  # where octaves are counted from
NOISE_FRAMES = 256  # after which the noise begins again


class PitchHead(Layer):
    """Fundamental frequency and voicing of frames ``(batch, frames, dim)``.

    Args:
        width: channels between its two dense layers.
        speaker_dim: size of the speaker embedding.
    """

    def __init__(self, width: int, speaker_dim: int, **kwargs):
        super().__init__(**kwargs)
        self.width, self.speaker_dim = width, speaker_dim
        self.speaker_in = layers.Dense(width, use_bias=False, name="speaker_in")
        self.widen = layers.Dense(width, name="widen")
        self.out = layers.Dense(2, name="out")

    def build(self, input_shape):
        self.widen.build(input_shape)
        self.speaker_in.build((None, self.speaker_dim))
        self.out.build((None, None, self.width))
        self.built = True

    def call(self, frames, speaker_embedding):
        """Octaves above 150 Hz and the logit of being voiced, float32 ``(batch, frames)`` each."""
        speaker = self.speaker_in(of_power_one(speaker_embedding))[:, None]
        hidden = ops.gelu(self.widen(frames) + speaker, approximate=True)
        octaves, voiced = ops.split(ops.cast(self.out(hidden), "float32"), 2, axis=-1)
        return octaves[..., 0], voiced[..., 0]


def frequency(octaves, voiced):
    """Hz of what :class:`PitchHead` says, 0 where it is not voiced."""
    hertz = ops.clip(REFERENCE_F0 * ops.power(2.0, octaves), LOWEST_F0, HIGHEST_F0)
    return ops.where(voiced > 0.0, hertz, 0.0)


def octaves_of(f0):
    """Octaves above 150 Hz of frequencies in Hz; of 0, those of the lowest."""
    return ops.log(ops.maximum(f0, LOWEST_F0) / REFERENCE_F0) / math.log(2.0)


def source_channels(f0):
    """Channels ``(batch, frames, 3)`` of frames with these frequencies, from a first frame on.

    They are the fundamental frequency in Hz, the phase at the frame's start and its number.

    Args:
        f0: Hz, float32 ``(batch, frames)``; 0 where a frame is not voiced.
    """
    # The hundredth harmonic has a hundred times the error of a phase.
    cycles = ops.cast(f0, "float64") * (HOP_LENGTH / OUTPUT_RATE)
    before = ops.cumsum(cycles, axis=1) - cycles
    phase = ops.cast(before - ops.floor(before), "float32")
    number = ops.arange(ops.shape(f0)[1], dtype="float32")
    return ops.stack([f0, phase, ops.broadcast_to(number[None], ops.shape(f0))], axis=-1)


def harmonics(channels):
    """All harmonics of each frame, together of power one: ``(batch, 256 * frames)``.

    Args:
        channels: ``(batch, frames, 3)``, see :func:`source_channels`.
    """
    f0, phase = channels[..., :1], channels[..., 1:2]
    voiced = f0 > 0.0
    f0 = ops.where(voiced, f0, REFERENCE_F0)
    steps = ops.arange(HOP_LENGTH, dtype="float32") / OUTPUT_RATE
    cycles = phase + f0 * steps
    cycles = cycles - ops.round(cycles)
    count = ops.floor(HIGHEST_HZ / f0)
    # The sum of cosines in closed form (Dirichlet's kernel), by its limit at a pulse.
    below = ops.sin(math.pi * cycles)
    near = ops.abs(below) < 1e-6
    many = 2.0 * count + 1.0
    ratio = ops.sin(many * math.pi * cycles) / ops.where(near, 1.0, below)
    total = (ops.where(near, many, ratio) - 1.0) / 2.0
    wave = ops.where(voiced, total * ops.sqrt(2.0 / count), 0.0)
    return ops.reshape(wave, (-1, HOP_LENGTH * ops.shape(channels)[1]))


def noise(channels):
    """White noise of power one, ``(batch, 256 * frames)``, the same for a frame's number."""
    number = ops.cast(channels[..., 2], "int32") % NOISE_FRAMES
    wave = ops.take(ops.convert_to_tensor(_noise_table()), number, axis=0)
    return ops.reshape(wave, (-1, HOP_LENGTH * ops.shape(channels)[1]))


@functools.cache
def _noise_table() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((NOISE_FRAMES, HOP_LENGTH)).astype("float32")
