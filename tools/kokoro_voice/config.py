"""Settings of a fit. The command line's flags are made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from myxtts.settings import Settings, setting


@dataclass(frozen=True)
class OptimizerConfig(Settings):
    """Everything that shapes a fit.

    Raises:
        ConfigError: a value is of the wrong type or outside its range.
    """

    text_for_generation: str = setting(
        "The old clock has stopped again, and nobody here knows how to mend it.",
        "what the voice says in every step",
        flag="text",
    )
    texts: tuple[str, ...] = setting((), "further texts that are spoken in every step")
    phonemes: tuple[str, ...] = setting(
        (), "Kokoro phonemes to speak, in place of all texts; one argument each"
    )
    language: str = setting("en-us", "language of the texts, as eSpeak names it")
    num_iterations: int = setting(1000, "steps to take", "steps", at_least=1, flag="iterations")
    gradient_method: Literal["autograd", "finite-diff", "spsa", "cma"] = setting(
        "autograd",
        "autograd goes back through Kokoro; finite-diff moves one coordinate at a time; "
        "spsa moves all at random; cma is an evolution strategy",
    )
    learning_rate: float = setting(
        0.01, "step of adam and adamw, in standard deviations of the voices", above=0
    )
    plateau: int = setting(
        10,
        "iterations without a lower loss after which the learning rate is halved; 0 for never",
        "iterations",
        at_least=0,
    )
    optimizer_type: Literal["adam", "adamw"] = setting("adam", "who takes the gradient")
    loss_type: Literal["cosine", "l2"] = setting(
        "cosine", "distance of the speaker embeddings; l2 is squared, relative to the target's"
    )
    length_model: Literal["basis", "replicate"] = setting(
        "basis",
        "basis fills every length with what real voices do there; "
        "replicate copies the row --target-frame-idx to all 510",
    )
    target_frame_idx: int = setting(
        50,
        "row that replicate copies, and where the variance of the dimensions is measured",
        at_least=0,
        at_most=509,
    )
    n_variable_dims: int = setting(
        256,
        "of the 256 dimensions, how many may move: those that vary most",
        at_least=1,
        at_most=256,
    )
    pca_components: int = setting(
        256,
        "coordinates to search in, of each half if they are separate; capped at what the "
        "voices allow",
        at_least=1,
    )
    halves: Literal["auto", "separate", "joint"] = setting(
        "auto",
        "separate gives timbre and prosody, the halves of a style, components of their own, "
        "joint takes both together; auto: separate for autograd, joint for those who pay for "
        "every coordinate",
    )
    start: str = setting(
        "centroid",
        "where to begin: centroid (the voices' median), the name of a voice, or map: what "
        "tools/kokoro_voice_from_audio.py makes of the target",
    )
    spread_weight: float = setting(
        0.1,
        "weight of the penalty that keeps coordinates within the voices' own spread; 0 for none",
        at_least=0,
    )
    fd_epsilon: float = setting(
        0.01, "how far finite-diff and spsa move a coordinate, in standard deviations", above=0
    )
    cma_sigma: float = setting(
        0.3, "width of cma's first generation, in standard deviations", above=0
    )
    batch_size: int = setting(
        16, "voices that finite-diff, spsa and cma have spoken at once", at_least=1
    )
    embedder: str = setting(
        "auto",
        "judge of likeness: wavlm, resemblyzer, or auto: "
        "wavlm where its weights are on this machine, else resemblyzer",
    )
    wavlm_model: str = setting(
        "microsoft/wavlm-large", "WavLM's name on the hub, or a local folder; x-vector heads too"
    )
    patience: int = setting(
        100,
        "stop after so many iterations without a lower loss; 0 for never",
        "iterations",
        at_least=0,
    )
    max_seconds: float = setting(0.0, "stop after so long; 0 for no limit", "seconds", at_least=0)
    save_every: int = setting(50, "from one saved voice to the next", "iterations", at_least=1)
    seed: int = setting(
        0, "of every random choice; equal seeds give equal runs", at_least=0, at_most=2**31 - 1
    )
    backend: str = setting("auto", "who speaks: kmodel (torch), onnx, or auto")
    weights: str = setting("", "Kokoro's weights, a file or folder (default: found)")
    voices: str = setting("", "folder or archive of voices (default: the Hugging Face cache)")
    device: str = setting("auto", "cpu, cuda, cuda:N, mps, or auto")

    def trajectory(self) -> dict[str, Any]:
        """The settings that a resumed run must share with its beginning, as plain values."""
        path = ("gradient_method", "learning_rate", "plateau", "optimizer_type", "loss_type")
        path += ("length_model", "spread_weight", "fd_epsilon", "cma_sigma", "seed")
        return {name: getattr(self, name) for name in path}
