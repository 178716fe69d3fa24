"""Settings of XTTS: its model, its data, its training and its speech.

Example:
    >>> config = XTTSConfig.preset("tiny")
    >>> config = config.merged({"training": {"gpt": {"steps": 500}}})
    >>> config.to_yaml("config.yaml")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from myxtts.decoder_config import DEEPEST, WIDEST, DecoderConfig, Discriminators
from myxtts.errors import ConfigError
from myxtts.recipes import PRESETS
from myxtts.replicas import STRATEGY_HELP, Strategy
from myxtts.settings import Settings, nearest, setting
from myxtts.synthesis_config import SynthesisConfig
from myxtts.wavlm_config import WAVLM_NAMES, WavLMConfig

EncoderType = Literal["ecapa_tdnn", "resemblyzer", "coqui", "wavlm"]
SPEAKER_ENCODER_TYPES = get_args(EncoderType)
ENCODER_NAMES = (*SPEAKER_ENCODER_TYPES, *WAVLM_NAMES)
StageName = Literal["dvae", "gpt", "decoder"]
STAGES = get_args(StageName)
Sizes = tuple[int, ...]
# A hundred times the largest model of this kind: what is beyond was a slip of the key, and
# would end in minutes of building or in too little memory.
MOST_TOKENS, LONGEST = 1_000_000, 100_000


@dataclass(frozen=True)
class DVAEConfig(Settings, section="model.dvae"):
    """Discrete VAE that turns mel frames into audio codes (four frames a code)."""

    hidden_dim: int = setting(512, "width of the first strided conv", at_least=1, at_most=WIDEST)
    codebook_dim: int = setting(512, "dimension of a codebook entry", at_least=1, at_most=WIDEST)
    num_codes: int = setting(1024, "entries in the codebook", at_least=1, at_most=MOST_TOKENS)
    speaker_dim: int = setting(
        0,
        "size of the frozen speaker encoder's embedding, which the decoder hears so that the codes "
        "need not tell voices apart; 0: it hears none",
        at_least=0,
    )
    num_resnet_blocks: int = setting(3, "residual blocks each side", at_least=0, at_most=DEEPEST)


@dataclass(frozen=True)
class GPTConfig(Settings, section="model.gpt"):
    """Autoregressive transformer over text ids and audio codes."""

    layers: int = setting(30, "transformer blocks", at_least=1, at_most=DEEPEST)
    model_dim: int = setting(1024, "width of the transformer", at_least=1, at_most=WIDEST)
    heads: int = setting(16, "attention heads", at_least=1, at_most=WIDEST)
    num_text_tokens: int = setting(
        6681, "size of the text vocabulary", at_least=1, at_most=MOST_TOKENS
    )
    max_text_tokens: int = setting(
        402, "longest text in tokens", "tokens", at_least=1, at_most=LONGEST
    )
    max_audio_tokens: int = setting(
        605, "longest speech in audio codes", "codes", at_least=1, at_most=LONGEST
    )
    start_text_token: int = setting(261, "id of [START]", at_least=0, at_most=MOST_TOKENS)
    stop_text_token: int = setting(0, "id of [STOP]", at_least=0, at_most=MOST_TOKENS)
    dropout: float = setting(0.1, "dropout while training", at_least=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        multiple = f"a multiple of model.gpt.heads ({self.heads})"
        self.require(self.model_dim % self.heads == 0, "model_dim", multiple)
        above = f"above model.gpt.start_text_token ({self.start_text_token})"
        self.require(self.num_text_tokens > self.start_text_token, "num_text_tokens", above)


@dataclass(frozen=True)
class ConditioningConfig(Settings, section="model.conditioning"):
    """Conditioning encoder and Perceiver resampler of the ``original`` audio encoder."""

    num_blocks: int = setting(6, "attention blocks of the encoder", at_least=0, at_most=DEEPEST)
    num_latents: int = setting(32, "conditioning latents", at_least=1, at_most=LONGEST)
    perceiver_depth: int = setting(2, "Perceiver layers", at_least=1, at_most=DEEPEST)
    perceiver_heads: int = setting(8, "Perceiver attention heads", at_least=1, at_most=WIDEST)
    perceiver_head_dim: int = setting(64, "width of a Perceiver head", at_least=1, at_most=WIDEST)


@dataclass(frozen=True)
class SpeakerConfig(Settings, section="model.speaker"):
    """Speaker embedding that conditions the decoder.

    The sizes are those of the residual speaker encoder, used by the
    ``original`` audio encoder; ``embedding_dim`` holds in both modes.
    """

    embedding_dim: int = setting(512, "size of the speaker embedding", at_least=1, at_most=WIDEST)
    blocks: Sizes = setting((3, 4, 6, 3), "blocks a layer", at_least=1, at_most=DEEPEST)
    channels: Sizes = setting((32, 64, 128, 256), "channels a layer", at_least=1, at_most=WIDEST)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(len(self.blocks) == len(self.channels), "blocks", "as long as channels")


@dataclass(frozen=True)
class ECAPAConfig(Settings, section="model.ecapa"):
    """Sizes of the pretrained ECAPA-TDNN; the defaults are ``spkrec-ecapa-voxceleb``'s."""

    channels: Sizes = setting(
        (1024, 1024, 1024, 1024, 3072),
        "channels of the first block, the SE-Res2Net blocks and the last",
        at_least=1,
        at_most=WIDEST,
    )
    kernel_sizes: Sizes = setting(
        (5, 3, 3, 3, 1), "kernel of each block", at_least=1, at_most=DEEPEST
    )
    dilations: Sizes = setting(
        (1, 2, 3, 4, 1), "dilation of each block", at_least=1, at_most=DEEPEST
    )
    attention_dim: int = setting(
        128, "width of the pooling's attention", at_least=1, at_most=WIDEST
    )
    res2net_scale: int = setting(8, "groups of a Res2Net block", at_least=1, at_most=WIDEST)
    squeeze_dim: int = setting(128, "width of squeeze-and-excitation", at_least=1, at_most=WIDEST)
    embedding_dim: int = setting(192, "size of the embedding", at_least=1, at_most=WIDEST)

    def __post_init__(self) -> None:
        super().__post_init__()
        length = len(self.channels)
        self.require(len(self.kernel_sizes) == length, "kernel_sizes", "as long as channels")
        self.require(len(self.dilations) == length, "dilations", "as long as channels")
        self.require(length >= 3, "channels", "of 3 blocks or more")
        fits = all(width % self.res2net_scale == 0 for width in self.channels[1:-1])
        self.require(fits, "channels", "multiples of res2net_scale inside")


