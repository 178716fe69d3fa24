"""The law of conversion: another project's arrays become the weights of a Keras layer.

Every source key is used once or ignored for a stated reason, every variable of
the layer is set once, and shapes agree after a named transform. Anything else
raises, naming the differences on both sides.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from myxtts.errors import WeightsError
from myxtts.presets.variables import named

Transform = Callable[..., np.ndarray]


def identity(array: np.ndarray) -> np.ndarray:
    """Biases, embeddings, norms, and matrices already stored as (in, out)."""
    return array


def linear(array: np.ndarray) -> np.ndarray:
    """torch ``nn.Linear`` (out, in) to a Dense kernel (in, out)."""
    return array.T


def pointwise(array: np.ndarray) -> np.ndarray:
    """torch ``nn.Conv1d`` of kernel one (out, in, 1) to a Dense kernel (in, out)."""
    return array[:, :, 0].T


def conv1d(array: np.ndarray) -> np.ndarray:
    """torch ``nn.Conv1d`` (out, in, k) to (k, in, out)."""
    return array.transpose(2, 1, 0)


def conv_transpose1d(array: np.ndarray) -> np.ndarray:
    """torch ``nn.ConvTranspose1d`` (in, out, k) to (k, out, in)."""
    return array.transpose(2, 1, 0)


def conv2d(array: np.ndarray) -> np.ndarray:
    """torch ``nn.Conv2d`` (out, in, h, w) to (h, w, in, out)."""
    return array.transpose(2, 3, 1, 0)


def added(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """torch's two LSTM biases to Keras's one; the order of the gates is the same."""
    return first + second


@dataclass(frozen=True)
class Rule:
    """One variable of the layer and where its values come from.

    Attributes:
        source: key of the source, or several for a transform of several arrays.
        target: path of the variable below the layer.
        transform: from the source's layout to Keras's.
    """

    source: str | tuple[str, ...]
    target: str
    transform: Transform = identity

    @property
    def sources(self) -> tuple[str, ...]:
        """Keys of the source."""
        return (self.source,) if isinstance(self.source, str) else self.source


def affine(source: str, target: str, transform: Transform) -> list[Rule]:
    """Rules of a layer with ``weight`` and ``bias``."""
    return [
        Rule(f"{source}.weight", f"{target}/kernel", transform),
        Rule(f"{source}.bias", f"{target}/bias"),
    ]


def norm(source: str, target: str) -> list[Rule]:
    """Rules of a layer or group norm."""
    return [Rule(f"{source}.weight", f"{target}/gamma"), Rule(f"{source}.bias", f"{target}/beta")]


def batch_norm(source: str, target: str) -> list[Rule]:
    """Rules of a batch norm with its running statistics."""
    return [
        *norm(source, target),
        Rule(f"{source}.running_mean", f"{target}/moving_mean"),
        Rule(f"{source}.running_var", f"{target}/moving_variance"),
    ]


def convert(
    arrays: Mapping[str, np.ndarray],
    rules: Iterable[Rule],
    layer: keras.layers.Layer,
    ignored: Mapping[str, str] | None = None,
) -> None:
    """Set every weight of ``layer`` from ``arrays``.

    Args:
        arrays: the source's state.
        rules: one for every weight of the layer.
        layer: built.
        ignored: patterns of source keys that are left out, with the reason.

    Raises:
        WeightsError: a key is missing, unused or used twice, a weight is not set or set
            twice, a shape differs, or a value is not finite; the layer is then unchanged.
    """
    rules = list(rules)
    variables = named(layer.weights, layer.name)
    _check_sources(arrays, rules, ignored or {}, layer.name)
    _check_targets(variables, rules, layer.name)
    values = {rule.target: _value(arrays, rule, variables[rule.target]) for rule in rules}
    for target, value in values.items():
        variables[target].assign(value)


def fold_weight_norm(arrays: Mapping[str, np.ndarray], kept: int = 0) -> dict[str, np.ndarray]:
    """Replace weight-norm pairs by the weight ``g * v / |v|`` they stand for.

    Both spellings are read: ``parametrizations.weight.original0/1`` and
    ``weight_g``/``weight_v``. The norm runs over every axis but ``kept``.

    Raises:
        WeightsError: a gain has no direction, or is of another axis.
    """
    folded = dict(arrays)
    spellings = (
        (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
        (".weight_g", ".weight_v"),
    )
    for gain_name, direction_name in spellings:
        for key in [key for key in arrays if key.endswith(gain_name)]:
            stem = key.removesuffix(gain_name)
            if stem + direction_name not in arrays:
                raise WeightsError(f"the source lacks {stem}{direction_name} to go with {key}.")
            gain, direction = folded.pop(key), folded.pop(stem + direction_name)
            axes = tuple(axis for axis in range(direction.ndim) if axis != kept)
            length = np.sqrt(np.sum(np.square(direction), axis=axes, keepdims=True))
            if gain.shape != length.shape:
                raise WeightsError(f"{key} has shape {gain.shape}, {length.shape} is expected.")
            folded[f"{stem}.weight"] = gain * direction / length
    return folded


def _check_sources(arrays, rules: list[Rule], ignored: Mapping[str, str], name: str) -> None:
    wanted = [source for rule in rules for source in rule.sources]
    twice = {source for source in wanted if wanted.count(source) > 1}
    missing = [source for source in wanted if source not in arrays]
    unused = [
        key
        for key in arrays
        if key not in set(wanted) and not any(fnmatch.fnmatch(key, item) for item in ignored)
    ]
    if twice or missing or unused:
        raise WeightsError(
            f"{name}: the source does not fit: missing {_some(missing)}, not used "
            f"{_some(unused)}, used twice {_some(sorted(twice))}."
        )


def _check_targets(variables: dict, rules: list[Rule], name: str) -> None:
    targets = [rule.target for rule in rules]
    unset = [target for target in variables if target not in targets]
    unknown = [target for target in targets if target not in variables]
    twice = sorted({target for target in targets if targets.count(target) > 1})
    if unset or unknown or twice:
        raise WeightsError(
            f"{name}: the rules do not fit the layer: not set {_some(unset)}, unknown "
            f"{_some(unknown)}, set twice {_some(twice)}."
        )


def _value(arrays, rule: Rule, variable) -> np.ndarray:
    stored = [np.asarray(arrays[source]) for source in rule.sources]
    try:
        value = rule.transform(*stored)
    except (ValueError, IndexError) as error:
        shapes = [array.shape for array in stored]
        raise WeightsError(f"{rule.source} of shape {shapes} is no {rule.transform.__name__}.") \
            from error  # fmt: skip
    if value.dtype.kind not in "fiub" or not np.isfinite(value).all():
        raise WeightsError(f"{rule.source} holds NaN, infinite values or none that are numbers.")
    if tuple(value.shape) != tuple(variable.shape):
        raise WeightsError(
            f"{rule.source} gives shape {tuple(value.shape)}, {rule.target} has "
            f"{tuple(variable.shape)}."
        )
    return value


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
