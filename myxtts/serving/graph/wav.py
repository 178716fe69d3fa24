"""WAV files to audio of one rate, inside a graph."""

from __future__ import annotations

import math

import tensorflow as tf

from myxtts.audio.resample import LOWPASS_WIDTH, ROLLOFF
from myxtts.serving.graph.refusal import required

LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000
# Samples that are made at once: each is a sum over some dozens of neighbours.
BLOCK = 1 << 14


class GraphWav(tf.Module):
    """Contents of WAV files ``(batch,)`` as audio.

    16 bits, any rate and number of channels, whose mean is taken. The resampling is that of
    :class:`myxtts.audio.resample.SincResampler`, for a rate that is only known in the graph.

    Args:
        rate: of the audio, in Hz.
        max_seconds: what is heard of a file.
    """

    def __init__(self, rate: int, max_seconds: float):
        super().__init__(name="wav")
        self.rate = rate
        self.size = int(max_seconds * rate)

    def __call__(self, contents) -> tuple:
        """Audio ``(batch, samples)``, padded with zeros, and its lengths ``(batch,)``."""
        audio, lengths = tf.map_fn(
            self._read,
            contents,
            fn_output_signature=(tf.TensorSpec((self.size,)), tf.TensorSpec((), "int32")),
        )
        return audio[:, : tf.reduce_max(tf.pad(lengths, [[0, 1]]))], lengths

    def _read(self, content):
        is_wav = tf.strings.regex_full_match(content, r"(?s)RIFF\C{4}WAVE\C*")
        content = required(content, (is_wav, "wav_bytes is no WAV file."))
        channels, rate = tf.audio.decode_wav(content)
        sentence = f"the sample rate of a WAV file must be {LOWEST_RATE} to {HIGHEST_RATE} Hz."
        fits = (rate >= LOWEST_RATE) & (rate <= HIGHEST_RATE)
        rate = tf.cast(required(rate, (fits, sentence)), "int64")
        audio = tf.reduce_mean(channels, axis=1)
        audio = tf.cond(rate == self.rate, lambda: audio, lambda: self._resampled(audio, rate))
        audio = audio[: self.size]
        length = tf.size(audio)
        return tf.ensure_shape(tf.pad(audio, [[0, self.size - length]]), (self.size,)), length

    def _resampled(self, audio, rate):
        """``audio`` ``(samples,)``, of ``rate``, at the rate wanted."""
        samples = (tf.size(audio, "int64") * self.rate + rate - 1) // rate
        samples = tf.minimum(samples, self.size)
        ratio = tf.cast(rate, "float32") / self.rate
        scale = ROLLOFF * tf.minimum(1.0, 1.0 / ratio)
        reach = tf.cast(tf.math.ceil(LOWPASS_WIDTH / scale), "int64") + 1
        around = tf.range(-reach, reach + 1)
        padded = tf.pad(audio, [[reach, reach + rate // self.rate + 1]])

        def block(start):
            # Whole numbers, since a float of a late sample's time has no digits left.
            ticks = (start + tf.range(BLOCK, dtype="int64")) * rate
            nearest, rest = ticks // self.rate, tf.cast(ticks % self.rate, "float32") / self.rate
            places = nearest[:, None] + around + reach
            heard = tf.gather(padded, tf.minimum(places, tf.size(padded, "int64") - 1))
            times = (tf.cast(around, "float32") - rest[:, None]) * scale
            return tf.reduce_sum(heard * _kernel(times), axis=1) * scale

        starts = tf.range(0, samples, BLOCK, dtype="int64")
        blocks = tf.map_fn(block, starts, fn_output_signature=tf.TensorSpec((BLOCK,)))
        return tf.reshape(blocks, [-1])[:samples]


def _kernel(times):
    """Hann-windowed sinc at ``times`` in samples of the lower rate."""
    window = tf.cos(times * (math.pi / LOWPASS_WIDTH / 2)) ** 2
    angle = times * math.pi
    sinc = tf.where(angle == 0, 1.0, tf.sin(angle) / tf.where(angle == 0, 1.0, angle))
    return tf.where(tf.abs(times) < LOWPASS_WIDTH, window * sinc, 0.0)
