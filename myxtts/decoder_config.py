"""Settings of the decoders from GPT latents to a waveform."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from myxtts.errors import ConfigError
from myxtts.settings import Settings, setting
from myxtts.timing import HOP_LENGTH

Sizes = tuple[int, ...]
# Far beyond any model of this kind; see config.py.
WIDEST, DEEPEST = 65_536, 1_000
Discriminators = tuple[Literal["multi_period", "multi_scale", "multi_resolution"], ...]


@dataclass(frozen=True)
class IstftConfig(Settings, section="model.decoder.istft"):
    """Decoder by inverse Fourier transform (``model.decoder.kind`` istft)."""

    dim: int = setting(256, "channels between the blocks", at_least=1, at_most=WIDEST)
    code_blocks: int = setting(
        4, "ConvNeXt blocks at the rate of the audio codes", at_least=1, at_most=DEEPEST
    )
    code_kernel: int = setting(3, "their kernels in codes", at_least=1, at_most=DEEPEST)
    code_lookahead: int = setting(
        3, "codes behind its own that they hear, which a stream waits for", "codes", at_least=0
    )
    frame_blocks: int = setting(
        6, "ConvNeXt blocks at the rate of the frames", at_least=1, at_most=DEEPEST
    )
    frame_kernel: int = setting(
        7, "their kernels in frames of 256 samples", at_least=1, at_most=DEEPEST
    )
    frame_lookahead: int = setting(
        6, "frames behind its own that they hear, which a stream waits for", "frames", at_least=0
    )
    expansion: int = setting(
        3, "channels inside a block, as a multiple of dim", at_least=1, at_most=DEEPEST
    )
    n_fft: int = setting(1024, "size of the spectra", "samples", at_least=2, at_most=65536)
    hop: int = setting(256, "samples between spectra; divides 256 and n_fft", at_least=2)
    source: Literal["none", "harmonic"] = setting(
        "none",
        "what the spectra are made from: nothing, or harmonics of a predicted pitch and noise",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for part in ("code", "frame"):
            blocks, kernel = getattr(self, f"{part}_blocks"), getattr(self, f"{part}_kernel")
            most = blocks * (kernel - 1)
            fits = getattr(self, f"{part}_lookahead") <= most
            told = f"at most {part}_blocks * ({part}_kernel - 1), which is {most}"
            self.require(fits, f"{part}_lookahead", told)
        fits = HOP_LENGTH % self.hop == 0 and self.hop % 2 == 0
        self.require(fits, "hop", f"an even number that divides {HOP_LENGTH}")
        overlaps = self.n_fft % self.hop == 0 and self.n_fft >= 2 * self.hop
        self.require(overlaps, "n_fft", f"a multiple of hop ({self.hop}), twice that or more")


@dataclass(frozen=True)
class DecoderConfig(Settings, section="model.decoder"):
    """Decoder from GPT latents to a 24 kHz waveform; all but ``istft`` is of HiFi-GAN."""

    kind: Literal["hifigan", "istft"] = setting("hifigan", "which decoder; XTTS-v2's is hifigan")
    initial_channels: int = setting(512, "channels before upsampling", at_least=1, at_most=WIDEST)
    upsample_rates: Sizes = setting(
        (8, 8, 2, 2), "upsampling factors; their product is 256", at_least=1, at_most=256
    )
    upsample_kernels: Sizes = setting(
        (16, 16, 4, 4), "kernel of each upsampling", at_least=1, at_most=256
    )
    resblock_kernels: Sizes = setting(
        (3, 7, 11), "kernels of the parallel residual blocks", at_least=1, at_most=256
    )
    resblock_dilations: Sizes = setting(
        (1, 3, 5), "dilations inside each residual block", at_least=1, at_most=256
    )
    istft: IstftConfig = IstftConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        product = math.prod(self.upsample_rates)
        if product != 256:
            raise ConfigError(
                f"model.decoder.upsample_rates multiplies to {product}; it must multiply to 256."
            )
        fits = len(self.upsample_kernels) == len(self.upsample_rates)
        self.require(fits, "upsample_kernels", "as long as upsample_rates")
