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
from safetensors.numpy import save

from myxtts.audio.frontends import RESEMBLYZER
from myxtts.errors import WeightsError
from myxtts.files import write_whole
from myxtts.models.resemblyzer import (
    EMBEDDING_DIM,
    HIDDEN_DIM,
    LAYERS,
    RTVC_STEP,
    ResemblyzerEncoder,
)
from myxtts.presets.variables import named
from myxtts.weights.resemblyzer import load, rules
from myxtts.weights.rtvc import (
    MODEL,
    OPTIMIZER,
    STEP,
    Adam,
    adam_from_torch,
    adam_to_torch,
    count_in,
    repeated,
    require_kind,
)
from myxtts.weights.safetensors_file import read_safetensors
from myxtts.weights.torch_file import read_torch_content, write_torch_file

KIND = "speaker encoder"
LOSS = ("similarity_weight", "similarity_bias")
RATE = 1e-4
# In a preset that was made of RTVC's file: what only its training reads.
BESIDE = "rtvc_encoder.safetensors"
# Added to a norm before an embedding is divided by it.
NORM_EPSILON = 1e-5


def keys(layers: int = LAYERS) -> list[str]:
    """The state dictionary's keys, in the order of the parameters."""
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    lstm = [f"lstm.{part}_l{layer}" for layer in range(layers) for part in parts]
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
    require_kind(path, arrays, KIND)
    order = keys(_layers(arrays))
    if set(arrays) != set(order):
        lacking = sorted(map(str, set(order) ^ set(arrays)))
        raise WeightsError(
            f"{path} is no {KIND} of Real-Time-Voice-Cloning: {lacking[0]} does not fit."
        )
    _require_loss(path, arrays)
    adam = adam_from_torch(path, content.get(OPTIMIZER), order, arrays) or Adam(0, {}, {})
    step = count_in(path, content.get(STEP, 1), STEP)
    return EncoderFile(step, arrays, adam.means, adam.squares, adam.step)


def write_encoder(path: str | Path, stored: EncoderFile) -> None:
    """Write what RTVC's programs and ``torch.load(weights_only=True)`` read.

    Raises:
        WeightsError: torch is not installed.
        CheckpointError: the file cannot be written.
    """
    order = keys(_layers(stored.arrays))
    adam = Adam(stored.steps_made, stored.means, stored.squares)
    content = {
        STEP: stored.step,
        MODEL: {key: stored.arrays[key] for key in order},
        OPTIMIZER: adam_to_torch(adam, order, RATE),
    }
    write_torch_file(path, content)


