"""Decoder from GPT latents to a waveform by an inverse Fourier transform.

After Vocos (Siuzdak 2023): ConvNeXt blocks (Liu et al. 2022) in one dimension make magnitude and
phase of every frame, and nothing runs at the rate of the samples. Here some of the blocks run at
the rate of the audio codes, a latent then becomes four frames, and these are interpolated to
24 kHz as in :class:`~myxtts.models.hifigan.HifiDecoder`, whose lengths and frames it shares.

Without a source the network has to make every phase, which takes discriminators and long training.
With one (Wang et al. 2019) it predicts the fundamental frequency, and makes of harmonics and noise
what a vocal tract makes of them, by gains for each bin: what is periodic is so from the first step.
"""

from __future__ import annotations

import math

import keras
from keras import ops

from myxtts.audio.stft import drawn_spectra, inverse_stft, spectra_of
from myxtts.config import ModelConfig
from myxtts.models.harmonic_source import (
    PitchHead,
    frequency,
    harmonics,
    noise,
    source_channels,
)
from myxtts.models.hifigan import interpolate, kept, own_steps, scaled_length
from myxtts.models.layer import NORM_EPSILON, Layer, of_power_one
from myxtts.settings import to_dict
from myxtts.timing import FRAMES_PER_CODE, HOP_LENGTH, RATE_RATIO

# Whether a sequence is too short to be interpolated, as two latents are, nobody knows before
# there are three; the frames of two may not be given out.
LEAST_LOOKAHEAD = 7
# Logarithms of the gains that an untrained head gives to harmonics and noise, and of the highest.
HARMONIC_GAIN, NOISE_GAIN, HIGHEST_GAIN = -3.0, -5.0, 4.0
# Every frame depends on all latents before it.
ALL_BEFORE = 10**9


