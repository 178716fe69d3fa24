"""Settings of the vocoders of mels, WaveRNN and HiFi-GAN: sizes, data, training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from myxtts.config import MOST_TOKENS, StageConfig
from myxtts.decoder_config import DEEPEST, WIDEST, Discriminators, Sizes
from myxtts.replicas import STRATEGY_HELP, Strategy
from myxtts.settings import Settings, setting

Mode = Literal["RAW", "MOL"]
# Of RTVC's generation: samples of a fold between its overlaps, and of an overlap.
TARGET, OVERLAP = 8000, 800
# The latter for the sounds of a training.
TRAINING_OVERLAP = 400
# Name of HiFi-GAN's stage, and of its section of the training's settings.
HIFIGAN_STAGE = "hifigan"
# A synthesizer's mels lie in [-4, 4], a vocoder's in [-1, 1].
MEL_SCALE = 4.0


@dataclass(frozen=True)
class WaveRNNConfig(Settings, section="model"):
    """Sizes of a WaveRNN; the defaults are those of Real-Time-Voice-Cloning's."""

    mode: Mode = setting(
        "RAW",
        "what it tells of the next sample: RAW: a class of 2**bits; MOL: a mixture of logistics",
    )
    mu_law: bool = setting(True, "classes of RAW are mu-law classes")
    bits: int = setting(9, "bits of a class of RAW", at_least=2, at_most=12)
    sample_rate: int = setting(16_000, "of the waveform", "hertz", at_least=1000, at_most=192_000)
    preemphasis: float = setting(
        0.97, "of the waveform it models; undone behind it", at_least=0, below=1
    )
    feat_dims: int = setting(80, "mel channels", at_least=1, at_most=WIDEST)
    rnn_dims: int = setting(512, "width of both GRUs", at_least=1, at_most=WIDEST)
    fc_dims: int = setting(512, "width of the layers behind them", at_least=1, at_most=WIDEST)
    compute_dims: int = setting(128, "width of the blocks over mels", at_least=1, at_most=WIDEST)
    res_out_dims: int = setting(
        128, "features that the blocks hand on, to four layers", at_least=4, at_most=WIDEST
    )
    res_blocks: int = setting(10, "residual blocks over mels", at_least=0, at_most=DEEPEST)
    pad: int = setting(
        2, "mel frames on either side that a frame hears", "frames", at_least=0, at_most=100
    )
    upsample_factors: tuple[int, ...] = setting(
        (5, 5, 8), "steps from frames to samples; their product is the hop length", at_least=1
    )

    @property
    def hop_length(self) -> int:
        """Samples of a mel frame."""
        return math.prod(self.upsample_factors)


@dataclass(frozen=True)
class VocoderDataConfig(Settings, section="data"):
    """Mels with their recordings, in the folders that Real-Time-Voice-Cloning lays out."""

    train_data: str | None = setting(
        None, "folder of the synthesizer's data: train.txt, mels and audio"
    )
    val_data: str | None = setting(
        None, "another such folder (default: every twentieth utterance is held out)"
    )
    vocoder_dir: str | None = setting(
        None, "folder of synthesized.txt and mels_gta (default: vocoder, beside train_data)"
    )
    ground_truth: bool = setting(
        False, "learn from the recordings' own mels instead of a synthesizer's"
    )
    crop_frames: int = setting(5, "mel frames of a crop", "frames", at_least=1, at_most=MOST_TOKENS)


@dataclass(frozen=True)
class VocoderTrainingConfig(Settings, section="training"):
    """Rates and lengths."""

    # What the one trainer asks of every system, and here is no choice.
    stage: ClassVar[str] = "all"
    mixed_precision: ClassVar[bool] = False
    xla: ClassVar[bool] = False

    output_dir: str = setting("runs/vocoder", "folder of the run")
    init_from: str | None = setting(
        None, "what to go on from: a preset folder, or a vocoder.pt with its optimizer's state"
    )
    # The published rate is constant.
    vocoder: StageConfig = StageConfig(
        steps=500_000, batch_size=100, learning_rate=1e-4, warmup_steps=0, final_lr_fraction=1.0
    )
    epochs: int = setting(
        0, "passes over the utterances, instead of vocoder.steps; 0: those steps", at_least=0
    )
    seed: int = setting(0, "seed of weights and crops", at_least=0)
    gradient_clip: float = setting(
        4.0, "largest global gradient norm; 0, as in the original: any", at_least=0
    )
    gradient_accumulation: int = setting(
        1, "batches whose gradients are averaged for one step", at_least=1, at_most=MOST_TOKENS
    )
    heard: int = setting(
        5, "validation utterances that are spoken at every validation", at_least=0, at_most=100
    )
    heard_honestly: bool = setting(
        True, "speak them without the silence that the original leaves at every seam of folds"
    )
    validate_every: int = setting(1000, "steps between validations", "steps", at_least=1)
    checkpoint_every: int = setting(1000, "steps between checkpoints", "steps", at_least=1)
    backup_every: int = setting(
        25_000, "steps between copies of vocoder.pt that stay; 0: none", "steps", at_least=0
    )
    keep_checkpoints: int = setting(3, "latest checkpoints kept", at_least=1)
    early_stopping: int = setting(
        0, "validations without progress before stopping; 0: never", at_least=0
    )
    strategy: Strategy = setting("none", STRATEGY_HELP)
    resume: bool = setting(False, "continue the run in output_dir")


