"""Settings of a speaker encoder that is trained here: its sizes, its data and its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from myxtts.config import (
    MOST_TOKENS,
    CoquiEncoderConfig,
    ECAPAConfig,
    EncoderType,
    ModelConfig,
    StageConfig,
)
from myxtts.errors import ConfigError
from myxtts.replicas import STRATEGY_HELP, Strategy
from myxtts.settings import Settings, setting, to_dict
from myxtts.wavlm_config import WavLMConfig

Paths = tuple[str, ...]
# A least and a largest value, between which one is drawn.
Range = tuple[float, ...]
# ``training.init_from`` of the weights that the encoder's upstream published.
PUBLISHED = "published"
# Encoders that can be trained in bfloat16.
MIXED = ("ecapa_tdnn", "wavlm")
# Those with batch norms.
NORMED = ("ecapa_tdnn", "coqui")


def _require_range(config: Settings, name: str) -> None:
    values = getattr(config, name)
    fits = len(values) == 2 and values[0] <= values[1]
    config.require(fits, name, "a least and a largest value")


@dataclass(frozen=True)
class EncoderConfig(Settings, section="model"):
    """Which speaker encoder, and its sizes; Resemblyzer's LSTM has one size."""

    speaker_encoder_type: EncoderType = setting("ecapa_tdnn", "which speaker encoder")
    ecapa: ECAPAConfig = ECAPAConfig()
    coqui_encoder: CoquiEncoderConfig = CoquiEncoderConfig()
    wavlm: WavLMConfig = WavLMConfig()

    def section(self) -> ModelConfig:
        """The ``model`` section of an XTTS with this encoder, which is to learn."""
        return ModelConfig().merged({**to_dict(self), "freeze_speaker_encoder": False})