def to_keras(stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of an encoder's variables by their paths, the two biases added."""
    return {rule.target: rule.transform(*(stored[key] for key in rule.sources)) for rule in rules()}


def moments_to_keras(stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same of Adam's means: the two biases have the same."""
    single = {rule.target: stored[rule.sources[0]] for rule in rules()}
    return {path: array.T if array.ndim == 2 else array for path, array in single.items()}


def load_encoder(
    encoder: ResemblyzerEncoder, stored: EncoderFile, path: str | Path = "the file"
) -> None:
    """Set the weights of ``encoder`` to those of the file ``path``.

    Raises:
        WeightsError: they do not fit.
    """
    theirs = sizes(stored.arrays, path)
    own = {"layers": len(encoder.lstms), "hidden_dim": encoder.hidden_dim}
    own |= {"embedding_dim": encoder.embedding_dim, "n_mels": encoder.spec.n_mels}
    for name, size in own.items():
        if theirs[name] != size:
            raise WeightsError(
                f"{path} is a speaker encoder with {name} {theirs[name]}; {size} is wanted here."
            )
    load(encoder, stored.arrays)


def sizes(arrays: Mapping[str, np.ndarray], path: str | Path = "the file") -> dict[str, int]:
    """``layers``, ``hidden_dim``, ``embedding_dim`` and ``n_mels`` of an encoder's arrays.

    Raises:
        WeightsError: an array has other axes than a speaker encoder's.
    """
    own, last = arrays["lstm.weight_ih_l0"], arrays["linear.weight"]
    if own.ndim != 2 or last.ndim != 2:
        raise WeightsError(f"{path} is no {KIND} of Real-Time-Voice-Cloning: its axes are others.")
    found = {"layers": _layers(arrays), "hidden_dim": last.shape[1]}
    return found | {"embedding_dim": last.shape[0], "n_mels": own.shape[1]}


def _layers(arrays: Mapping) -> int:
    return repeated(arrays, "lstm.weight_ih_l{}")


def open_encoder(path: str | Path) -> ResemblyzerEncoder:
    """The encoder of an ``encoder.pt`` of any sizes, that embeds recordings as RTVC does.

    Raises:
        WeightsError: as for :func:`read_encoder`.
    """
    stored = read_encoder(path)
    found = sizes(stored.arrays, path)
    spec = dataclasses.replace(RESEMBLYZER, n_mels=found.pop("n_mels"))
    encoder = ResemblyzerEncoder(partial_step=RTVC_STEP, epsilon=NORM_EPSILON, spec=spec, **found)
    encoder.build()
    load_encoder(encoder, stored, path)
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
    layers = sum(path.endswith("lstm_cell/kernel") for path in values)
    for rule in rules(layers):
        value = np.asarray(values[rule.target], "float32")
        if len(rule.sources) == 1:
            arrays[rule.source] = np.ascontiguousarray(value.T if value.ndim == 2 else value)
            continue
        first = np.zeros_like(value) if origin is None else origin[rule.sources[0]]
        second = np.zeros_like(value) if origin is None else origin[rule.sources[1]]
        half = (value - (first + second)) / np.float32(2)
        arrays |= zip(rule.sources, (first + half, second + half), strict=True)
    return arrays


def keep_beside(preset: Path, stored: EncoderFile) -> None:
    """Write into an encoder's preset what it lacks of RTVC's file: step, loss, the single biases.

    Raises:
        CheckpointError: it cannot be written.
    """
    kept = {key: array for key, array in stored.arrays.items() if _is_beside(key)}
    write_whole(preset / BESIDE, save(kept | {STEP: np.array(stored.step, "int64")}))


def file_of(encoder: ResemblyzerEncoder, preset: Path) -> EncoderFile:
    """RTVC's file of the encoder of a preset, with what :func:`keep_beside` left there.

    Where that is of other weights or is not there, step and loss are as RTVC begins, and the two
    biases halves of their sum.

    Raises:
        WeightsError: it cannot be read.
    """
    values, begun, step = values_of(encoder), drawn(0), 1
    arrays = to_torch(values) | {key: begun[key] for key in LOSS}
    if (preset / BESIDE).is_file():
        kept = read_safetensors(preset / BESIDE)
        shapes = {key: array.shape for key, array in kept.items() if key != STEP}
        wanted = {key: array.shape for key, array in arrays.items() if _is_beside(key)}
        # Of these very weights, the biases come back as they were.
        if shapes == wanted and STEP in kept:
            shared = to_torch(values, kept)
            if all(np.array_equal(shared[key], kept[key]) for key in shared if _is_beside(key)):
                arrays, step = shared | {key: kept[key] for key in LOSS}, int(kept[STEP])
    return EncoderFile(step, arrays)


def _is_beside(key: str) -> bool:
    return key in LOSS or ".bias_" in key


def moments_to_torch(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The way back of :func:`moments_to_keras`."""
    return {
        key: np.ascontiguousarray(values[rule.target].T) for rule in rules() for key in rule.sources
    }


def values_of(encoder: ResemblyzerEncoder) -> dict[str, np.ndarray]:
    """Weights of an encoder by their paths in it."""
    variables = named(encoder.weights, encoder.name)
    return {path: np.asarray(variable) for path, variable in variables.items()}


def _require_loss(path: str | Path, arrays: Mapping) -> None:
    """Refuse a loss that is no two numbers; the weights are looked at where they are set."""
    for key in LOSS:
        value = np.asarray(arrays[key])
        if value.shape != (1,) or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
            raise WeightsError(f"{path} is damaged: {key} is no number.")
