"""The one machine for dataclasses of settings: YAML, checks, plain values.

A class of settings is a frozen dataclass whose fields carry a ``help`` text. It is strict: an
unknown key, a mistyped value or an impossible combination raises
:class:`~myxtts.errors.ConfigError` naming the key and the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from pathlib import Path
from typing import Any, Literal

import yaml

from myxtts.errors import ConfigError


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; a missing or malformed file is a ``ConfigError``."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}.") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ConfigError(f"{path}{line}: not valid YAML.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: the top level must be a mapping with model, data, training.")
    return values


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain dictionaries and lists of a configuration dataclass."""
    return {item.name: _plain(getattr(config, item.name)) for item in dataclasses.fields(config)}


def from_dict(cls: type, values: dict[str, Any], source: str = "configuration") -> Any:
    """Build the dataclass ``cls`` from nested ``values`` over its defaults."""
    return merge(cls(), values, source, prefix="")


def field_types(cls: type) -> dict[str, Any]:
    """Resolved type hints of the fields of a configuration dataclass."""
    return typing.get_type_hints(cls)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    return list(value) if isinstance(value, tuple) else value


def merge(config: Any, values: dict[str, Any], source: str, prefix: str) -> Any:
    hints = field_types(type(config))
    changes = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in hints:
            raise ConfigError(f"{source}: unknown key {name!r}{nearest(str(key), hints)}.")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, dict):
                raise ConfigError(f"{source}: {name} must be a mapping, not {value!r}.")
            changes[key] = merge(getattr(config, key), value, source, f"{name}.")
        else:
            changes[key] = coerce(value, hints[key], f"{source}: {name}")
    return dataclasses.replace(config, **changes)


def coerce(value: Any, hint: Any, name: str) -> Any:
    """Check ``value`` against a field's type ``hint``; raise naming ``name``."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        (inner,) = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return coerce(value, inner, name)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(f"{name} is {value!r}{nearest(str(value), choices)}.")
        return value
    if origin is tuple:
        return _coerce_tuple(value, typing.get_args(hint)[0], name)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (hint is int and isinstance(value, bool)) or not isinstance(value, hint):
        raise ConfigError(f"{name} must be of type {hint.__name__}, not {value!r}.")
    return value


def _coerce_tuple(value: Any, item_hint: Any, name: str) -> tuple:
    if not isinstance(value, (list, tuple)) or not value:
        raise ConfigError(f"{name} must be a non-empty list, not {value!r}.")
    return tuple(coerce(item, item_hint, name) for item in value)


def nearest(word: str, choices: typing.Iterable[str]) -> str:
    choices = list(choices)
    close = difflib.get_close_matches(word, choices, n=1)
    if close:
        return f"; did you mean {close[0]!r}"
    return f"; choose one of {', '.join(map(repr, choices))}"


def require(holds: bool, name: str, condition: str, value: Any) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {condition}, not {value!r}.")


def require_product(values: tuple[int, ...], product: int, name: str) -> None:
    total = 1
    for value in values:
        total *= value
    if total != product:
        raise ConfigError(f"{name} multiplies to {total}; it must multiply to {product}.")


def require_same_length(config: Any, first: str, second: str, prefix: str) -> None:
    if len(getattr(config, first)) != len(getattr(config, second)):
        raise ConfigError(f"{prefix}.{first} and {prefix}.{second} must have the same length.")