class IstftDecoder(keras.Model):
    """Latents ``(batch, length, latent_dim)`` to a waveform ``(batch, samples)`` at 24 kHz.

    ``samples`` is ``256 * floor(4 * length * 24000 / 22050)``; a latent lasts 46 ms.

    Args:
        latent_dim: width of the latents.
        speaker_dim: size of the speaker embedding.
        dim: channels between the blocks.
        code_blocks, code_kernel, code_lookahead: blocks at the rate of the latents, their
            kernels, and latents behind its own that one may depend on through them.
        frame_blocks, frame_kernel, frame_lookahead: the same of the frames.
        expansion: channels inside a block, as a multiple of ``dim``.
        n_fft, hop: of the spectra in samples; ``hop`` divides 256.
        source: ``none``, or ``harmonic`` for spectra made from harmonics and noise.
    """

    vocoder = "istft"

    def __init__(
        self,
        latent_dim: int,
        speaker_dim: int,
        dim: int = 256,
        code_blocks: int = 4,
        code_kernel: int = 3,
        code_lookahead: int = 3,
        frame_blocks: int = 6,
        frame_kernel: int = 7,
        frame_lookahead: int = 6,
        expansion: int = 3,
        n_fft: int = 1024,
        hop: int = 256,
        source: str = "none",
        name: str = "decoder",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.latent_dim, self.speaker_dim, self.dim = latent_dim, speaker_dim, dim
        self.code_blocks, self.code_kernel = code_blocks, code_kernel
        self.code_lookahead = code_lookahead
        self.frame_blocks, self.frame_kernel = frame_blocks, frame_kernel
        self.frame_lookahead = frame_lookahead
        self.expansion, self.n_fft, self.hop = expansion, n_fft, hop
        self.source, self.bins = source, n_fft // 2 + 1
        self._make_layers()

    @classmethod
    def from_section(cls, config: ModelConfig) -> IstftDecoder:
        """Build from the ``model`` section of a configuration."""
        dims = (config.gpt.model_dim, config.speaker.embedding_dim)
        return cls(*dims, **to_dict(config.decoder.istft))

    def _make_layers(self) -> None:
        dense, norm = keras.layers.Dense, keras.layers.LayerNormalization
        self.latent_in = dense(self.dim, name="latent_in")
        self.at_codes = self._blocks(
            self.code_blocks, self.code_kernel, self.code_lookahead, "code"
        )
        self.code_norm = norm(epsilon=NORM_EPSILON, name="code_norm")
        self.expand = dense(FRAMES_PER_CODE * self.dim, name="expand")
        self.speaker_in = dense(self.dim, name="speaker_in")
        self.at_frames = self._blocks(
            self.frame_blocks, self.frame_kernel, self.frame_lookahead, "frame"
        )
        # Of a speaker, what every block at the frames scales and shifts its channels by.
        self.conds = [
            dense(2 * self.dim, kernel_initializer="zeros", name=f"cond_{i}")
            for i in range(self.frame_blocks)
        ]
        self.frame_norm = norm(epsilon=NORM_EPSILON, name="frame_norm")
        self.pitch_head = None
        if self.harmonic:
            self.pitch_head = PitchHead(max(1, self.dim // 2), self.speaker_dim, name="pitch")
        # Magnitude and phase; with a source, gains of harmonics and noise, and a phase.
        parts = 3 if self.harmonic else 2
        self.head = dense(self.spectra * parts * self.bins, name="head")

    def _blocks(self, count: int, kernel: int, lookahead: int, name: str) -> list:
        """Blocks that together depend on ``lookahead`` steps behind their own."""
        total = self.code_blocks + self.frame_blocks
        return [
            ConvNeXtBlock(
                self.dim,
                kernel,
                lookahead // count + (number < lookahead % count),
                self.expansion,
                layer_scale=1 / total,
                name=f"{name}_{number}",
            )
            for number in range(count)
        ]

    def build(self, input_shape=None, speaker_shape=None):
        self.latent_in.build((None, None, self.latent_dim))
        for layer in (self.speaker_in, *self.conds):
            layer.build((None, self.speaker_dim))
        norms = (self.code_norm, self.frame_norm)
        for layer in (*self.at_codes, self.expand, *self.at_frames, *norms, self.head):
            layer.build((None, None, self.dim))
        if self.harmonic:
            self.pitch_head.build((None, None, self.dim))
        self.built = True

    def call(self, latents, speaker_embedding, training=False):
        """Synthesise; ``speaker_embedding`` is ``(batch, speaker_dim)``."""
        return self.vocode(self.frames(latents, speaker_embedding), speaker_embedding)

    def frames(self, latents, speaker_embedding, first_latent=0, first_frame=0, lengths=None):
        """Latents brought to the frames ``(batch, frames, dim)`` of the output.

        A latent is heard by those up to :attr:`code_lookahead` before and
        :attr:`latents_behind` behind it. With a source three channels more say what a frame's
        is, see :func:`~myxtts.models.harmonic_source.source_channels`; a phase depends on all
        latents before, and the first latent given must be the first there is.

        Args:
            latents: ``(batch, length, latent_dim)``.
            speaker_embedding: ``(batch, speaker_dim)``, which the pitch depends on.
            first_latent: number of the first latent given, of a longer sequence.
            first_frame: number of the first frame wanted, of that sequence; the last is
                that of the last latent given.
            lengths: latents of each row; those behind them are padding. None: there is none.
        """
        if not self.harmonic:
            return self.hidden(latents, first_latent, first_frame, lengths)
        hidden = self.hidden(latents, lengths=lengths)
        f0 = frequency(*self.pitch_head(hidden, speaker_embedding))
        return self.with_source(hidden, f0)[:, first_frame:]

    def with_source(self, hidden, f0):
        """Frames of what :meth:`hidden` gives and of their pitches in Hz, ``(batch, frames)``."""
        channels = source_channels(f0)
        return ops.concatenate([ops.cast(hidden, "float32"), channels], axis=-1)

    def hidden(self, latents, first_latent=0, first_frame=0, lengths=None):
        """What :meth:`frames` gives without a source's channels."""
        own = own_steps(latents, lengths, 1)
        hidden = self.latent_in(latents)
        for block in self.at_codes:
            hidden = block(hidden, own=own)
        hidden = self.expand(self.code_norm(hidden))
        quarters = FRAMES_PER_CODE * ops.shape(hidden)[1]
        hidden = ops.reshape(hidden, (-1, quarters, self.dim))
        return interpolate(hidden, RATE_RATIO, first_latent * FRAMES_PER_CODE, first_frame)

    def vocode(self, frames, speaker_embedding, lengths=None):
        """Waveform ``(batch, 256 * frames)`` within [-1, 1] of what :meth:`frames` gives.

        A sample depends on :attr:`receptive_field` frames before and :attr:`lookahead` frames
        behind its own.

        Args:
            frames: ``(batch, frames, dim)``.
            speaker_embedding: ``(batch, speaker_dim)``.
            lengths: frames of each row; those behind them change nothing, and what the
                waveform holds there means nothing. None: there is no padding.
        """
        return ops.clip(self.unclipped(frames, speaker_embedding, lengths), -1.0, 1.0)

    def unclipped(self, frames, speaker_embedding, lengths=None):
        """As :meth:`vocode`; samples beyond [-1, 1], which have to learn, stay there."""
        own = own_steps(frames, lengths, 1)
        hidden = ops.cast(frames[..., : self.dim], self.compute_dtype)
        speaker = of_power_one(speaker_embedding)
        hidden = hidden + self.speaker_in(speaker)[:, None]
        for block, cond in zip(self.at_frames, self.conds, strict=True):
            hidden = block(hidden, own=own, cond=cond(speaker)[:, None])
        hidden = ops.cast(self.head(self.frame_norm(hidden)), "float32")
        count = self.spectra * ops.shape(hidden)[1]
        hidden = ops.reshape(hidden, (-1, count, hidden.shape[-1] // self.spectra))
        if self.harmonic:
            real, imaginary = self._filtered(hidden, frames[..., self.dim :], own)
        else:
            real, imaginary = drawn_spectra(hidden, self.n_fft)
        if own is not None:
            own = own_steps(real, lengths * self.spectra, 1)
        return inverse_stft(real, imaginary, self.n_fft, self.hop, own)

    def _filtered(self, hidden, channels, own) -> tuple:
        """Spectra of harmonics and noise, each multiplied by its gains."""
        harmonic, rough, phase = ops.split(hidden, 3, axis=-1)
        harmonic = ops.exp(ops.minimum(harmonic + HARMONIC_GAIN, HIGHEST_GAIN))
        rough = ops.exp(ops.minimum(rough + NOISE_GAIN, HIGHEST_GAIN))
        turned, aside = harmonic * ops.cos(phase), harmonic * ops.sin(phase)
        own = 1.0 if own is None else ops.repeat(own, HOP_LENGTH, axis=1)[..., 0]
        real, imaginary = spectra_of(harmonics(channels) * own, self.n_fft, self.hop)
        noises = spectra_of(noise(channels) * own, self.n_fft, self.hop)
        return (
            real * turned - imaginary * aside + noises[0] * rough,
            real * aside + imaginary * turned + noises[1] * rough,
        )

    @property
    def harmonic(self) -> bool:
        """Whether spectra are made from a source."""
        return self.source == "harmonic"

    @property
    def spectra(self) -> int:
        """Spectra of a frame."""
        return HOP_LENGTH // self.hop

    @property
    def _overlap(self) -> int:
        """Frames on either side of its own that a sample's windows come from.

        With a source twice: its windows, too, hear what is around a frame.
        """
        return (1 + self.harmonic) * math.ceil((self.n_fft - self.hop) / 2 / HOP_LENGTH)

    @property
    def receptive_field(self) -> int:
        """Frames before its own that a sample of the waveform depends on."""
        reach = self.frame_blocks * (self.frame_kernel - 1) - self.frame_lookahead
        return reach + self._overlap

    @property
    def lookahead(self) -> int:
        """Frames behind its own that a sample of the waveform depends on."""
        return max(self.frame_lookahead + self._overlap, LEAST_LOOKAHEAD)

    @property
    def latents_behind(self) -> int:
        """Latents before its own that a frame depends on, beside the interpolation."""
        return ALL_BEFORE if self.harmonic else self.hidden_behind

    @property
    def hidden_behind(self) -> int:
        """The same of what :meth:`hidden` gives, which knows no phase."""
        return self.code_blocks * (self.code_kernel - 1) - self.code_lookahead

    @property
    def unsettled(self) -> int:
        """Quarter-latents at the end of a stream that its continuation may move."""
        return FRAMES_PER_CODE * self.code_lookahead + 1

    def output_length(self, length):
        """Samples of ``length`` latents; works on integers and on integer tensors."""
        return HOP_LENGTH * scaled_length(length * FRAMES_PER_CODE, RATE_RATIO)

    def shift(self, shifted: bool) -> None:
        """Choose how all blocks convolve, see :class:`ConvNeXtBlock`."""
        for block in (*self.at_codes, *self.at_frames):
            block.shifted = shifted

    def get_config(self) -> dict:
        codes = ("code_blocks", "code_kernel", "code_lookahead")
        frames = ("frame_blocks", "frame_kernel", "frame_lookahead")
        names = ("name", "latent_dim", "speaker_dim", "dim", *codes, *frames)
        return {
            name: getattr(self, name) for name in (*names, "expansion", "n_fft", "hop", "source")
        }


class ConvNeXtBlock(Layer):
    """A residual block ``(batch, time, dim)``: over time in each channel, then over channels.

    Args:
        dim: channels.
        kernel: steps of the convolution over time.
        lookahead: how many of them lie behind a step's own, at most ``kernel - 1``.
        expansion: channels between the two dense layers, as a multiple of ``dim``.
        layer_scale: what the block's output is multiplied by at first.

    Attributes:
        shifted: convolve by a sum of shifted products, which XLA makes twenty times faster than
            its depthwise convolution on a processor; without XLA that one is nine times faster.
    """

    def __init__(
        self,
        dim: int,
        kernel: int,
        lookahead: int,
        expansion: int = 3,
        layer_scale: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dim = dim
        self.kernel_size = kernel
        self.padding = (kernel - 1 - lookahead, lookahead)
        self.layer_scale = layer_scale
        self.shifted = False
        self.norm = keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name="norm")
        self.widen = keras.layers.Dense(expansion * dim, name="widen")
        self.narrow = keras.layers.Dense(dim, name="narrow")

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.dim),
            initializer=keras.initializers.RandomNormal(stddev=self.kernel_size**-0.5),
        )
        self.bias = self.add_weight(name="bias", shape=(self.dim,), initializer="zeros")
        constant = keras.initializers.Constant(self.layer_scale)
        self.scale = self.add_weight(name="scale", shape=(self.dim,), initializer=constant)
        for layer in (self.norm, self.widen):
            layer.build((None, None, self.dim))
        self.narrow.build((None, None, self.widen.units))
        self.built = True

    def call(self, inputs, own=None, cond=None):
        """Apply it.

        Args:
            inputs: ``(batch, time, dim)``.
            own: ``(batch, time, 1)``, zero where there is only padding.
            cond: ``(batch, 1, 2 * dim)``, what the normalised channels are scaled and shifted
                by; None: nothing.
        """
        hidden = self.norm(self._convolve(kept(inputs, own)))
        if cond is not None:
            scale, shift = ops.split(cond, 2, axis=-1)
            hidden = hidden * (1.0 + scale) + shift
        hidden = ops.gelu(self.widen(hidden), approximate=True)
        return inputs + self.scale * self.narrow(hidden)

    def _convolve(self, inputs):
        length = ops.shape(inputs)[1]
        padded = ops.pad(inputs, [[0, 0], list(self.padding), [0, 0]])
        if self.shifted:
            steps = range(self.kernel_size)
            total = sum(padded[:, step : step + length] * self.kernel[step] for step in steps)
        else:
            total = ops.depthwise_conv(padded, self.kernel[..., None], padding="valid")
        return total + self.bias
