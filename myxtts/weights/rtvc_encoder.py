"""RTVC's ``encoder.pt`` (MIT; its published one is Resemblyzer's file): read, and written.

The file holds ``step``, ``model_state`` and ``optimizer_state``. torch's LSTM has two biases for
Keras's one: they get the same gradient, so their sum learns twice as fast as one would. What each
of them was is kept, and what the sum has moved since is shared between the two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myxtts.audio.frontends import RESEMBLYZER
from myxtts.errors import WeightsError
from myxtts.models.resemblyzer import (
    EMBEDDING_DIM,
    HIDDEN_DIM,
    LAYERS,
    RTVC_STEP,
    ResemblyzerEncoder,
)
from myxtts.presets.variables import named
from myxtts.weights.resemblyzer import load, rules
from myxtts.weights.torch_file import read_torch_content, write_torch_file

STEP, MODEL, OPTIMIZER = "step", "model_state", "optimizer_state"
LOSS = ("similarity_weight", "similarity_bias")
ADAM = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False}
RATE = 1e-4
# Added to a norm before an embedding is divided by it.
NORM_EPSILON = 1e-5
# A key that only another model of RTVC has, and what that is.
OTHERS = {
    "encoder.embedding.weight": "a synthesizer",
    "upsample.resnet.conv_in.weight": "a vocoder",
}


def keys() -> list[str]:
    """The state dictionary's keys, in the order of the parameters."""
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    lstm = [f"lstm.{part}_l{layer}" for layer in range(LAYERS) for part in parts]
    return [*LOSS, *lstm, "linear.weight", "linear.bias"]


@dataclass(frozen=True)
class EncoderFile:
    """What an ``encoder.pt`` holds.

    Attributes:
        step: of the next batch; RTVC counts from 1.
        arrays: by the keys of :func:`keys`.
        means, squares: of Adam, by the same keys; empty where there are none.
        steps_made: by Adam.
    """

    step: int
    arrays: dict[str, np.ndarray]
    means: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    squares: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    steps_made: int = 0


def read_encoder(path: str | Path) -> EncoderFile:
    """Read an ``encoder.pt``, of today's or of torch's older format.

    Raises:
        WeightsError: it is damaged, or another model's; the sentence says whose.
    """
    content = read_torch_content(path)
    arrays = content.get(MODEL) if isinstance(content, dict) else None
    if not isinstance(arrays, dict):
        raise WeightsError(f"{path} is no speaker encoder of RTVC: it has no {MODEL!r}.")
    for key, kind in OTHERS.items():
        if key in arrays:
            raise WeightsError(f"{path} is {kind} of RTVC, not a speaker encoder.")
    if set(arrays) != set(keys()):
        lacking = sorted(set(keys()) ^ set(arrays))
        raise WeightsError(f"{path} is no speaker encoder of RTVC: {lacking[0]} does not fit.")
    means, squares, made = _adam(content.get(OPTIMIZER))
    _require_shapes(path, arrays, means, squares)
    return EncoderFile(int(content.get(STEP, 1)), arrays, means, squares, made)


def write_encoder(path: str | Path, stored: EncoderFile) -> None:
    """Write what RTVC's programs and ``torch.load(weights_only=True)`` read.

    Raises:
        WeightsError: torch is not installed.
        CheckpointError: the file cannot be written.
    """
    order = keys()
    state = {
        place: {
            "step": np.asarray(stored.steps_made, "float32"),
            "exp_avg": stored.means[key],
            "exp_avg_sq": stored.squares[key],
        }
        for place, key in enumerate(order)
        if key in stored.means
    }
    group = {"lr": RATE, **ADAM, "params": list(range(len(order)))}
    content = {
        STEP: stored.step,
        MODEL: {key: stored.arrays[key] for key in order},
        OPTIMIZER: {"state": state, "param_groups": [group]},
    }
    write_torch_file(path, content)