@dataclass(frozen=True)
class VocoderConfig(Settings):
    """Everything that a training of a WaveRNN is told."""

    model: WaveRNNConfig = WaveRNNConfig()
    data: VocoderDataConfig = VocoderDataConfig()
    training: VocoderTrainingConfig = VocoderTrainingConfig()


@dataclass(frozen=True)
class HifiGanConfig(Settings, section="model"):
    """Sizes of a HiFi-GAN of mels; the defaults learn on a processor."""

    # As it is heard, and with no frames beside a crop: what a corpus asks of a vocoder.
    preemphasis: ClassVar[float] = 0.0
    pad: ClassVar[int] = 0

    sample_rate: int = setting(16_000, "of the waveform", "hertz", at_least=1000, at_most=192_000)
    feat_dims: int = setting(80, "mel channels", at_least=1, at_most=WIDEST)
    initial_channels: int = setting(256, "channels before upsampling", at_least=1, at_most=WIDEST)
    upsample_rates: Sizes = setting(
        (5, 5), "upsampling factors; times spectra_hop they are the hop length", at_least=1
    )
    upsample_kernels: Sizes = setting((10, 10), "kernel of each upsampling", at_least=1)
    resblock_kernels: Sizes = setting(
        (3, 7), "kernels of the parallel residual blocks", at_least=1, at_most=256
    )
    resblock_dilations: Sizes = setting(
        (1, 3), "dilations inside each residual block", at_least=1, at_most=256
    )
    spectra_hop: int = setting(
        8,
        "samples of the last step, which is an inverse Fourier transform; 0: there is none, as in "
        "the published model",
        "samples",
        at_least=0,
        at_most=4096,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = len(self.upsample_kernels) == len(self.upsample_rates)
        self.require(fits, "upsample_kernels", "as long as upsample_rates")
        self.require(self.spectra_hop % 2 == 0, "spectra_hop", "even")

    @property
    def hop_length(self) -> int:
        """Samples of a mel frame."""
        return math.prod(self.upsample_rates) * max(self.spectra_hop, 1)


@dataclass(frozen=True)
class HifiGanTrainingConfig(Settings, section="training"):
    """Rates, lengths and weights of the losses."""

    stage: ClassVar[str] = "all"
    mixed_precision: ClassVar[bool] = False
    xla: ClassVar[bool] = False

    output_dir: str = setting("runs/hifigan", "folder of the run")
    init_from: str | None = setting(None, "preset folder of a HiFi-GAN to go on from")
    hifigan: StageConfig = StageConfig(
        steps=20_000, batch_size=16, learning_rate=5e-4, warmup_steps=100
    )
    seed: int = setting(0, "seed of weights and crops", at_least=0)
    weight_decay: float = setting(1e-2, "AdamW weight decay", at_least=0)
    gradient_clip: float = setting(10.0, "largest global gradient norm", above=0)
    gradient_accumulation: int = setting(
        1, "batches whose gradients are averaged for one step", at_least=1, at_most=MOST_TOKENS
    )
    mel_loss_weight: float = setting(20.0, "loss of mels", at_least=0)
    stft_loss_weight: float = setting(5.0, "loss on spectra of three sizes", at_least=0)
    feature_loss_weight: float = setting(2.0, "feature-matching loss", at_least=0)
    discriminators: Discriminators = setting(
        ("multi_resolution", "multi_period"), "judges: multi_{period,scale,resolution}"
    )
    discriminator_width: float = setting(
        0.125, "their channels as a multiple of the published", above=0, at_most=64
    )
    adversarial_objective: Literal["least_squares", "hinge"] = setting(
        "least_squares", "what judges and vocoder play for"
    )
    adversarial_start: int = setting(
        2000, "step from which judges take part; beyond its steps: never", "steps", at_least=0
    )
    heard: int = setting(
        3, "validation utterances that are spoken at every validation", at_least=0, at_most=100
    )
    validate_every: int = setting(1000, "steps between validations", "steps", at_least=1)
    checkpoint_every: int = setting(1000, "steps between checkpoints", "steps", at_least=1)
    keep_checkpoints: int = setting(3, "latest checkpoints kept", at_least=1)
    early_stopping: int = setting(
        0, "validations without progress before stopping; 0: never", at_least=0
    )
    strategy: Strategy = setting("none", STRATEGY_HELP)
    resume: bool = setting(False, "continue the run in output_dir")


@dataclass(frozen=True)
class HifiGanSettings(Settings):
    """Everything that a training of a HiFi-GAN of mels is told."""

    model: HifiGanConfig = HifiGanConfig()
    data: VocoderDataConfig = VocoderDataConfig(crop_frames=32)
    training: HifiGanTrainingConfig = HifiGanTrainingConfig()