@dataclass(frozen=True)
class AugmentationConfig(Settings, section="data.augmentation"):
    """What training recordings are mixed with; nothing without folders, speed and gain."""

    noise_paths: Paths = setting((), "folders of noises; the top of MUSAN or RIRS_NOISES will do")
    music_paths: Paths = setting((), "folders of music; the top of MUSAN will do")
    babble_paths: Paths = setting(
        (), "folders of speech, several voices of which become babble; the top of MUSAN will do"
    )
    reverb_paths: Paths = setting(
        (), "folders of room impulse responses; the top of RIRS_NOISES will do"
    )
    probability: float = setting(0.6, "of each kind there are folders of", at_least=0, at_most=1)
    noise_snr: Range = setting((0.0, 15.0), "speech over noise", "dB")
    music_snr: Range = setting((5.0, 15.0), "speech over music", "dB")
    babble_snr: Range = setting((13.0, 20.0), "speech over babble", "dB")
    babble_voices: tuple[int, ...] = setting((3, 7), "voices of babble", at_least=1, at_most=100)
    gain: Range = setting((0.0, 0.0), "change of level", "dB", at_least=-60, at_most=60)
    speed_change: float = setting(
        0.0,
        "share by which copies of the recordings are faster and slower (0.1: 0.9 and 1.1); each "
        "copy of a speaker counts as a new one. 0: no copies",
        at_least=0,
        at_most=0.5,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("noise_snr", "music_snr", "babble_snr", "babble_voices", "gain"):
            _require_range(self, name)

    @property
    def speeds(self) -> tuple[float, ...]:
        """Of the copies of every recording, the original first."""
        change = self.speed_change
        return (1.0, 1.0 - change, 1.0 + change) if change else (1.0,)


@dataclass(frozen=True)
class SpeakerDataConfig(Settings, section="data"):
    """Recordings in folders of speakers, and how they become batches."""

    train_data: str | None = setting(None, "folder of speakers' folders")
    val_data: str | None = setting(
        None, "the same of other speakers (default: every tenth speaker of train_data is held out)"
    )
    layout: Literal["auto", "speakers", "sessions"] = setting(
        "auto",
        "speakers: SPEAKER/FILE; sessions: SPEAKER/SESSION/FILE; auto: any depth, VCTK, LibriTTS "
        "and metadata.jsonl too",
    )
    trials: str | None = setting(
        None, "list 'label enrol test' to validate on, instead of one made of the speakers held out"
    )
    trials_of_a_kind: int = setting(
        2000, "target and non-target trials at most of the list that is made", at_least=1
    )
    speakers_per_batch: int = setting(
        16, "speakers a batch, each with an equal share of it", at_least=2, at_most=MOST_TOKENS
    )
    short_speakers: Literal["skip", "repeat"] = setting(
        "skip",
        "speakers with fewer recordings than their share of a batch: leave them out, or take "
        "several crops of one recording",
    )
    crop_seconds: Range = setting((2.0, 3.0), "drawn for each batch", "seconds", above=0)
    min_seconds: float = setting(0.5, "shorter recordings are left out", "seconds", above=0)
    validation_seconds: float = setting(
        10.0, "of a validation recording so much is heard", "seconds", above=0
    )
    workers: int = setting(
        2,
        "processes that read and augment; threads where there is one, or little to read",
        at_least=1,
        at_most=256,
    )
    augmentation: AugmentationConfig = AugmentationConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_range(self, "crop_seconds")


@dataclass(frozen=True)
class SpeakerTrainingConfig(Settings, section="training"):
    """Loss, rates and lengths."""

    # What the one trainer asks of every system, and here is no choice.
    stage: ClassVar[str] = "all"
    xla: ClassVar[bool] = False

    output_dir: str = setting("runs/speaker_encoder", "folder of the run")
    init_from: str | None = setting(
        None,
        f"what to fine-tune: {PUBLISHED} for the upstream's weights, a preset folder, the "
        "upstream's file or folder, or hf://owner/name (default: random weights)",
    )
    loss: Literal["ge2e", "angular_prototypical", "aam_softmax"] = setting(
        "ge2e", "what is learned"
    )
    ge2e_variant: Literal["softmax", "contrast"] = setting("softmax", "which of the GE2E losses")
    aam_scale: float = setting(30.0, "scale of the AAM-softmax", above=0)
    aam_margin: float = setting(0.2, "its margin, in radians", at_least=0, at_most=3)
    aam_margin_start: int = setting(0, "step from which the margin rises from 0", at_least=0)
    aam_margin_end: int = setting(
        0, "step at which it is reached; 0: it is there from the first step", at_least=0
    )
    aam_sub_centres: int = setting(1, "centres of a speaker", at_least=1, at_most=100)
    aam_top_k: int = setting(0, "nearest wrong speakers with a penalty of their own", at_least=0)
    aam_top_k_margin: float = setting(0.1, "that penalty, in radians", at_least=0, at_most=3)
    trained: Literal["all", "last", "frozen", "head"] = setting(
        "all",
        "what of a WavLM learns: head: its x-vector head; frozen: that and the weights of its "
        "layers' sum; last: that and its last blocks; all. Other encoders learn as a whole",
    )
    last_layers: int = setting(2, "how many blocks are the last", at_least=1)
    layer_decay: float = setting(
        1.0, "rate of a WavLM's block as a share of the rate of the next", above=0, at_most=1
    )
    keep_statistics: bool = setting(
        False,
        "batch norms go by the statistics that they came with and keep them: for fine-tuning on "
        "recordings of another kind than those to be heard, or with small batches",
    )
    speaker: StageConfig = StageConfig(
        steps=20_000, batch_size=64, learning_rate=1e-3, warmup_steps=500
    )
    epochs: int = setting(
        0, "passes over the recordings, instead of speaker.steps; 0: those steps", at_least=0
    )
    mixed_precision: bool = setting(
        False, "compute in bfloat16, keep weights in float32; for ecapa_tdnn and wavlm"
    )
    seed: int = setting(0, "seed of weights, batches and augmentation", at_least=0)
    weight_decay: float = setting(1e-4, "AdamW weight decay", at_least=0)
    gradient_clip: float = setting(3.0, "largest global gradient norm", above=0)
    gradient_accumulation: int = setting(
        1, "batches whose gradients are averaged for one step", at_least=1, at_most=MOST_TOKENS
    )
    plateau_factor: float = setting(
        1.0,
        "what the rate is multiplied by where the trial EER stalls; 1: never",
        above=0,
        at_most=1,
    )
    plateau_patience: int = setting(
        3, "validations without a lower EER before that happens", at_least=1
    )
    validate_every: int = setting(500, "steps between validations", "steps", at_least=1)
    checkpoint_every: int = setting(500, "steps between checkpoints", "steps", at_least=1)
    keep_checkpoints: int = setting(3, "latest checkpoints kept", at_least=1)
    early_stopping: int = setting(
        0, "validations without progress before stopping; 0: never", at_least=0
    )
    pictures: bool = setting(True, "pictures and sounds of validations in TensorBoard")
    pictures_every: int = setting(1, "validations between those pictures", at_least=1)
    comet_project: str | None = setting(
        None,
        "send the figures to this project at Comet too; needs comet_ml, and COMET_API_KEY in the "
        "environment",
    )
    wandb_project: str | None = setting(
        None, "send the figures to this project at Weights & Biases too; needs wandb"
    )
    strategy: Strategy = setting("none", STRATEGY_HELP)
    resume: bool = setting(False, "continue the run in output_dir")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.aam_margin_end:
            later = f"above training.aam_margin_start ({self.aam_margin_start})"
            self.require(self.aam_margin_end > self.aam_margin_start, "aam_margin_end", later)


@dataclass(frozen=True)
class SpeakerConfig(Settings):
    """Everything that a training of a speaker encoder is told."""

    model: EncoderConfig = EncoderConfig()
    data: SpeakerDataConfig = SpeakerDataConfig()
    training: SpeakerTrainingConfig = SpeakerTrainingConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        size, speakers = self.training.speaker.batch_size, self.data.speakers_per_batch
        if size % speakers:
            raise ConfigError(
                f"training.speaker.batch_size ({size}) must be a multiple of "
                f"data.speakers_per_batch ({speakers})."
            )
        if self.training.loss != "aam_softmax" and size < 2 * speakers:
            raise ConfigError(
                f"the loss {self.training.loss} wants two utterances of a speaker: "
                f"training.speaker.batch_size ({size}) must be twice data.speakers_per_batch "
                f"({speakers}) at least."
            )
        own, trained = self.model.speaker_encoder_type, self.training.trained
        if own != "wavlm" and (trained != "all" or self.training.layer_decay != 1):
            name = "trained" if trained != "all" else "layer_decay"
            raise ConfigError(f"training.{name} is for wavlm; the speaker encoder here is {own}.")
        if self.training.keep_statistics and own not in NORMED:
            raise ConfigError(
                f"training.keep_statistics is for {' and '.join(NORMED)}; the speaker encoder here "
                f"is {own}, which has no batch norms."
            )
        if self.training.mixed_precision and own not in MIXED:
            raise ConfigError(
                f"training.mixed_precision is for {' and '.join(MIXED)}; the speaker encoder here "
                f"is {own}, which computes in float32 alone."
            )

    @property
    def utterances_per_speaker(self) -> int:
        """Utterances of each speaker of a batch."""
        return self.training.speaker.batch_size // self.data.speakers_per_batch