def to_keras(stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of an encoder's variables by their paths, the two biases added."""
    return {rule.target: rule.transform(*(stored[key] for key in rule.sources)) for rule in rules()}


def moments_to_keras(stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same of Adam's means: the two biases have the same."""
    single = {rule.target: stored[rule.sources[0]] for rule in rules()}
    return {path: array.T if array.ndim == 2 else array for path, array in single.items()}


def load_encoder(encoder: ResemblyzerEncoder, stored: EncoderFile) -> None:
    """Set the weights of ``encoder``.

    Raises:
        WeightsError: they do not fit.
    """
    load(encoder, stored.arrays)


def open_encoder(path: str | Path) -> ResemblyzerEncoder:
    """The encoder of an ``encoder.pt``, that embeds recordings as RTVC does.

    Raises:
        WeightsError: as for :func:`read_encoder`.
    """
    encoder = ResemblyzerEncoder(partial_step=RTVC_STEP, epsilon=NORM_EPSILON)
    encoder.build()
    load_encoder(encoder, read_encoder(path))
    return encoder


def drawn(seed: int) -> dict[str, np.ndarray]:
    """torch's arrays before training, drawn as torch's layers draw theirs."""
    rng, bound = np.random.default_rng(seed), HIDDEN_DIM**-0.5
    arrays = {"similarity_weight": np.array([10.0]), "similarity_bias": np.array([-5.0])}
    widths = [RESEMBLYZER.n_mels, HIDDEN_DIM, HIDDEN_DIM]
    for layer, width in enumerate(widths):
        for part, size in (("weight_ih", (width,)), ("weight_hh", (HIDDEN_DIM,)),
                           ("bias_ih", ()), ("bias_hh", ())):  # fmt: skip
            shape = (4 * HIDDEN_DIM, *size)
            arrays[f"lstm.{part}_l{layer}"] = rng.uniform(-bound, bound, shape)
    arrays["linear.weight"] = rng.uniform(-bound, bound, (EMBEDDING_DIM, HIDDEN_DIM))
    arrays["linear.bias"] = rng.uniform(-bound, bound, EMBEDDING_DIM)
    return {key: value.astype("float32") for key, value in arrays.items()}


def to_torch(
    values: Mapping[str, np.ndarray], origin: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """torch's arrays of an encoder's variables, without those of the loss.

    Args:
        values: by the paths of the variables.
        origin: torch's arrays that training began with, for how the biases are shared; None
            for halves.
    """
    arrays: dict[str, np.ndarray] = {}
    for rule in rules():
        value = np.asarray(values[rule.target], "float32")
        if len(rule.sources) == 1:
            arrays[rule.source] = np.ascontiguousarray(value.T if value.ndim == 2 else value)
            continue
        first = np.zeros_like(value) if origin is None else origin[rule.sources[0]]
        second = np.zeros_like(value) if origin is None else origin[rule.sources[1]]
        half = (value - (first + second)) / np.float32(2)
        arrays |= zip(rule.sources, (first + half, second + half), strict=True)
    return arrays


def moments_to_torch(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The way back of :func:`moments_to_keras`."""
    return {
        key: np.ascontiguousarray(values[rule.target].T) for rule in rules() for key in rule.sources
    }


def values_of(encoder: ResemblyzerEncoder) -> dict[str, np.ndarray]:
    """Weights of an encoder by their paths in it."""
    variables = named(encoder.weights, encoder.name)
    return {path: np.asarray(variable) for path, variable in variables.items()}


def _adam(stored: object) -> tuple[dict, dict, int]:
    """Means and squares by key, and the steps made; parameters are counted as the groups say."""
    state = stored.get("state") if isinstance(stored, dict) else None
    groups = stored.get("param_groups") if isinstance(stored, dict) else None
    if not state or not groups or len(groups[0]["params"]) != len(keys()):
        return {}, {}, 0
    pairs = [
        (key, state[number])
        for key, number in zip(keys(), groups[0]["params"], strict=True)
        if number in state
    ]
    if len(pairs) != len(keys()):
        return {}, {}, 0
    made = int(np.asarray(pairs[0][1]["step"]))
    return (
        {key: values["exp_avg"] for key, values in pairs},
        {key: values["exp_avg_sq"] for key, values in pairs},
        made,
    )


def _require_shapes(path, arrays: dict, *moments: dict) -> None:
    for values in moments:
        for key, array in values.items():
            if np.shape(array) != np.shape(arrays[key]):
                raise WeightsError(f"{path} is damaged: Adam's state of {key} is of another shape.")
