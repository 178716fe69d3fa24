"""What an export must agree with: the model in this process, and itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import keras
import numpy as np
import tensorflow as tf

from myxtts.models.xtts import XTTS
from myxtts.serving.check.requests import Inputs
from myxtts.serving.signatures import ServingModule

# Of the peak: how far a result in float32 may be from the same on another way.
TOLERANCE = 1e-4
# The same of harmonics: by what a pitch is rounded, the hundredth one is a hundredfold.
HARMONIC_TOLERANCE = 1e-2
# No speech of one request is longer.
LONGEST_SECONDS = 120

Run = Callable[[Mapping[str, np.ndarray]], Inputs]


class Failed(Exception):
    """An export does not do what it must; the sentence says what."""


def tolerance_of(model: XTTS | None) -> float:
    """How far the results of an export of ``model`` may lie apart."""
    harmonic = model is not None and model.decoder.harmonic
    return HARMONIC_TOLERANCE if harmonic else TOLERANCE


def difference(
    found: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    tolerance: float = TOLERANCE,
) -> float:
    """Largest difference of float outputs, as a share of the peak of each.

    Raises:
        Failed: it is above ``tolerance``, or names, shapes or whole numbers differ.
    """
    if names := found.keys() ^ expected.keys():
        raise Failed(f"outputs differ: {', '.join(sorted(names))}")
    worst = 0.0
    # Whole numbers first: they say more than the audio that follows from them.
    for name in sorted(expected, key=lambda name: expected[name].dtype.kind == "f"):
        worst = max(worst, _difference(name, found[name], expected[name], tolerance))
    return worst


def _difference(name: str, found: np.ndarray, expected: np.ndarray, tolerance: float) -> float:
    if found.shape != expected.shape:
        raise Failed(f"{name} has the shape {found.shape}, not {expected.shape}")
    if expected.dtype.kind != "f":
        if not np.array_equal(found, expected):
            raise Failed(f"{name} is {_short(found)}, not {_short(expected)}")
        return 0.0
    peak = max(np.abs(expected).max(initial=0.0), np.finfo("float32").tiny)
    worst = float(np.abs(found - expected).max(initial=0.0) / peak)
    # Not a number is no small difference either.
    if not worst <= tolerance:
        raise Failed(f"{name} is {worst:.1e} of its peak apart")
    return worst


def _short(values: np.ndarray) -> str:
    return np.array2string(values.ravel(), threshold=8, edgeitems=4)


def own_part(together: Inputs, row: int, alone: Inputs) -> Inputs:
    """A row of a batch without its padding, in the shapes that it has alone.

    Raises:
        Failed: what lies behind is more than padding.
    """
    found = {}
    for name, value in together.items():
        places = tuple(slice(size) for size in alone[name].shape)
        behind = value[[row]]
        found[name] = behind[places].copy()
        behind[places] = behind.ravel()[-1] if behind.size else 0
        if np.unique(behind).size > 1:
            raise Failed(f"{name} of row {row} goes on behind its end")
    return found


def require_bounded(outputs: Inputs, sample_rate: int) -> None:
    """Refuse floats that are no numbers, and speech without an end.

    Raises:
        Failed: an output is so.
    """
    for name, value in outputs.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise Failed(f"{name} holds NaN or infinite values")
    seconds = outputs.get("waveform", np.zeros((1, 0))).shape[1] / sample_rate
    if seconds > LONGEST_SECONDS:
        raise Failed(f"the waveform lasts {seconds:.0f} s")


@contextmanager
def model_signatures(model: XTTS | None, about: Mapping) -> Iterator[dict[str, Run]]:
    """The model's own functions by the names of the signatures; none without a model.

    Within, the weights of ``model`` are rounded where the export stores them in half.

    Args:
        model: of which the export was made.
        about: the export's ``serving.json``.
    """
    if model is None:
        yield {}
        return
    module = ServingModule(model, about["vocoder"])
    graphs = module.signatures()
    with _stored_in_half(model) if about.get("half") else nullcontext():
        yield {name: _runner(graph) for name, graph in graphs.items()}


def _runner(graph: Callable) -> Run:
    def run(inputs: Mapping[str, np.ndarray]) -> Inputs:
        given = {name: tf.constant(value) for name, value in inputs.items()}
        try:
            return {name: value.numpy() for name, value in graph(**given).items()}
        except tf.errors.OpError as error:
            raise Failed(f"the model refuses it: {error.message}") from error

    return run


@contextmanager
def _stored_in_half(model: XTTS) -> Iterator[None]:
    weights: list[keras.Variable] = [
        weight
        for part in model.parts().values()
        for weight in part.weights
        if weight.dtype == "float32"
    ]
    own = [weight.numpy() for weight in weights]
    try:
        for weight, value in zip(weights, own, strict=True):
            weight.assign(value.astype("float16").astype("float32"))
        yield
    finally:
        for weight, value in zip(weights, own, strict=True):
            weight.assign(value)
