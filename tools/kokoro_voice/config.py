"""Settings of a fit. The command line's flags are made from them."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any, Literal

from myxtts.errors import ConfigError


def _setting(default: Any, help: str, **rules: Any) -> Any:
    """A field with its help text and rules: ``above``, ``at_least``, ``at_most``, ``flag``."""
    return dataclasses.field(default=default, metadata={"help": help, **rules})


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Everything that shapes a fit.

    Raises:
        ConfigError: a value is of the wrong type or outside its range.
    """

    text_for_generation: str = _setting(
        "The old clock has stopped again, and nobody here knows how to mend it.",
        "what the voice says in every step",
        flag="text",
    )
    texts: tuple[str, ...] = _setting((), "further texts that are spoken in every step")
    phonemes: tuple[str, ...] = _setting(
        (), "Kokoro phonemes to speak, in place of all texts; one argument each"
    )
    language: str = _setting("en-us", "language of the texts, as eSpeak names it")
    num_iterations: int = _setting(1000, "steps to take", at_least=1, flag="iterations")
    gradient_method: Literal["autograd", "finite-diff", "spsa", "cma"] = _setting(
        "autograd",
        "autograd goes back through Kokoro; finite-diff moves one coordinate at a time; "
        "spsa moves all at random; cma is an evolution strategy",
    )
    learning_rate: float = _setting(
        0.01, "step of adam and adamw, in standard deviations of the voices", above=0
    )
    plateau: int = _setting(
        10,
        "iterations without a lower loss after which the learning rate is halved; 0 for never",
        at_least=0,
    )
    optimizer_type: Literal["adam", "adamw"] = _setting("adam", "who takes the gradient")
    loss_type: Literal["cosine", "l2"] = _setting(
        "cosine", "distance of the speaker embeddings; l2 is squared, relative to the target's"
    )
    length_model: Literal["basis", "replicate"] = _setting(
        "basis",
        "basis fills every length with what real voices do there; "
        "replicate copies the row --target-frame-idx to all 510",
    )
    target_frame_idx: int = _setting(
        50,
        "row that replicate copies, and where the variance of the dimensions is measured",
        at_least=0,
        at_most=509,
    )
    n_variable_dims: int = _setting(
        256,
        "of the 256 dimensions, how many may move: those that vary most",
        at_least=1,
        at_most=256,
    )
    pca_components: int = _setting(
        256,
        "coordinates to search in, of each half if they are separate; capped at what the "
        "voices allow",
        at_least=1,
    )
    halves: Literal["auto", "separate", "joint"] = _setting(
        "auto",
        "separate gives timbre and prosody, the halves of a style, components of their own, "
        "joint takes both together; auto: separate for autograd, joint for those who pay for "
        "every coordinate",
    )
    start: str = _setting(
        "centroid", "where to begin: centroid (the voices' median) or the name of a voice"
    )
    spread_weight: float = _setting(
        0.1,
        "weight of the penalty that keeps coordinates within the voices' own spread; 0 for none",
        at_least=0,
    )
    fd_epsilon: float = _setting(
        0.01, "how far finite-diff and spsa move a coordinate, in standard deviations", above=0
    )
    cma_sigma: float = _setting(
        0.3, "width of cma's first generation, in standard deviations", above=0
    )
    batch_size: int = _setting(
        16, "voices that finite-diff, spsa and cma have spoken at once", at_least=1
    )
    embedder: str = _setting(
        "auto",
        "judge of likeness: wavlm, resemblyzer, or auto: "
        "wavlm where its weights are on this machine, else resemblyzer",
    )
    wavlm_model: str = _setting(
        "microsoft/wavlm-large", "WavLM's name on the hub, or a local folder; x-vector heads too"
    )
    patience: int = _setting(
        100, "stop after so many iterations without a lower loss; 0 for never", at_least=0
    )
    max_seconds: float = _setting(0.0, "stop after so many seconds; 0 for no limit", at_least=0)
    save_every: int = _setting(50, "iterations from one saved voice to the next", at_least=1)
    seed: int = _setting(
        0, "of every random choice; equal seeds give equal runs", at_least=0, at_most=2**31 - 1
    )
    backend: str = _setting("auto", "who speaks: kmodel (torch), onnx, or auto")
    weights: str = _setting("", "Kokoro's weights, a file or folder (default: found)")
    voices: str = _setting("", "folder or archive of voices (default: the Hugging Face cache)")
    device: str = _setting("auto", "cpu, cuda, cuda:N, mps, or auto")

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            _check(item, hints[item.name], getattr(self, item.name))

    def trajectory(self) -> dict[str, Any]:
        """The settings that a resumed run must share with its beginning, as plain values."""
        path = ("gradient_method", "learning_rate", "plateau", "optimizer_type", "loss_type")
        path += ("length_model", "spread_weight", "fd_epsilon", "cma_sigma", "seed")
        return {name: getattr(self, name) for name in path}


def _check(item: dataclasses.Field, hint: Any, value: Any) -> None:
    name = item.name
    if typing.get_origin(hint) is Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(f"{name} is {value!r}; it must be {_either(typing.get_args(hint))}.")
    elif typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple | list) or not all(isinstance(part, str) for part in value):
            raise ConfigError(f"{name} must be a tuple of texts, not {value!r}.")
    elif hint in (int, float):
        _check_number(name, hint, value, item.metadata)
    elif not isinstance(value, str):
        raise ConfigError(f"{name} must be a text, not {value!r}.")


def _check_number(name: str, hint: type, value: Any, rules: typing.Mapping[str, Any]) -> None:
    kinds = (int,) if hint is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        what = "a whole number" if hint is int else "a number"
        raise ConfigError(f"{name} must be {what}, not {value!r}.")
    if "above" in rules and value <= rules["above"]:
        raise ConfigError(f"{name} must be greater than {rules['above']}, not {value}.")
    if "at_least" in rules and value < rules["at_least"]:
        raise ConfigError(f"{name} must be at least {rules['at_least']}, not {value}.")
    if "at_most" in rules and value > rules["at_most"]:
        raise ConfigError(f"{name} must be at most {rules['at_most']}, not {value}.")


def _either(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