@dataclass(frozen=True)
class CoquiEncoderConfig(SpeakerConfig, section="model.coqui_encoder"):
    """Sizes of the pretrained residual speaker encoder; the defaults are XTTS-v2's."""


@dataclass(frozen=True)
class ModelConfig(Settings, section="model"):
    """Everything that decides the shapes of the weights."""

    dvae: DVAEConfig = DVAEConfig()
    gpt: GPTConfig = GPTConfig()
    conditioning: ConditioningConfig = ConditioningConfig()
    speaker: SpeakerConfig = SpeakerConfig()
    decoder: DecoderConfig = DecoderConfig()
    ecapa: ECAPAConfig = ECAPAConfig()
    coqui_encoder: CoquiEncoderConfig = CoquiEncoderConfig()
    wavlm: WavLMConfig = WavLMConfig()
    use_pretrained_speaker_encoder: bool = setting(
        False, "condition on a pretrained speaker encoder and a trained projection"
    )
    speaker_encoder_type: EncoderType = setting("ecapa_tdnn", "which pretrained speaker encoder")
    freeze_speaker_encoder: bool = setting(True, "keep the pretrained speaker encoder fixed")
    pretrained_speaker_encoder_path: str | None = setting(
        None, "file, folder or hf://owner/name with the encoder's weights"
    )
    contrastive_loss_temperature: float = setting(
        0.1, "divides the similarities of the contrastive speaker loss", above=0
    )
    contrastive_loss_margin: float = setting(
        0.2, "similarity under which a negative pair costs nothing"
    )


