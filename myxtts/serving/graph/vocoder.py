"""Latents or audio codes to waveforms inside a graph."""

from __future__ import annotations

import tensorflow as tf

from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.resample import SincResampler, resampled_length
from myxtts.generation.vocoding import GRIFFIN_LIM
from myxtts.models.xtts import XTTS
from myxtts.serving.graph.griffin_lim import GraphGriffinLim
from myxtts.timing import FRAMES_PER_CODE, HOP_LENGTH, OUTPUT_RATE

# Two thirds of a second.
FRAME_MULTIPLE = 64


class GraphVocoder(tf.Module):
    """Rows of latents and codes to rows of samples at 24 kHz.

    Rows are decoded one by one: the decoder hears its neighbourhood, so that a row's padding
    would change its end.

    Args:
        model: a trained model.
        kind: the decoder's vocoder or ``griffin_lim``.
    """

    def __init__(self, model: XTTS, kind: str):
        super().__init__(name="vocoder")
        self.model = model
        self.kind = kind
        if kind == GRIFFIN_LIM:
            self.griffin_lim = GraphGriffinLim(XTTS_DVAE)
            self.resampler = SincResampler(XTTS_DVAE.sample_rate, OUTPUT_RATE)

    def decode(self, latents, codes, lengths, speaker_embedding) -> tuple:
        """Waveforms ``(batch, samples)``, padded with zeros, and their lengths ``(batch,)``.

        Args:
            latents: ``(batch, codes, model_dim)``.
            codes: ``(batch, codes)``.
            lengths: codes of each row; a row of none has no samples.
            speaker_embedding: ``(batch, size)``.
        """
        longest = tf.maximum(tf.reduce_max(lengths), 1)
        size = self.samples(longest)

        def row(inputs):
            own_latents, own_codes, length, embedding = inputs
            length = tf.maximum(length, 1)
            if self.kind == GRIFFIN_LIM:
                wave = self._by_griffin_lim(own_codes[None, :length])
            else:
                own_latents = own_latents[None, :length]
                frames = self.model.decoder.frames(own_latents, embedding[None])
                wave = self.vocode(frames, embedding)
            return tf.pad(wave, [[0, size - tf.shape(wave)[0]]])

        rows = (latents, codes, lengths, speaker_embedding)
        waves = tf.map_fn(row, rows, fn_output_signature=tf.TensorSpec((None,)))
        samples = tf.where(lengths > 0, self.samples(lengths), 0)
        waves = tf.where(tf.sequence_mask(samples, size), waves, 0.0)
        return waves[:, : tf.reduce_max(samples)], samples

    def vocode(self, frames, embedding):
        """Waveform ``(samples,)`` of frames ``(1, frames, channels)`` of the decoder.

        Few different lengths are ever decoded: for each, a server's kernels keep what they
        have prepared.
        """
        length = tf.shape(frames)[1]
        padded = tf.pad(frames, [[0, 0], [0, -length % FRAME_MULTIPLE], [0, 0]])
        wave = self.model.decoder.vocode(padded, embedding[None], length[None])[0]
        return wave[: length * HOP_LENGTH]

    def samples(self, codes):
        """Samples of so many codes."""
        if self.kind != GRIFFIN_LIM:
            return self.model.decoder.output_length(codes)
        frames = FRAMES_PER_CODE * codes
        samples = (frames - 1) * XTTS_DVAE.hop_length
        return resampled_length(samples, XTTS_DVAE.sample_rate, OUTPUT_RATE)

    def _by_griffin_lim(self, codes):
        codes = tf.minimum(codes, self.model.dvae.num_codes - 1)
        mel = self.model.dvae.decode(codes)[0] * self.model.mel_norm.mel_stats
        return tf.clip_by_value(self.resampler(self.griffin_lim(mel)[None])[0], -1.0, 1.0)
