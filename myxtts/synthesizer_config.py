"""Settings of the SV2TTS synthesizer (Tacotron): its sizes, its data and its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from myxtts.config import MOST_TOKENS
from myxtts.errors import ConfigError
from myxtts.replicas import STRATEGY_HELP, Strategy
from myxtts.settings import Settings, setting

# RTVC's: padding, end, letters, marks and the blank.
SYMBOLS = tuple("_~ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!'\"(),-.:;? ")
SCHEDULE = (
    "2:1e-3:20000:12",
    "2:5e-4:40000:12",
    "2:2e-4:80000:12",
    "2:1e-4:160000:12",
    "2:3e-5:320000:12",
    "2:1e-5:640000:12",
)


class Phase(NamedTuple):
    """A part of a training.

    Attributes:
        r: frames a decoder step.
        learning_rate: of its steps.
        until: the step it ends with.
        batch_size: utterances a batch.
    """

    r: int
    learning_rate: float
    until: int
    batch_size: int


@dataclass(frozen=True)
class TacotronConfig(Settings, section="model"):
    """Sizes of a Tacotron; the defaults are RTVC's 30.9 million parameters."""

    symbols: tuple[str, ...] = setting(
        SYMBOLS, "characters of the texts in the order of their ids, the padding first"
    )
    embed_dims: int = setting(512, "width of the characters' embedding", at_least=1)
    encoder_dims: int = setting(256, "width of the text encoder", at_least=2)
    decoder_dims: int = setting(128, "width of attention and its GRU", at_least=1)
    n_mels: int = setting(80, "channels of a mel spectrogram", at_least=1)
    postnet_dims: int = setting(512, "width of the post-net", at_least=2)
    encoder_kernels: int = setting(5, "longest kernel of the encoder's bank", at_least=1)
    lstm_dims: int = setting(1024, "width of the decoder's LSTMs", at_least=1)
    postnet_kernels: int = setting(5, "longest kernel of the post-net's bank", at_least=1)
    num_highways: int = setting(4, "highway layers of each CBHG", at_least=1)
    prenet_dims: int = setting(
        0, "width of the decoder's pre-net; 0: twice decoder_dims, as in RTVC", at_least=0
    )
    speaker_dims: int = setting(256, "size of a speaker embedding", at_least=1)
    max_r: int = setting(20, "most frames a decoder step", at_least=1, at_most=100)
    dropout: float = setting(0.5, "of both pre-nets", at_least=0, at_most=0.95)
    zoneout: float = setting(0.1, "of the LSTMs' outputs in training", at_least=0, at_most=0.95)
    masked_attention: bool = setting(
        True, "padding gets no attention; RTVC gives it the weight of a score of 0"
    )
    stop_by_rows: bool = setting(
        True, "a text ends at its own stop; RTVC waits until all of a batch stop in one step"
    )
    dropout_in_speech: bool = setting(
        False, "speech has the dropout too, as RTVC's; otherwise what is said again has it"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        apart = len(set(self.symbols)) == len(self.symbols) >= 2
        self.require(apart, "symbols", "two or more symbols, each once")
        for name in ("encoder_dims", "postnet_dims"):
            self.require(getattr(self, name) % 2 == 0, name, "an even number")

    @property
    def prenet_width(self) -> int:
        """Of the decoder's pre-net."""
        return self.prenet_dims or 2 * self.decoder_dims


@dataclass(frozen=True)
class SynthesizerPreset(Settings):
    """What the preset of a synthesizer says of it."""

    model: TacotronConfig = TacotronConfig()
    r: int = setting(2, "frames a decoder step", at_least=1)


@dataclass(frozen=True)
class SynthesizerDataConfig(Settings, section="data"):
    """Mels, texts and speaker embeddings in the folders that RTVC lays out."""

    train_data: str | None = setting(None, "folder of train.txt, mels and embeds")
    val_data: str | None = setting(
        None, "another such folder (default: every twentieth utterance is held out)"
    )
    cleaners: tuple[str, ...] = setting(("english_cleaners",), "of the texts, in their order")
    bucketing: bool = setting(
        True, "batches of utterances of similar length; RTVC's are of any length"
    )
    max_frames: int = setting(
        900, "longer utterances are left out", "frames", at_least=1, at_most=MOST_TOKENS
    )


@dataclass(frozen=True)
class StepsConfig(Settings, section="training.synthesizer"):
    """Length of the stage, which its schedule says."""

    steps: int = setting(
        0, "optimiser steps of this run at most; 0: to the end of the schedule", at_least=0
    )
    batch_size: int = setting(
        12, "utterances of a validation batch", at_least=1, at_most=MOST_TOKENS
    )


@dataclass(frozen=True)
class SynthesizerTrainingConfig(Settings, section="training"):
    """Phases, losses and lengths."""

    # What the one trainer asks of every system, and here is no choice.
    stage: ClassVar[str] = "all"
    mixed_precision: ClassVar[bool] = False
    xla: ClassVar[bool] = False
    gradient_accumulation: ClassVar[int] = 1

    output_dir: str = setting("runs/synthesizer", "folder of the run")
    init_from: str | None = setting(
        None, "what to go on from: a preset folder, or a synthesizer.pt with its optimizer's state"
    )
    schedule: tuple[str, ...] = setting(
        SCHEDULE, "phases r:rate:until:batch: frames a decoder step, learning rate, last step, size"
    )
    masked_losses: bool = setting(
        True, "padding does not count in the losses; RTVC counts all of it"
    )
    guided_attention: float = setting(
        10.0,
        "weight of attention away from the diagonal, or from durations where the corpus has them; "
        "0: none, as RTVC",
        at_least=0,
    )
    spoken_attention: float = setting(
        1.0,
        "weight of attention to the character that is spoken, where the corpus has durations; "
        "0: none, as RTVC",
        at_least=0,
    )
    drop_frames: float = setting(
        0.0,
        "share of the frames the decoder hears in training that their utterance's mean stands in "
        "for (Liu et al. 2019), so that it leans on the text and less on what it just said; RTVC "
        "drops none",
        at_least=0,
        at_most=0.9,
    )
    weight_average: float = setting(
        0.0,
        "what a running mean of the weights keeps of itself a step, 0.998 say; validations, files "
        "and the preset have the mean; 0: the weights of the last step, as RTVC",
        at_least=0,
        at_most=0.99999,
    )
    synthesizer: StepsConfig = StepsConfig()
    seed: int = setting(0, "seed of weights, batches and dropout", at_least=0)
    gradient_clip: float = setting(1.0, "largest global gradient norm", above=0)
    validate_every: int = setting(1000, "steps between validations", "steps", at_least=1)
    checkpoint_every: int = setting(1000, "steps between checkpoints", "steps", at_least=1)
    backup_every: int = setting(
        25_000, "steps between files of RTVC that stay; 0: none", "steps", at_least=0
    )
    keep_checkpoints: int = setting(3, "latest checkpoints kept", at_least=1)
    early_stopping: int = setting(
        0, "validations without progress before stopping; 0: never", at_least=0
    )
    strategy: Strategy = setting("none", STRATEGY_HELP)
    resume: bool = setting(False, "continue the run in output_dir")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(len(self.phases) > 0, "schedule", "one or more phases r:rate:until:batch")

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The schedule, its parts in the order of their steps.

        Raises:
            ConfigError: a part is none, or the steps do not grow.
        """
        phases = tuple(_phase(item) for item in self.schedule)
        ends = [phase.until for phase in phases]
        self.require(ends == sorted(set(ends)), "schedule", "phases whose last steps grow")
        return phases


def _phase(text: str) -> Phase:
    try:
        r, rate, until, size = text.split(":")
        phase = Phase(int(r), float(rate), int(until), int(size))
    except ValueError:
        phase = Phase(0, 0.0, 0, 0)
    if not (min(phase.r, phase.until, phase.batch_size) >= 1 and 0 < phase.learning_rate <= 10):
        raise ConfigError(
            f"training.schedule: {text!r} is no phase r:rate:until:batch, 2:1e-3:20000:12 say."
        )
    return phase


# What makes a training RTVC's own.
COMPATIBLE = {
    "model": {"masked_attention": False, "stop_by_rows": False, "dropout_in_speech": True},
    "data": {"bucketing": False},
    "training": {"masked_losses": False, "guided_attention": 0.0, "spoken_attention": 0.0},
}


@dataclass(frozen=True)
class SynthesizerConfig(Settings):
    """Everything that a training of a synthesizer is told."""

    model: TacotronConfig = TacotronConfig()
    data: SynthesizerDataConfig = SynthesizerDataConfig()
    training: SynthesizerTrainingConfig = SynthesizerTrainingConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        largest = max(phase.r for phase in self.training.phases)
        if largest > self.model.max_r:
            raise ConfigError(
                f"training.schedule has r = {largest}, above model.max_r ({self.model.max_r})."
            )
