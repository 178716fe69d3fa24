"""WAV files to audio of one rate, inside a graph."""

from __future__ import annotations

import math

import tensorflow as tf

from myxtts.audio.resample import LOWPASS_WIDTH, ROLLOFF
from myxtts.serving.graph.refusal import required

LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000
_EXTENSIBLE = 0xFFFE
_MOST_CHUNKS = 256
# By 100 times the format and the bits: the type of a sample, what is subtracted, and what it is
# multiplied by. No operation reads three bytes.
_READERS = {
    108: ("uint8", 128.0, 2.0**-7),
    116: ("int16", 0.0, 2.0**-15),
    132: ("int32", 0.0, 2.0**-31),
    332: ("float32", 0.0, 1.0),
    364: ("float64", 0.0, 1.0),
}
# Samples that are made at once: each is a sum over some dozens of neighbours.
BLOCK = 1 << 14


class GraphWav(tf.Module):
    """Contents of WAV files ``(batch,)`` as audio.

    Any rate and number of channels, whose mean is taken; see :func:`decoded`. The resampling
    is that of :class:`myxtts.audio.resample.SincResampler`, for a rate that is only known in
    the graph.

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
        channels, rate = decoded(content)
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


def decoded(content) -> tuple:
    """Samples ``(samples, channels)``, float32, and the rate of a WAV file's bytes.

    PCM of 8, 16 and 32 bits and floats of 32 and 64, plain or extensible. A file that was cut, or
    tells of another length than it has, as those that were piped do, gives what there is.
    """
    form, form_size = _chunk(content, b"fmt ")
    content = required(content, (form_size >= 16, "wav_bytes is a WAV file without a format."))
    words = tf.cast(tf.io.decode_raw(tf.strings.substr(content, form, 16), "uint16"), "int32")
    # Of an extensible format, the first word of its GUID is the plain one.
    extended = (words[0] == _EXTENSIBLE) & (form_size >= 26)
    inner = tf.strings.substr(content, tf.where(extended, form + 24, form), 2)
    tag = tf.cast(tf.io.decode_raw(inner, "uint16"), "int32")[0]
    channels, bits = words[1], words[7]
    kind = tag * 100 + bits
    known = tf.reduce_any(tf.equal(kind, list(_READERS)))
    told = tf.strings.join(
        [
            "a WAV file of format ",
            tf.strings.as_string(tag),
            " with ",
            tf.strings.as_string(bits),
            " bits is not read by a served model: send it as 16-bit PCM.",
        ]
    )
    rules = (known, told), (channels > 0, "wav_bytes is a WAV file without channels.")
    kind = required(kind, *rules)
    place, size = _chunk(content, b"data")
    width = channels * bits // 8
    count = size // tf.maximum(width, 1)
    count = required(count, (count > 0, "wav_bytes is a WAV file without samples."))
    raw = tf.strings.substr(content, place, count * width)
    branches = [(tf.equal(kind, number), _reader(raw, number)) for number in _READERS]
    samples = tf.case(branches, exclusive=True)
    rate = words[2] + words[3] * 65536
    return tf.reshape(samples, [count, channels]), rate


def _chunk(content, name: bytes) -> tuple:
    """Place and size of the first chunk of a name; size 0 without one."""
    length = tf.strings.length(content)

    def found(place):
        return tf.equal(tf.strings.substr(content, place, 4), name)

    def size_at(place):
        told = tf.io.decode_raw(tf.strings.substr(content, place + 4, 4), "int32")[0]
        # What is negative here is beyond two gigabytes; no file holds more than there is.
        rest = length - place - 8
        return tf.where((told < 0) | (told > rest), rest, told)

    place = tf.while_loop(
        lambda place: (place + 8 <= length) & ~found(tf.minimum(place, length - 4)),
        lambda place: [tf.minimum(place + 8 + size_at(place) + size_at(place) % 2, length)],
        [tf.constant(12)],
        maximum_iterations=_MOST_CHUNKS,
    )[0]
    there = place + 8 <= length
    size = tf.cond(there, lambda: size_at(place), lambda: 0)
    return tf.where(there, place + 8, 0), size


def _reader(raw, number: int):
    """A function of nothing that makes float32 of raw samples, as soundfile does."""
    dtype, offset, scale = _READERS[number]

    def read():
        value = tf.io.decode_raw(raw, dtype)
        return (tf.cast(value, "float32") - offset) * scale

    return read


def _kernel(times):
    """Hann-windowed sinc at ``times`` in samples of the lower rate."""
    window = tf.cos(times * (math.pi / LOWPASS_WIDTH / 2)) ** 2
    angle = times * math.pi
    sinc = tf.where(angle == 0, 1.0, tf.sin(angle) / tf.where(angle == 0, 1.0, angle))
    return tf.where(tf.abs(times) < LOWPASS_WIDTH, window * sinc, 0.0)
