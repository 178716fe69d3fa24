"""Typed configuration: dataclasses, their YAML form and the named presets.

:class:`XTTSConfig` is the whole of a model, its data and its training. It is
strict: an unknown key, a mistyped value or an impossible combination raises
:class:`~myxtts.errors.ConfigError` naming the key and the nearest valid one.

Example:
    >>> config = XTTSConfig.preset("tiny")
    >>> config = config.merged({"training": {"gpt": {"steps": 500}}})
    >>> config.to_yaml("config.yaml")
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from myxtts.errors import ConfigError
from myxtts.settings import (
    from_dict,
    merge,
    nearest,
    read_yaml,
    require,
    require_product,
    require_same_length,
    to_dict,
)

SPEAKER_ENCODER_TYPES = ("ecapa_tdnn", "resemblyzer", "coqui")
STAGES = ("dvae", "gpt", "decoder")


@dataclass(frozen=True)
class DVAEConfig:
    """Discrete VAE that turns mel frames into audio codes (four frames a code)."""

    hidden_dim: int = field(default=512, metadata={"help": "width of the first strided conv"})
    codebook_dim: int = field(default=512, metadata={"help": "dimension of a codebook entry"})
    num_codes: int = field(default=1024, metadata={"help": "entries in the codebook"})
    num_resnet_blocks: int = field(default=3, metadata={"help": "residual blocks each side"})


@dataclass(frozen=True)
class GPTConfig:
    """Autoregressive transformer over text ids and audio codes."""

    layers: int = field(default=30, metadata={"help": "transformer blocks"})
    model_dim: int = field(default=1024, metadata={"help": "width of the transformer"})
    heads: int = field(default=16, metadata={"help": "attention heads"})
    num_text_tokens: int = field(default=6681, metadata={"help": "size of the text vocabulary"})
    max_text_tokens: int = field(default=402, metadata={"help": "longest text in tokens"})
    max_audio_tokens: int = field(default=605, metadata={"help": "longest speech in audio codes"})
    start_text_token: int = field(default=261, metadata={"help": "id of [START]"})
    stop_text_token: int = field(default=0, metadata={"help": "id of [STOP]"})
    dropout: float = field(default=0.1, metadata={"help": "dropout while training"})


@dataclass(frozen=True)
class ConditioningConfig:
    """Conditioning encoder and Perceiver resampler of the ``original`` audio encoder."""

    num_blocks: int = field(default=6, metadata={"help": "attention blocks of the encoder"})
    num_latents: int = field(default=32, metadata={"help": "conditioning latents"})
    perceiver_depth: int = field(default=2, metadata={"help": "Perceiver layers"})
    perceiver_heads: int = field(default=8, metadata={"help": "Perceiver attention heads"})
    perceiver_head_dim: int = field(default=64, metadata={"help": "width of a Perceiver head"})


@dataclass(frozen=True)
class SpeakerConfig:
    """Speaker embedding that conditions the decoder.

    The sizes are those of the residual speaker encoder, used by the
    ``original`` audio encoder; ``embedding_dim`` holds in both modes.
    """

    embedding_dim: int = field(default=512, metadata={"help": "size of the speaker embedding"})
    blocks: tuple[int, ...] = field(default=(3, 4, 6, 3), metadata={"help": "blocks a layer"})
    channels: tuple[int, ...] = field(
        default=(32, 64, 128, 256), metadata={"help": "channels a layer"}
    )


@dataclass(frozen=True)
class ECAPAConfig:
    """Sizes of the pretrained ECAPA-TDNN; the defaults are ``spkrec-ecapa-voxceleb``'s."""

    channels: tuple[int, ...] = field(
        default=(1024, 1024, 1024, 1024, 3072),
        metadata={"help": "channels of the first block, the SE-Res2Net blocks and the last"},
    )
    kernel_sizes: tuple[int, ...] = field(
        default=(5, 3, 3, 3, 1), metadata={"help": "kernel of each block"}
    )
    dilations: tuple[int, ...] = field(
        default=(1, 2, 3, 4, 1), metadata={"help": "dilation of each block"}
    )
    attention_dim: int = field(default=128, metadata={"help": "width of the pooling's attention"})
    res2net_scale: int = field(default=8, metadata={"help": "groups of a Res2Net block"})
    squeeze_dim: int = field(default=128, metadata={"help": "width of squeeze-and-excitation"})
    embedding_dim: int = field(default=192, metadata={"help": "size of the embedding"})

    def __post_init__(self) -> None:
        for name in ("kernel_sizes", "dilations"):
            require_same_length(self, "channels", name, "model.ecapa")
        require(
            len(self.channels) >= 3, "model.ecapa.channels", "of 3 blocks or more", self.channels
        )
        inner = self.channels[1:-1]
        fits = all(width % self.res2net_scale == 0 for width in inner)
        require(fits, "model.ecapa.channels", "multiples of res2net_scale inside", self.channels)


