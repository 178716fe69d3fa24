"""Settings of a voice made of recordings. The command line's flags are made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from myxtts.settings import Settings, setting, to_dict


@dataclass(frozen=True)
class OnePassConfig(Settings):
    """How a voice is made of recordings.

    Raises:
        ConfigError: a value is of the wrong type or outside its range.
    """

    encoder: Literal["auto", "styletts2", "speaker"] = setting(
        "auto",
        "who hears: StyleTTS2's style encoders, Resemblyzer with ECAPA-TDNN, or auto: "
        "StyleTTS2's where its weights and a map for them are on this machine",
    )
    style_weights: str = setting(
        "", "StyleTTS2's checkpoint, a path or hf://owner/name/file (default: the hub's cache)"
    )
    gain: float = setting(
        1.0, "how far from the median voice, in times of what the map says", at_least=0
    )
    voices: str = setting("", "folder or archive of Kokoro's voices (default: found)")


@dataclass(frozen=True)
class TrainingConfig(OnePassConfig):
    """How the map is trained further, through Kokoro, on clips of the speakers.

    Raises:
        ConfigError: a value is of the wrong type or outside its range.
    """

    epochs_projection: int = setting(
        100, "epochs to train; 0 takes the map as it is", "epochs", at_least=0
    )
    lr_projection: float = setting(1e-3, "learning rate of the projection, by Adam", above=0)
    max_style_samples: int = setting(
        100, "clips of a speaker that are heard for the style, at most", "clips", at_least=1
    )
    clips_per_epoch: int = setting(
        8, "clips that an epoch speaks; the next one goes on with those after them", at_least=1
    )
    validation_clips: int = setting(
        4, "clips of a speaker whose texts are spoken to judge an epoch", at_least=1
    )
    longest_clip: float = setting(
        10.0, "longer clips are heard for the style, and not spoken", "seconds", at_least=1
    )
    align_every: int = setting(
        5, "epochs after which Kokoro's speech is aligned with the clips anew", at_least=1
    )
    mel_weight: float = setting(1.0, "weight of the mel spectrograms' distance", at_least=0)
    cosine_weight: float = setting(1.0, "weight of the speaker embeddings' distance", at_least=0)
    spread_weight: float = setting(
        0.1,
        "weight of the penalty that keeps coordinates within the voices' own spread",
        at_least=0,
    )
    language: str = setting("en-us", "language of the texts, as eSpeak names it")
    weights: str = setting("", "Kokoro's weights, a folder (default: found)")
    device: Literal["auto", "cuda", "mps", "cpu"] = setting("auto", "where Kokoro runs")
    precision: Literal["float32", "bfloat16"] = setting(
        "float32", "of Kokoro's layers in training; bfloat16 is for cuda"
    )
    seed: int = setting(
        0, "of the order of the clips and of Kokoro's noise", at_least=0, at_most=2**31 - 1
    )
    tensorboard: bool = setting(False, "write the scores for TensorBoard too")
    wandb: bool = setting(False, "send the scores to Weights & Biases too")
    wandb_project: str = setting("styletts2-kokoro", "its project there")

    def trajectory(self) -> dict[str, Any]:
        """The settings that a resumed run must share with its beginning, as plain values."""
        free = ("epochs_projection", "weights", "voices", "style_weights", "device")
        free += ("tensorboard", "wandb", "wandb_project")
        return {name: value for name, value in to_dict(self).items() if name not in free}
