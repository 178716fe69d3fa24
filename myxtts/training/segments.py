"""Segments of utterances that a decoder learns from, and what it says of them."""

from __future__ import annotations

import math

import tensorflow as tf

from myxtts.models.decoder import Decoder
from myxtts.models.harmonic_source import frequency
from myxtts.models.hifigan import scaled_length
from myxtts.models.istft_decoder import IstftDecoder
from myxtts.timing import FRAMES_PER_CODE, HOP_LENGTH, OUTPUT_RATE, RATE_RATIO, SECONDS_PER_CODE

SAMPLES_PER_CODE = SECONDS_PER_CODE * OUTPUT_RATE


class BareSegments:
    """Segments whose latents are decoded alone, as if silence lay around them.

    Args:
        decoder: speaks.
        size: of a segment in codes.
    """

    def __init__(self, decoder: Decoder, size: int):
        self.decoder, self.size = decoder, size
        self.samples = decoder.output_length(size)

    def cut(self, starts, latents, lengths, wave, wave_lengths, pitch=None) -> tuple:
        """Cut a segment out of every row.

        Args:
            starts: first code of each, int ``(batch,)``.
            latents: ``(batch, codes, latent_dim)`` of utterances of ``lengths`` codes.
            lengths: int ``(batch,)``.
            wave: ``(batch, samples)`` at 24 kHz of ``wave_lengths`` samples.
            wave_lengths: int ``(batch,)``.
            pitch: Hz of each frame, ``(batch, frames)``, for a decoder with a source.

        Returns:
            What :meth:`speak` wants, and the recording ``(batch, samples)`` to compare it with.
        """
        first = samples_before(starts)
        latents = windows(latents, starts, self.size)
        return (latents,), windows(wave, first, self.samples)

    def speak(self, inputs: tuple, speaker, swapped: int | tf.Tensor = 0):
        """The decoder's waveform ``(batch, samples)`` of what was cut, and what it says of pitch.

        The latter is None, or of each frame octaves and logit of being voiced as the decoder
        tells them, the true Hz, and whether the frame is one, each ``(batch, frames)``.

        Args:
            inputs: of :meth:`cut`.
            speaker: embeddings ``(batch, speaker_dim)``.
            swapped: so many rows, the first, are in a voice that their recording is not of. Their
                pitch is the decoder's, and nothing is said of it.
        """
        return self.decoder(*inputs, speaker, training=True), None


class SegmentsInContext:
    """Segments decoded with as much around them as the decoder hears, of which only they count.

    So the decoder learns from what it will hear when it speaks. Where a segment is near an end
    of its utterance the window is moved, so that the end is an end here, too. All sizes are
    fixed.

    Args:
        decoder: speaks.
        size: of a segment in codes.
    """

    def __init__(self, decoder: IstftDecoder, size: int):
        self.decoder = decoder
        frames_per_code = FRAMES_PER_CODE * RATE_RATIO
        behind = math.ceil(decoder.receptive_field / frames_per_code)
        ahead = math.ceil(decoder.lookahead / frames_per_code)
        self.before = decoder.hidden_behind + behind + 1
        self.codes = self.before + size + decoder.code_lookahead + ahead + 1
        self.frames = frames_of(self.codes)
        self.inner = frames_of(size)
        whole = decoder.receptive_field + self.inner + decoder.lookahead
        self.span = min(self.frames, whole)
        self.samples = self.inner * HOP_LENGTH

    def cut(self, starts, latents, lengths, wave, wave_lengths, pitch=None) -> tuple:
        """See :meth:`BareSegments.cut`; behind its end an utterance is silent."""
        begin = tf.clip_by_value(starts - self.before, 0, tf.maximum(lengths - self.codes, 0))
        own = tf.minimum(lengths - begin, self.codes)
        frame = frames_of(starts - begin)
        first = samples_before(begin) + HOP_LENGTH * frame
        heard = tf.clip_by_value(wave_lengths - first, 0, self.samples)
        if self.decoder.harmonic:
            skipped = tf.cast(tf.round(samples_before(begin) / HOP_LENGTH), "int32")
            pitch = windows(pitch, skipped, self.frames)
        inputs = windows(latents, begin, self.codes), own, frame, heard, pitch
        return inputs, windows(wave, first, self.samples)

    def speak(self, inputs: tuple, speaker, swapped: int | tf.Tensor = 0):
        """See :meth:`BareSegments.speak`; samples beyond [-1, 1] stay there."""
        latents, own, frame, heard, pitch = inputs
        hidden, told = self.decoder.hidden(latents, lengths=own), None
        if self.decoder.harmonic:
            # The true pitch, so that the harmonics are where the recording has them.
            known = tf.sequence_mask(frames_of(own), self.frames)
            octaves, voiced = self.decoder.pitch_head(hidden, speaker)
            told = [item[swapped:] for item in (octaves, voiced, pitch, known)]
            others = tf.stop_gradient(frequency(octaves[:swapped], voiced[:swapped]))
            hidden = self.decoder.with_source(hidden, tf.concat([others, pitch[swapped:]], axis=0))
        first = tf.clip_by_value(frame - self.decoder.receptive_field, 0, self.frames - self.span)
        lengths = tf.clip_by_value(frames_of(own) - first, 0, self.span)
        hidden = _steps(hidden, first, self.span)
        wave = self.decoder.unclipped(hidden, speaker, lengths)
        hops = tf.reshape(wave, (-1, self.span, HOP_LENGTH))
        wave = tf.reshape(_steps(hops, frame - first, self.inner), (-1, self.samples))
        return wave * tf.sequence_mask(heard, self.samples, dtype=wave.dtype), told


def frames_of(codes):
    """Frames of so many codes; works on integers and on integer tensors."""
    return scaled_length(FRAMES_PER_CODE * codes, RATE_RATIO)


def samples_before(codes):
    """Samples at 24 kHz before codes of these numbers, int ``(batch,)``."""
    return tf.cast(tf.round(tf.cast(codes, "float32") * SAMPLES_PER_CODE), "int32")


def windows(values, starts, size: int):
    """Rows ``values[i, starts[i]:starts[i] + size]``, zero beyond the end."""
    padding = [[0, 0], [0, size]] + [[0, 0]] * (len(values.shape) - 2)
    return _steps(tf.pad(values, padding), starts, size)


def _steps(values, starts, size: int):
    return tf.gather(values, starts[:, None] + tf.range(size)[None], batch_dims=1)