@dataclass(frozen=True)
class DataConfig(Settings, section="data"):
    """Corpora and how utterances become batches."""

    train_data: str | None = setting(None, "folder of the training corpus")
    val_data: str | None = setting(None, "folder of the validation corpus")
    dataset_format: Literal["auto", "ljspeech", "coqui", "vctk", "libritts", "jsonl"] = setting(
        "auto", "layout of the corpora"
    )
    language: str = setting("en", "language of utterances whose metadata names none")
    cache_dir: str | None = setting(None, "folder of cached features (default: inside the run)")
    tokenizer: str | None = setting(None, "existing tokenizer.json to use instead of training one")
    vocabulary: Literal["bpe", "characters"] = setting(
        "bpe", "of a new model: learned pieces of words, or single characters"
    )
    phoneme_share: float = setting(
        0.0,
        "mean share of the words read in phonemes, drawn anew each epoch; needs 'word_phonemes' "
        "in metadata.jsonl and the characters vocabulary, which then has all phonemes",
        at_least=0,
        at_most=1,
    )
    duration_lag: float = setting(
        0.0,
        "how much later than the sound the corpora's durations have it; speech of hibari-tts and "
        "Kokoro: 0.05",
        "seconds",
        at_least=-1,
        at_most=1,
    )
    min_seconds: float = setting(0.5, "shorter utterances are skipped", "seconds")
    max_seconds: float = setting(12.0, "longer utterances are skipped", "seconds", at_most=600)
    silence_db: float = setting(
        -60.0, "an utterance whose peak is below this is silent", "dBFS", at_least=-200, at_most=0
    )
    trim_silence: bool = setting(True, "trim silence at both ends")
    reference: Literal["same_speaker", "same_utterance", "masked_prompt"] = setting(
        "same_speaker",
        "where the conditioning audio of a training example comes from; "
        "masked_prompt: from the utterance itself, whose codes there are not learned",
    )
    reference_seconds: float = setting(
        4.0, "longest conditioning audio while training", "seconds", above=0
    )
    reference_min_seconds: float = setting(
        0.0, "draw its length between this and the longest; 0: always the longest", "seconds"
    )
    extend_vocabulary: int = setting(
        0, "entries at most that the corpus adds to the vocabulary of --init-from", at_least=0
    )
    speakers_per_batch: int = setting(
        0,
        "draw batches of this many speakers; 0: by length only, or of two utterances a speaker "
        "under a speaker loss",
        at_least=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = 0 < self.min_seconds < self.max_seconds
        condition = f"above 0 and below data.max_seconds ({self.max_seconds})"
        self.require(fits, "min_seconds", condition)
        fits = 0 <= self.reference_min_seconds <= self.reference_seconds
        condition = f"at least 0 and at most data.reference_seconds ({self.reference_seconds})"
        self.require(fits, "reference_min_seconds", condition)


@dataclass(frozen=True)
class StageConfig(Settings, section="training.<stage>"):
    """Length and optimisation of one training stage."""

    steps: int = setting(100_000, "optimiser steps", "steps", at_least=0)
    batch_size: int = setting(16, "utterances a batch", at_least=1, at_most=MOST_TOKENS)
    learning_rate: float = setting(1e-4, "peak learning rate", above=0, at_most=10)
    warmup_steps: int = setting(500, "steps of linear warm-up", "steps", at_least=0)
    final_lr_fraction: float = setting(
        0.05, "end of the cosine decay, as a fraction of the peak", at_least=0, at_most=1
    )


@dataclass(frozen=True)
class TrainingConfig(Settings, section="training"):
    """Training stages and everything they share."""

    output_dir: str = setting("runs/xtts", "folder of the run")
    stage: Literal["all", StageName] = setting(
        "all", "stage to run; all runs dvae, gpt, decoder in order"
    )
    init_from: str | None = setting(None, "preset folder to fine-tune instead of a fresh model")
    coqui_compatible: bool = setting(
        False,
        "train the GPT as Coqui does: four stop codes an utterance, the stop of the text unseen",
    )
    dvae: StageConfig = StageConfig()
    gpt: StageConfig = StageConfig()
    decoder: StageConfig = StageConfig()
    seed: int = setting(0, "seed of weights, batches and dropout", at_least=0)
    weight_decay: float = setting(1e-2, "AdamW weight decay", at_least=0)
    gradient_clip: float = setting(1.0, "largest global gradient norm", above=0)
    gradient_accumulation: int = setting(
        1, "batches whose gradients are averaged for one step", at_least=1, at_most=MOST_TOKENS
    )
    mixed_precision: bool = setting(False, "compute in bfloat16, keep weights in float32")
    xla: bool | None = setting(
        None, "compile the training step with XLA (default: where batches have few sizes)"
    )
    batch_codes: int = setting(
        0,
        "audio codes a batch of the gpt stage, padding included, in a few fixed sizes; "
        "0: batches of gpt.batch_size utterances",
        "codes",
        flag="batch_tokens",
        at_least=0,
    )
    text_loss_weight: float = setting(0.01, "GPT text cross-entropy", at_least=0)
    audio_loss_weight: float = setting(1.0, "GPT audio cross-entropy", at_least=0)
    contrastive_loss_weight: float = setting(0.0, "contrastive speaker loss", at_least=0)
    ge2e_loss_weight: float = setting(0.0, "GE2E loss on the speaker embedding", at_least=0)
    ge2e_variant: Literal["softmax", "contrast"] = setting("softmax", "which of the GE2E losses")
    alignment_loss_weight: float = setting(
        0.0, "GPT attention to the text that is being spoken", at_least=0
    )
    alignment_blocks: Sizes = setting(
        (2, 3), "GPT blocks whose attention learns it, the first is 0", at_least=0
    )
    alignment_heads: int = setting(2, "how many heads of each of these blocks do", at_least=1)
    forward_sum: bool = setting(
        False, "find the alignment of utterances without durations by the forward-sum"
    )
    token_loss_weight: float = setting(
        0.0, "cross-entropy of the text id that the next code speaks", at_least=0
    )
    code_token_loss_weight: float = setting(
        0.0, "cross-entropy of what an audio code speaks, in the dvae stage", at_least=0
    )
    speaker_encoder_learning_rate: float = setting(
        1e-5, "peak learning rate of an unfrozen speaker encoder", above=0, at_most=10
    )
    mel_loss_weight: float = setting(45.0, "decoder mel L1 loss", at_least=0)
    stft_loss_weight: float = setting(0.0, "decoder loss on spectra of three sizes", at_least=0)
    pitch_loss_weight: float = setting(20.0, "decoder loss of predicted pitches", at_least=0)
    speaker_loss_weight: float = setting(0.0, "decoder loss of who is heard", at_least=0)
    speaker_swap: float = setting(0.0, "share of it in others' voices", at_least=0, below=1)
    feature_loss_weight: float = setting(2.0, "decoder feature-matching loss", at_least=0)
    discriminators: Discriminators = setting(
        ("multi_period", "multi_scale"), "which judge the decoder: multi_{period,scale,resolution}"
    )
    discriminator_width: float = setting(
        0.0,
        "their channels as a multiple of the published; 0: as wide as the decoder",
        at_least=0,
        at_most=64,
    )
    adversarial_objective: Literal["least_squares", "hinge"] = setting(
        "least_squares", "what discriminators and decoder play for"
    )
    segment_codes: int = setting(
        16,
        "decoder training segment, in audio codes of 46 ms",
        "codes",
        at_least=1,
        at_most=LONGEST,
    )
    segments_per_utterance: int = setting(
        1,
        "decoder training segments cut from an utterance and its latents",
        at_least=1,
        at_most=LONGEST,
    )
    adversarial_start: int = setting(
        0,
        "decoder step from which discriminators take part; beyond its steps: never",
        "steps",
        at_least=0,
    )
    validate_every: int = setting(1000, "steps between validations", "steps", at_least=1)
    checkpoint_every: int = setting(1000, "steps between checkpoints", "steps", at_least=1)
    keep_checkpoints: int = setting(3, "latest checkpoints kept a stage", at_least=1)
    early_stopping: int = setting(
        0, "validations without progress before stopping; 0: never", at_least=0
    )
    strategy: Strategy = setting("none", STRATEGY_HELP)
    resume: bool = setting(False, "continue the run in output_dir")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coqui_compatible and (self.alignment_loss_weight or self.token_loss_weight):
            raise ConfigError(
                "training.coqui_compatible knows no training.alignment_loss_weight and no "
                "training.token_loss_weight; give --no-coqui-compatible or leave both at 0."
            )

    @property
    def has_speaker_loss(self) -> bool:
        """Whether a loss on the speaker embedding has a weight."""
        return self.contrastive_loss_weight > 0 or self.ge2e_loss_weight > 0


@dataclass(frozen=True)
class XTTSConfig(Settings):
    """Model, data, training and synthesis configuration of one XTTS."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    synthesis: SynthesisConfig = SynthesisConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.extend_vocabulary and not self.training.init_from:
            raise ConfigError("data.extend_vocabulary is for fine-tuning; give --init-from too.")
        if self.training.alignment_loss_weight:
            gpt, training = self.model.gpt, self.training
            blocks = f"below model.gpt.layers ({gpt.layers})"
            training.require(
                max(training.alignment_blocks) < gpt.layers, "alignment_blocks", blocks
            )
            heads = f"at most model.gpt.heads ({gpt.heads})"
            training.require(training.alignment_heads <= gpt.heads, "alignment_heads", heads)
        if self.training.speaker_loss_weight and not self.model.use_pretrained_speaker_encoder:
            told = "training.speaker_loss_weight needs a pretrained speaker encoder; give"
            raise ConfigError(f"{told} --use-pretrained-speaker-encoder too.")

    @classmethod
    def preset(cls, name: str) -> XTTSConfig:
        """Return the preset ``tiny``, ``small``, ``normal`` or ``xtts_v2``."""
        if name not in PRESETS:
            raise ConfigError(f"unknown preset {name!r}{nearest(name, PRESETS)}.")
        return cls().merged(PRESETS[name])
