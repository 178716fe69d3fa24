"""What the files of Real-Time-Voice-Cloning (RTVC, MIT) have in common.

An ``encoder.pt``, ``synthesizer.pt`` or ``vocoder.pt`` holds the state dictionary of a model and
the state of its Adam, whose entries are numbered in the order of the model's parameters. In files
of torch's older format the numbers are addresses, and ``param_groups`` says their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.errors import WeightsError
from myxtts.weights.conversion import Rule, Transform, conv1d, identity, linear, pointwise

MODEL, OPTIMIZER, STEP = "model_state", "optimizer_state", "step"
# A key that only the state dictionary of this kind has.
MARKS = {
    "speaker encoder": "lstm.weight_ih_l0",
    "synthesizer": "encoder.embedding.weight",
    "vocoder": "upsample.resnet.conv_in.weight",
}
# As torch writes the group of an Adam that was made with a rate alone.
ADAM = {
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "weight_decay": 0,
    "amsgrad": False,
    "maximize": False,
    "foreach": None,
    "capturable": False,
    "differentiable": False,
    "fused": None,
}


def kind_of(arrays: Any) -> str | None:
    """Which of RTVC's models a state dictionary is of; None for none of them."""
    found = (kind for kind, key in MARKS.items() if isinstance(arrays, Mapping) and key in arrays)
    return next(found, None)


def require_kind(path: str | Path, arrays: Any, wanted: str) -> None:
    """Refuse the state dictionary of another model.

    Raises:
        WeightsError: it is not the ``wanted`` one; the sentence says what it is.
    """
    kind = kind_of(arrays)
    if kind != wanted:
        what = f"a {kind}" if kind else "something else"
        raise WeightsError(f"{path} is no {wanted} of Real-Time-Voice-Cloning: it holds {what}.")


def repeated(arrays: Mapping, pattern: str) -> int:
    """How many arrays have the keys of ``pattern``, numbered from 0; taken for one at least."""
    count = 0
    while pattern.format(count) in arrays:
        count += 1
    return max(count, 1)


def count_in(path: str | Path, value: Any, name: str) -> int:
    """A count of steps, which a file may keep as a number or an array of one.

    Raises:
        WeightsError: it is none.
    """
    try:
        count = int(np.ravel(value)[0])
    except (IndexError, TypeError, ValueError, OverflowError) as error:
        raise WeightsError(f"{path} is damaged: its {name!r} is no number.") from error
    if not 0 <= count < 2**62:
        raise WeightsError(f"{path} is damaged: its {name!r} is {count}.")
    return count


def gates(array: np.ndarray) -> np.ndarray:
    """Rows or entries of torch's GRU gates r, z, n as Keras's z, r, h; its own inverse."""
    reset, update, new = np.split(array, 3)
    return np.concatenate([update, reset, new])


def gru_kernel(array: np.ndarray) -> np.ndarray:
    """torch's GRU matrix (3h, in) to Keras's (in, 3h)."""
    return gates(array).T


def gru_biases(inputs: np.ndarray, states: np.ndarray) -> np.ndarray:
    """torch's two GRU biases to Keras's (2, 3h)."""
    return np.stack([gates(inputs), gates(states)])


def stacked(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two biases one above the other."""
    return np.stack([first, second])


def smoothing(array: np.ndarray) -> np.ndarray:
    """torch's convolution along time (1, 1, 1, k) to Keras's (k, 1, 1, 1)."""
    return array.transpose(3, 2, 1, 0)


# What undoes each transform; a tuple where it took several arrays.
INVERSES: dict[Transform, Transform] = {
    identity: identity,
    linear: linear,
    pointwise: lambda array: array.T[:, :, None],
    conv1d: conv1d,
    smoothing: smoothing,
    gru_kernel: lambda array: gates(array.T),
    gru_biases: lambda array: (gates(array[0]), gates(array[1])),
    stacked: lambda array: (array[0], array[1]),
}


def gru(source: str, target: str, suffix: str = "_l0") -> list[Rule]:
    """Rules of a GRU, or with suffix "" of a GRU's cell."""
    return cell(source, target, suffix, gru_kernel, gru_biases)


def cell(source: str, target: str, suffix: str, kernel: Transform, biases: Transform) -> list[Rule]:
    """Rules of a recurrent layer whose two biases stay two."""
    pair = (f"{source}.bias_ih{suffix}", f"{source}.bias_hh{suffix}")
    return [
        Rule(f"{source}.weight_ih{suffix}", f"{target}/kernel", kernel),
        Rule(f"{source}.weight_hh{suffix}", f"{target}/recurrent_kernel", kernel),
        Rule(pair, f"{target}/bias", biases),
    ]


def undone(rules: Iterable[Rule], values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """torch's arrays of those variables that ``values`` has, by the rules that read them."""
    arrays: dict[str, np.ndarray] = {}
    for rule in rules:
        if rule.target in values:
            made = INVERSES[rule.transform](np.asarray(values[rule.target]))
            made = made if isinstance(made, tuple) else (made,)
            arrays |= zip(rule.sources, map(np.ascontiguousarray, made), strict=True)
    return arrays


@dataclass(frozen=True)
class Adam:
    """State of Adam.

    Attributes:
        step: steps made.
        means, squares: running means of gradients and of their squares, by what the parameters
            are called.
    """

    step: int
    means: dict[str, np.ndarray]
    squares: dict[str, np.ndarray]


def adam_from_torch(
    path: str | Path, stored: Any, order: Sequence[str], arrays: Mapping[str, Any]
) -> Adam | None:
    """What an ``optimizer_state`` says, by the keys of the parameters; None where it says nothing.

    Args:
        path: for what an error says.
        stored: as the file has it.
        order: keys of the model's parameters in torch's order.
        arrays: the parameters, by their keys.

    Raises:
        WeightsError: it is of another model, or damaged.
    """
    if not stored:
        return None
    try:
        states, places = stored["state"], stored["param_groups"][0]["params"]
        known = {
            key: states[place] for place, key in zip(places, order, strict=False) if place in states
        }
        step = max((count_in(path, state["step"], STEP) for state in known.values()), default=0)
        means, squares = (
            {key: np.asarray(state[kind]) for key, state in known.items()}
            for kind in ("exp_avg", "exp_avg_sq")
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: {OPTIMIZER!r} is no state of an optimizer.") from error
    if states and len(places) != len(order):
        raise WeightsError(
            f"{path}: its optimizer is of {len(places)} parameters, the model has {len(order)}."
        )
    if not states:
        return None
    for key, array in [*means.items(), *squares.items()]:
        if array.shape != np.shape(arrays.get(key)) or not _is_finite(array):
            raise WeightsError(
                f"{path} is damaged: Adam's state of {key} is of another shape, or no numbers."
            )
    return Adam(step, means, squares)


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind in "fiu" and bool(np.isfinite(array).all())


def adam_to_torch(adam: Adam | None, order: Sequence[str], rate: float, **group: Any) -> dict:
    """What ``torch.optim.Adam.load_state_dict`` takes.

    Args:
        adam: by the keys of the parameters; None, or without steps, for an Adam before its first.
        order: keys of the model's parameters in torch's order.
        rate: of learning.
        group: what differs from an Adam made with a rate alone.
    """
    state = {
        place: {
            "step": np.array(adam.step, "float32"),
            "exp_avg": adam.means[key],
            "exp_avg_sq": adam.squares[key],
        }
        for place, key in enumerate(order)
        if adam is not None and adam.step and key in adam.means
    }
    return {
        "state": state,
        "param_groups": [{"lr": rate, **ADAM, **group, "params": list(range(len(order)))}],
    }