@dataclass(frozen=True)
class CoquiEncoderConfig:
    """Sizes of the pretrained residual speaker encoder; the defaults are XTTS-v2's."""

    embedding_dim: int = field(default=512, metadata={"help": "size of the embedding"})
    blocks: tuple[int, ...] = field(default=(3, 4, 6, 3), metadata={"help": "blocks a layer"})
    channels: tuple[int, ...] = field(
        default=(32, 64, 128, 256), metadata={"help": "channels a layer"}
    )

    def __post_init__(self) -> None:
        require_same_length(self, "blocks", "channels", "model.coqui_encoder")


@dataclass(frozen=True)
class DecoderConfig:
    """HiFi-GAN decoder from GPT latents to a 24 kHz waveform."""

    initial_channels: int = field(default=512, metadata={"help": "channels before upsampling"})
    upsample_rates: tuple[int, ...] = field(
        default=(8, 8, 2, 2), metadata={"help": "upsampling factors; their product is 256"}
    )
    upsample_kernels: tuple[int, ...] = field(
        default=(16, 16, 4, 4), metadata={"help": "kernel of each upsampling"}
    )
    resblock_kernels: tuple[int, ...] = field(
        default=(3, 7, 11), metadata={"help": "kernels of the parallel residual blocks"}
    )
    resblock_dilations: tuple[int, ...] = field(
        default=(1, 3, 5), metadata={"help": "dilations inside each residual block"}
    )


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides the shapes of the weights."""

    dvae: DVAEConfig = field(default_factory=DVAEConfig)
    gpt: GPTConfig = field(default_factory=GPTConfig)
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    speaker: SpeakerConfig = field(default_factory=SpeakerConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    ecapa: ECAPAConfig = field(default_factory=ECAPAConfig)
    coqui_encoder: CoquiEncoderConfig = field(default_factory=CoquiEncoderConfig)
    use_pretrained_speaker_encoder: bool = field(
        default=False,
        metadata={"help": "condition on a pretrained speaker encoder and a trained projection"},
    )
    speaker_encoder_type: Literal["ecapa_tdnn", "resemblyzer", "coqui"] = field(
        default="ecapa_tdnn", metadata={"help": "which pretrained speaker encoder"}
    )
    freeze_speaker_encoder: bool = field(
        default=True, metadata={"help": "keep the pretrained speaker encoder fixed"}
    )
    pretrained_speaker_encoder_path: str | None = field(
        default=None, metadata={"help": "file or folder with the encoder's weights"}
    )
    contrastive_loss_temperature: float = field(
        default=0.1, metadata={"help": "divides the similarities of the contrastive speaker loss"}
    )
    contrastive_loss_margin: float = field(
        default=0.2, metadata={"help": "similarity under which a negative pair costs nothing"}
    )

    def __post_init__(self) -> None:
        if self.gpt.model_dim % self.gpt.heads:
            raise ConfigError(
                f"model.gpt.model_dim ({self.gpt.model_dim}) must be a multiple of "
                f"model.gpt.heads ({self.gpt.heads})."
            )
        require(
            self.gpt.num_text_tokens > self.gpt.start_text_token,
            "model.gpt.num_text_tokens",
            f"above model.gpt.start_text_token ({self.gpt.start_text_token})",
            self.gpt.num_text_tokens,
        )
        require_product(self.decoder.upsample_rates, 256, "model.decoder.upsample_rates")
        require_same_length(self.decoder, "upsample_rates", "upsample_kernels", "model.decoder")
        require_same_length(self.speaker, "blocks", "channels", "model.speaker")


@dataclass(frozen=True)
class DataConfig:
    """Corpora and how utterances become batches."""

    train_data: str | None = field(default=None, metadata={"help": "folder of the training corpus"})
    val_data: str | None = field(default=None, metadata={"help": "folder of the validation corpus"})
    dataset_format: Literal["auto", "ljspeech", "vctk", "libritts", "jsonl"] = field(
        default="auto", metadata={"help": "layout of the corpora"}
    )
    language: str = field(
        default="en", metadata={"help": "language of utterances whose metadata names none"}
    )
    cache_dir: str | None = field(
        default=None, metadata={"help": "folder of cached features (default: inside the run)"}
    )
    tokenizer: str | None = field(
        default=None, metadata={"help": "existing tokenizer.json to use instead of training one"}
    )
    min_seconds: float = field(default=0.5, metadata={"help": "shorter utterances are skipped"})
    max_seconds: float = field(default=12.0, metadata={"help": "longer utterances are skipped"})
    silence_db: float = field(
        default=-60.0, metadata={"help": "an utterance whose peak is below this is silent (dBFS)"}
    )
    trim_silence: bool = field(default=True, metadata={"help": "trim silence at both ends"})
    reference: Literal["same_speaker", "same_utterance", "masked_prompt"] = field(
        default="same_speaker",
        metadata={
            "help": "where the conditioning audio of a training example comes from; "
            "masked_prompt: from the utterance itself, whose codes there are not learned"
        },
    )
    reference_seconds: float = field(
        default=4.0, metadata={"help": "longest conditioning audio while training"}
    )
    reference_min_seconds: float = field(
        default=0.0,
        metadata={"help": "draw its length between this and the longest; 0: always the longest"},
    )
    extend_vocabulary: int = field(
        default=0,
        metadata={"help": "entries at most that the corpus adds to the vocabulary of --init-from"},
    )
    speakers_per_batch: int = field(
        default=0,
        metadata={
            "help": "draw batches of this many speakers; 0: by length only, or of two "
            "utterances a speaker under a speaker loss"
        },
    )

    def __post_init__(self) -> None:
        require(
            0 < self.min_seconds < self.max_seconds,
            "data.min_seconds",
            f"above 0 and below data.max_seconds ({self.max_seconds})",
            self.min_seconds,
        )
        seconds = self.reference_seconds
        require(seconds > 0, "data.reference_seconds", "above 0", seconds)
        require(
            0 <= self.reference_min_seconds <= seconds,
            "data.reference_min_seconds",
            f"at least 0 and at most data.reference_seconds ({seconds})",
            self.reference_min_seconds,
        )
        added = self.extend_vocabulary
        require(added >= 0, "data.extend_vocabulary", "at least 0", added)


@dataclass(frozen=True)
class StageConfig:
    """Length and optimisation of one training stage."""

    steps: int = field(default=100_000, metadata={"help": "optimiser steps"})
    batch_size: int = field(default=16, metadata={"help": "utterances a batch"})
    learning_rate: float = field(default=1e-4, metadata={"help": "peak learning rate"})
    warmup_steps: int = field(default=500, metadata={"help": "steps of linear warm-up"})
    final_lr_fraction: float = field(
        default=0.05, metadata={"help": "end of the cosine decay, as a fraction of the peak"}
    )

    def __post_init__(self) -> None:
        require(self.steps >= 0, "steps of a stage", "at least 0", self.steps)
        require(self.batch_size >= 1, "batch_size of a stage", "at least 1", self.batch_size)
        require(self.learning_rate > 0, "learning_rate of a stage", "above 0", self.learning_rate)


@dataclass(frozen=True)
class TrainingConfig:
    """Training stages and everything they share."""

    output_dir: str = field(default="runs/xtts", metadata={"help": "folder of the run"})
    stage: Literal["all", "dvae", "gpt", "decoder"] = field(
        default="all", metadata={"help": "stage to run; all runs dvae, gpt, decoder in order"}
    )
    init_from: str | None = field(
        default=None, metadata={"help": "preset folder to fine-tune instead of a fresh model"}
    )
    coqui_compatible: bool = field(
        default=False,
        metadata={
            "help": "train the GPT as Coqui does: four stop codes an utterance, the stop of "
            "the text unseen"
        },
    )
    dvae: StageConfig = field(default_factory=StageConfig)
    gpt: StageConfig = field(default_factory=StageConfig)
    decoder: StageConfig = field(default_factory=StageConfig)
    seed: int = field(default=0, metadata={"help": "seed of weights, batches and dropout"})
    weight_decay: float = field(default=1e-2, metadata={"help": "AdamW weight decay"})
    gradient_clip: float = field(default=1.0, metadata={"help": "largest global gradient norm"})
    gradient_accumulation: int = field(
        default=1, metadata={"help": "batches whose gradients are averaged for one step"}
    )
    mixed_precision: bool = field(
        default=False, metadata={"help": "compute in bfloat16, keep weights in float32"}
    )
    xla: bool = field(default=False, metadata={"help": "compile the training step with XLA"})
    text_loss_weight: float = field(default=0.01, metadata={"help": "GPT text cross-entropy"})
    audio_loss_weight: float = field(default=1.0, metadata={"help": "GPT audio cross-entropy"})
    contrastive_loss_weight: float = field(
        default=0.0, metadata={"help": "contrastive speaker loss on the speaker embedding"}
    )
    ge2e_loss_weight: float = field(
        default=0.0, metadata={"help": "GE2E loss on the speaker embedding"}
    )
    ge2e_variant: Literal["softmax", "contrast"] = field(
        default="softmax", metadata={"help": "which of the two GE2E losses"}
    )
    speaker_encoder_learning_rate: float = field(
        default=1e-5, metadata={"help": "peak learning rate of an unfrozen speaker encoder"}
    )
    mel_loss_weight: float = field(default=45.0, metadata={"help": "decoder mel L1 loss"})
    feature_loss_weight: float = field(
        default=2.0, metadata={"help": "decoder feature-matching loss"}
    )
    segment_codes: int = field(
        default=16, metadata={"help": "decoder training segment, in audio codes of 46 ms"}
    )
    adversarial_start: int = field(
        default=0,
        metadata={
            "help": "decoder step from which discriminators take part; beyond its steps: never"
        },
    )
    validate_every: int = field(default=1000, metadata={"help": "steps between validations"})
    checkpoint_every: int = field(default=1000, metadata={"help": "steps between checkpoints"})
    keep_checkpoints: int = field(default=3, metadata={"help": "latest checkpoints kept a stage"})
    early_stopping: int = field(
        default=0, metadata={"help": "validations without progress before stopping; 0: never"}
    )
    resume: bool = field(default=False, metadata={"help": "continue the run in output_dir"})

    def __post_init__(self) -> None:
        for name in ("validate_every", "checkpoint_every", "keep_checkpoints", "segment_codes"):
            value = getattr(self, name)
            require(value >= 1, f"training.{name}", "at least 1", value)
        require(self.seed >= 0, "training.seed", "at least 0", self.seed)
        for name in ("contrastive_loss_weight", "ge2e_loss_weight"):
            value = getattr(self, name)
            require(value >= 0, f"training.{name}", "at least 0", value)
        rate = self.speaker_encoder_learning_rate
        require(rate > 0, "training.speaker_encoder_learning_rate", "above 0", rate)
        accumulation = self.gradient_accumulation
        require(accumulation >= 1, "training.gradient_accumulation", "at least 1", accumulation)

    @property
    def has_speaker_loss(self) -> bool:
        """Whether a loss on the speaker embedding has a weight."""
        return self.contrastive_loss_weight > 0 or self.ge2e_loss_weight > 0

    def stage_config(self, stage: str) -> StageConfig:
        """Settings of ``stage``, one of ``dvae``, ``gpt``, ``decoder``."""
        return getattr(self, stage)


@dataclass(frozen=True)
class SynthesisConfig:
    """How audio codes are sampled and turned into a waveform."""

    temperature: float = field(default=0.75, metadata={"help": "sampling temperature; 0: greedy"})
    top_k: int = field(default=50, metadata={"help": "sample among this many codes; 0: all"})
    top_p: float = field(default=0.85, metadata={"help": "sample within this probability mass"})
    repetition_penalty: float = field(
        default=1.0, metadata={"help": "divides the scores of codes already spoken; 1: off"}
    )
    num_beams: int = field(
        default=1, metadata={"help": "hypotheses of a beam search, for temperature 0; 1: none"}
    )
    length_penalty: float = field(
        default=1.0,
        metadata={"help": "with beams only: above 0 favours longer speech, below 0 shorter"},
    )
    seed: int = field(default=0, metadata={"help": "seed of the sampling"})
    seconds_per_character: float = field(
        default=0.25, metadata={"help": "bound of the output length, beside two seconds"}
    )
    speed: float = field(
        default=1.0, metadata={"help": "how fast to speak: 2 halves the duration, 0.5 doubles it"}
    )
    max_characters: int = field(
        default=0,
        metadata={"help": "longest piece a text is split into; 0: what suits its language"},
    )
    min_seconds_per_character: float = field(
        default=0.02, metadata={"help": "the speech does not end before so long"}
    )
    retries: int = field(
        default=2,
        metadata={"help": "tries with the next seeds when speech rambles, halts or is cut"},
    )
    stream_codes: int = field(
        default=20, metadata={"help": "audio codes of 46 ms between the pieces of a stream"}
    )
    first_codes: int = field(
        default=8, metadata={"help": "audio codes before the first piece of a stream"}
    )
    coqui_compatible: bool = field(
        default=False,
        metadata={"help": "penalise and allow the codes that Coqui's program does, for parity"},
    )
    gpt_cond_len: float = field(
        default=30.0, metadata={"help": "seconds of the references the GPT hears; 0: all"}
    )
    gpt_cond_chunk_len: float = field(
        default=4.0, metadata={"help": "seconds of the chunks whose latents are averaged"}
    )
    max_ref_length: float = field(
        default=30.0, metadata={"help": "seconds of each reference that are used"}
    )
    sound_norm_refs: bool = field(
        default=False, metadata={"help": "bring every reference to a peak of 0.75"}
    )
    xla: bool = field(
        default=False,
        metadata={"help": "compile the GPT's steps: faster speech after seconds of compiling"},
    )
    vocoder: Literal["auto", "griffin_lim", "hifi"] = field(
        default="auto",
        metadata={"help": "auto takes hifi once the decoder stage has been trained"},
    )

    def __post_init__(self) -> None:
        require(self.temperature >= 0, "synthesis.temperature", "at least 0", self.temperature)
        require(self.seed >= 0, "synthesis.seed", "at least 0", self.seed)
        require(self.top_k >= 0, "synthesis.top_k", "at least 0", self.top_k)
        require(0 < self.top_p <= 1, "synthesis.top_p", "in (0, 1]", self.top_p)
        require(
            self.repetition_penalty > 0,
            "synthesis.repetition_penalty",
            "above 0",
            self.repetition_penalty,
        )
        self._check_beams()
        for name in (
            "gpt_cond_chunk_len",
            "max_ref_length",
            "stream_codes",
            "first_codes",
            "speed",
        ):
            value = getattr(self, name)
            require(0 < value < math.inf, f"synthesis.{name}", "above 0 and finite", value)
        for name in ("gpt_cond_len", "min_seconds_per_character", "retries", "max_characters"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"synthesis.{name}", "at least 0 and finite", value)
        require(
            0 < self.seconds_per_character < math.inf,
            "synthesis.seconds_per_character",
            "above 0 and finite",
            self.seconds_per_character,
        )

    def _check_beams(self) -> None:
        beams, penalty = self.num_beams, self.length_penalty
        require(beams >= 1, "synthesis.num_beams", "at least 1", beams)
        # Beyond it, a few hundred codes raised to the penalty leave float32.
        require(-10 <= penalty <= 10, "synthesis.length_penalty", "from -10 to 10", penalty)
        if beams > 1 and self.temperature > 0:
            raise ConfigError(
                f"beam search is deterministic: synthesis.num_beams {beams} wants "
                f"synthesis.temperature 0, not {self.temperature}."
            )
        if beams > 1 and self.xla:
            raise ConfigError(f"synthesis.xla is not for beam search (num_beams {beams}).")


@dataclass(frozen=True)
class XTTSConfig:
    """Model, data, training and synthesis configuration of one XTTS."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)

    def __post_init__(self) -> None:
        if self.data.extend_vocabulary and not self.training.init_from:
            raise ConfigError("data.extend_vocabulary is for fine-tuning; give --init-from too.")

    @classmethod
    def preset(cls, name: str) -> XTTSConfig:
        """Return the preset ``tiny``, ``small``, ``normal`` or ``xtts_v2``."""
        from myxtts.recipes import PRESETS

        if name not in PRESETS:
            raise ConfigError(f"unknown preset {name!r}{nearest(name, PRESETS)}.")
        return from_dict(cls, PRESETS[name])

    @classmethod
    def from_yaml(cls, path: str | Path, base: XTTSConfig | None = None) -> XTTSConfig:
        """Read a YAML file over ``base`` (the defaults when None).

        Raises:
            ConfigError: the file is missing, is not YAML or has a wrong key or value.
        """
        return (base or cls()).merged(read_yaml(path), source=str(path))

    def to_yaml(self, path: str | Path) -> None:
        """Write every field to ``path``."""
        Path(path).write_text(yaml.safe_dump(to_dict(self), sort_keys=False), encoding="utf-8")

    def merged(self, values: dict[str, Any], source: str = "configuration") -> XTTSConfig:
        """Return a copy with the nested ``values`` laid over this configuration."""
        return merge(self, values, source, prefix="")
