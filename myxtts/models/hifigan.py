"""HiFi-GAN decoder from GPT latents to a waveform.

XTTS-v2's ``HifiDecoder`` (Coqui) without its speaker encoder: HiFi-GAN v1 (Kong
et al. 2020) conditioned on a speaker embedding, behind two linear
interpolations of the latents. Its weight norms are folded into plain kernels.
"""

from __future__ import annotations

import math
from fractions import Fraction

import keras
from keras import ops

from myxtts.audio.stft import drawn_spectra, inverse_stft
from myxtts.config import ModelConfig
from myxtts.models.layer import Conv1D, Layer
from myxtts.settings import to_dict
from myxtts.timing import FRAMES_PER_CODE, HOP_LENGTH, RATE_RATIO

LEAK = 0.1
# The last activation of the reference keeps torch's default slope.
FINAL_LEAK = 0.01
# Spectra that a sample is in, where the last step makes them.
OVERLAPPING = 4


class HifiDecoder(keras.Model):
    """Latents ``(batch, length, latent_dim)`` to a waveform ``(batch, samples)`` at 24 kHz.

    ``samples`` is ``256 * floor(4 * length * 24000 / 22050)``; a latent lasts 46 ms.

    Args:
        latent_dim: width of the latents.
        speaker_dim: size of the speaker embedding.
        initial_channels: channels before the first upsampling; each upsampling halves them.
        upsample_rates, upsample_kernels: of the transposed convolutions; the rates
            multiply to 256.
        resblock_kernels: of the parallel residual blocks behind each upsampling.
        resblock_dilations: inside each residual block.
        spectra_hop: 0, or the samples of a last step that is made by an inverse Fourier
            transform (iSTFTNet, Kaneko et al. 2022); the rates times it are then the hop.

    Without a speaker (``speaker_dim`` 0) it has no layers that hear one.
    """

    vocoder = "hifi"
    harmonic = False
    # The latents are interpolated as they are: none hears another.
    latents_behind = 0
    # Quarter-latents at the end of a stream that two interpolations may still move.
    unsettled = 3

    def __init__(
        self,
        latent_dim: int,
        speaker_dim: int,
        initial_channels: int = 512,
        upsample_rates: tuple[int, ...] = (8, 8, 2, 2),
        upsample_kernels: tuple[int, ...] = (16, 16, 4, 4),
        resblock_kernels: tuple[int, ...] = (3, 7, 11),
        resblock_dilations: tuple[int, ...] = (1, 3, 5),
        spectra_hop: int = 0,
        name: str = "decoder",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.spectra_hop = spectra_hop
        self.latent_dim = latent_dim
        self.speaker_dim = speaker_dim
        self.initial_channels = initial_channels
        self.upsample_rates = tuple(upsample_rates)
        self.upsample_kernels = tuple(upsample_kernels)
        self.resblock_kernels = tuple(resblock_kernels)
        self.resblock_dilations = tuple(resblock_dilations)
        self._make_layers()

    @classmethod
    def from_section(cls, config: ModelConfig) -> HifiDecoder:
        """Build from the ``model`` section of a configuration."""
        dims = (config.gpt.model_dim, config.speaker.embedding_dim)
        sizes = to_dict(config.decoder)
        del sizes["kind"], sizes["istft"]
        return cls(*dims, **sizes)

    def _make_layers(self) -> None:
        self.conv_pre = Conv1D(self.initial_channels, 7, padding="same", name="conv_pre")
        self.cond_pre = self._speaker_layer(self.initial_channels, "cond_pre")
        self.ups, self.conds, self.resblocks = [], [], []
        for stage, (rate, kernel) in enumerate(
            zip(self.upsample_rates, self.upsample_kernels, strict=True)
        ):
            channels = self._channels(stage)
            self.ups.append(
                keras.layers.Conv1DTranspose(
                    channels, kernel, strides=rate, padding="same", name=f"up_{stage}"
                )
            )
            self.conds.append(self._speaker_layer(channels, f"cond_{stage}"))
            self.resblocks.append(
                [
                    HifiResBlock(channels, size, self.resblock_dilations, name=f"res_{stage}_{j}")
                    for j, size in enumerate(self.resblock_kernels)
                ]
            )
        # A sample, or magnitude and phase of a spectrum.
        outputs = self.spectra_size + 2 if self.spectra_hop else 1
        self.conv_post = Conv1D(outputs, 7, padding="same", use_bias=False, name="conv_post")

    def _speaker_layer(self, channels: int, name: str) -> keras.layers.Dense | None:
        return keras.layers.Dense(channels, name=name) if self.speaker_dim else None

    @property
    def spectra_size(self) -> int:
        """Samples of a spectrum, where the last step makes them."""
        return OVERLAPPING * self.spectra_hop

    def _channels(self, stage: int) -> int:
        return self.initial_channels // 2 ** (stage + 1)

    def build(self, input_shape=None, speaker_shape=None):
        self.conv_pre.build((None, None, self.latent_dim))
        for layer in filter(None, (self.cond_pre, *self.conds)):
            layer.build((None, self.speaker_dim))
        channels = self.initial_channels
        for stage, up in enumerate(self.ups):
            up.build((None, None, channels))
            channels = self._channels(stage)
            for block in self.resblocks[stage]:
                block.build((None, None, channels))
        self.conv_post.build((None, None, channels))
        self.built = True

    def call(self, latents, speaker_embedding, training=False):
        """Synthesise; ``speaker_embedding`` is ``(batch, speaker_dim)``."""
        return self.vocode(self.frames(latents, speaker_embedding), speaker_embedding)

    def frames(self, latents, speaker_embedding=None, first_latent=0, first_frame=0):
        """Latents brought to the frames ``(batch, frames, latent_dim)`` of the output.

        Args:
            latents: ``(batch, length, latent_dim)``.
            speaker_embedding: of no influence here.
            first_latent: number of the first latent given, of a longer sequence.
            first_frame: number of the first frame wanted, of that sequence; the last is
                that of the last latent given.
        """
        hidden = interpolate(latents, Fraction(FRAMES_PER_CODE), first_latent)
        return interpolate(hidden, RATE_RATIO, first_latent * FRAMES_PER_CODE, first_frame)

    def vocode(self, frames, speaker_embedding=None, lengths=None):
        """Waveform ``(batch, hop * frames)`` of what :meth:`frames` gives.

        A sample depends on :attr:`receptive_field` frames before and behind its own.

        Args:
            frames: ``(batch, frames, latent_dim)``.
            speaker_embedding: ``(batch, speaker_dim)``; None where it hears no speaker.
            lengths: frames of each row; those behind them change nothing, and what the
                waveform holds there means nothing. None: there is no padding.
        """
        rate, own = 1, own_steps(frames, lengths, 1)
        hidden = _told(self.conv_pre(kept(frames, own)), self.cond_pre, speaker_embedding)
        stages = zip(self.ups, self.upsample_rates, self.conds, self.resblocks, strict=True)
        for up, factor, cond, blocks in stages:
            hidden = up(kept(ops.leaky_relu(hidden, negative_slope=LEAK), own))
            rate *= factor
            own = own_steps(hidden, lengths, rate)
            hidden = _told(hidden, cond, speaker_embedding)
            hidden = sum(block(hidden, own=own) for block in blocks) / len(blocks)
        hidden = self.conv_post(kept(ops.leaky_relu(hidden, negative_slope=FINAL_LEAK), own))
        hidden = ops.cast(hidden, "float32")
        if self.spectra_hop:
            size = self.spectra_size
            return inverse_stft(*drawn_spectra(hidden, size), size, self.spectra_hop, own)
        return ops.tanh(hidden[..., 0])

    @property
    def receptive_field(self) -> int:
        """Frames on either side of its own that a sample of the waveform depends on."""
        reach, rate = Fraction(3), 1
        widest = (max(self.resblock_kernels) - 1) // 2
        for factor, kernel in zip(self.upsample_rates, self.upsample_kernels, strict=True):
            reach += Fraction(-(-kernel // (2 * factor)), rate)
            rate *= factor
            reach += Fraction(sum(widest * (d + 1) for d in self.resblock_dilations), rate)
        around = Fraction(OVERLAPPING, rate) if self.spectra_hop else 0
        return math.ceil(reach + Fraction(3, rate) + around)

    @property
    def lookahead(self) -> int:
        """The same behind its own alone."""
        return self.receptive_field

    def output_length(self, length):
        """Samples of ``length`` latents; works on integers and on integer tensors."""
        return HOP_LENGTH * scaled_length(length * FRAMES_PER_CODE, RATE_RATIO)

    def get_config(self) -> dict:
        dims = ("latent_dim", "speaker_dim", "initial_channels")
        convolutions = ("upsample_rates", "upsample_kernels")
        blocks = ("resblock_kernels", "resblock_dilations")
        names = ("name", *dims, *convolutions, *blocks, "spectra_hop")
        return {name: getattr(self, name) for name in names}


class HifiResBlock(Layer):
    """Dilated residual convolutions ``(batch, time, channels)``, HiFi-GAN's first kind."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...], **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

        def conv(dilation, name):
            return Conv1D(channels, kernel, dilation_rate=dilation, padding="same", name=name)

        self.dilated = [conv(rate, f"dilated_{i}") for i, rate in enumerate(dilations)]
        self.plain = [conv(1, f"plain_{i}") for i in range(len(dilations))]

    def build(self, input_shape):
        for layer in [*self.dilated, *self.plain]:
            layer.build((None, None, self.channels))
        self.built = True

    def call(self, inputs, own=None):
        """Apply them; ``own`` ``(batch, time, 1)`` is zero where there is only padding."""
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            hidden = dilated(kept(ops.leaky_relu(inputs, negative_slope=LEAK), own))
            inputs = inputs + plain(kept(ops.leaky_relu(hidden, negative_slope=LEAK), own))
        return inputs


def _told(hidden, layer, speaker_embedding):
    """``hidden`` with what ``layer`` says of a speaker, where there is one."""
    return hidden if layer is None else hidden + layer(speaker_embedding)[:, None]


def own_steps(hidden, lengths, rate: int):
    """One where rows of ``hidden`` have steps of their own, zero in their padding.

    ``rate`` is how many steps each of the ``lengths`` ``(batch,)`` makes; without lengths, None.

    The convolutions of a row alone see zeros behind its end.
    """
    if lengths is None:
        return None
    steps = ops.arange(ops.shape(hidden)[1])[None] < (lengths * rate)[:, None]
    return ops.cast(steps, hidden.dtype)[..., None]


def kept(hidden, own):
    """``hidden`` with zeros in the padding that :func:`own_steps` marks."""
    return hidden if own is None else hidden * own


def interpolate(inputs, scale: Fraction | float, first_input=0, first_output=None):
    """Linear interpolation of ``(batch, length, dim)`` in time by ``scale``.

    Sample centres are mapped by the scale itself (torch's ``scale_factor``), not by
    the ratio of the rounded lengths. As in torch, an input too short to grow is
    handed back as it is.

    Args:
        inputs: a whole sequence, or the end of one.
        scale: of the time axis; a float for sequences whose length is no tensor.
        first_input: number of ``inputs``' first frame in the sequence.
        first_output: number of the first frame wanted; by default the first that
            belongs to ``inputs``.
    """
    length = ops.shape(inputs)[1]
    total = scaled_length(first_input + length, scale)
    if first_output is None:
        first_output = scaled_length(first_input, scale)
    step = ops.where(ops.equal(total, first_input + length), 1.0, float(1 / scale))
    positions = ops.cast(ops.arange(first_output, total), "float32") + 0.5
    source = ops.maximum(positions * step - 0.5, 0.0)
    whole = ops.floor(source)
    left = ops.cast(whole, "int32") - first_input
    # What lies before the first input given is not needed for the frames wanted.
    left, right = ops.maximum(left, 0), ops.clip(left + 1, 0, length - 1)
    weight = ops.cast(source - whole, inputs.dtype)[None, :, None]
    left_values = ops.take(inputs, left, axis=1)
    return left_values + weight * (ops.take(inputs, right, axis=1) - left_values)


def scaled_length(length, scale: Fraction | float):
    """``floor(length * scale)``: in whole numbers, or rounded as torch does for a float."""
    if isinstance(scale, float):
        return int(length * scale)
    return length * scale.numerator // scale.denominator
