"""The one machine for dataclasses of settings: checks, YAML, plain values.

A class of settings is a frozen dataclass on :class:`Settings`; :func:`setting` makes its fields,
so that help, unit and range stand beside the default:

    @dataclass(frozen=True)
    class ToneConfig(Settings, section="tone"):
        frequency: float = setting(440.0, "pitch of the tone", "Hz", above=0)
        shape: Literal["sine", "square"] = setting("sine", "form of the wave")

Wherever values come from, a wrong one is a :class:`~myxtts.errors.ConfigError` that names it: an
unknown key (with the nearest valid one), a wrong type, a value out of range. What is wrong in a
YAML file is named with its line. A class whose fields depend on one another checks that in its
``__post_init__``, after the one of :class:`Settings`.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import numbers
import operator
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from myxtts.errors import ConfigError
from myxtts.files import write_whole

AnySettings = TypeVar("AnySettings", bound="Settings")

_BOUNDS = {
    "above": operator.gt,
    "at_least": operator.ge,
    "below": operator.lt,
    "at_most": operator.le,
}
# A configuration has some kilobytes and a handful of levels; what has more is no configuration.
_LARGEST_FILE, _DEEPEST = 2**20, 32
_LARGEST_INTEGER = 2**63 - 1
_NO_YAML = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_LONGEST_SHOWN = 200
_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12
_SHORT.maxstring = 120
_NUMBERS = {int: numbers.Integral, float: numbers.Real}


def setting(
    default: Any,
    help: str,
    unit: str | None = None,
    *,
    flag: str | None = None,
    may_be_empty: bool = False,
    **bounds: float,
) -> Any:
    """A field of a class of settings.

    Args:
        default: its value unless another is given. A tuple may be empty if this one is.
        help: what it is, for the help of its flag.
        unit: of a quantity, ``seconds`` say.
        flag: its name on the command line, where that is not the field's.
        may_be_empty: a tuple may be empty though its default is not.
        bounds: ``above`` or ``at_least``, ``below`` or ``at_most``: the range of a number.
            Every number must be finite, and a whole one have no more than 64 bits.
    """
    if unknown := bounds.keys() - _BOUNDS.keys():
        raise TypeError(f"a setting has no {', '.join(unknown)}")
    metadata = {"help": help, "unit": unit, "flag": flag, "bounds": bounds}
    given = {name: value for name, value in metadata.items() if value is not None}
    if may_be_empty:
        given["may_be_empty"] = True
    return dataclasses.field(default=default, metadata=given)


class Settings:
    """Base of the frozen dataclasses of settings; ``section`` is where a class is at home.

    Raises:
        ConfigError: a value has the wrong type or is out of its range.
    """

    _section = ""

    def __init_subclass__(cls, section: str = "") -> None:
        cls._section = f"{section}." if section else ""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = _checked(self, item, getattr(self, item.name), self._section + item.name)
            object.__setattr__(self, item.name, value)

    def require(self, holds: bool, name: str, condition: str) -> None:
        """Raise that the field ``name`` must be ``condition``, unless it ``holds``."""
        if not holds:
            raise _wrong(self._section + name, condition, getattr(self, name))

    def merged(
        self: AnySettings, values: dict[str, Any], source: str = "configuration"
    ) -> AnySettings:
        """A copy with the nested ``values`` laid over these settings.

        Raises:
            ConfigError: naming ``source``, a key is unknown or a value is wrong.
        """
        return _merged(self, values, source, self._section)

    @classmethod
    def from_yaml(
        cls: type[AnySettings], path: str | Path, base: AnySettings | None = None
    ) -> AnySettings:
        """Read a YAML file over ``base`` (the defaults when None).

        Raises:
            ConfigError: the file is missing, is not YAML or has a wrong key or value.
        """
        return (base or cls()).merged(read_yaml(path), source=str(path))

    def to_yaml(self, path: str | Path) -> None:
        """Write every field to ``path``, whole or not at all.

        Raises:
            CheckpointError: it cannot be written.
        """
        write_whole(path, yaml.safe_dump(to_dict(self), sort_keys=False))


def to_dict(config: Settings) -> dict[str, Any]:
    """Nested plain dictionaries and lists of a class of settings."""
    return dataclasses.asdict(config, dict_factory=lambda pairs: dict(map(_plain, pairs)))


def _plain(pair: tuple[str, Any]) -> tuple[str, Any]:
    name, value = pair
    return name, list(value) if isinstance(value, tuple) else value


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """Types of the fields of a class of settings, by name."""
    return typing.get_type_hints(cls)


def without_none(hint: Any) -> Any:
    """``X`` of the type ``X | None``, and every other type as it is."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    (inner,) = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    return inner


class YAMLMapping(dict):
    """A mapping of a YAML file: ``lines`` says on which line a key stands."""

    lines: dict[Any, int]


class YAMLTwiceError(yaml.MarkedYAMLError):
    """A key stands twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """Reads plain data only, every mapping as a :class:`YAMLMapping`, and nothing that is deep."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > _DEEPEST:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="nested too deep", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def mapping(self, node: yaml.MappingNode) -> YAMLMapping:
        # Of keys that are merged in (``<<``), those here may be another value.
        own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        values = YAMLMapping(self.construct_mapping(node, deep=True))
        keys = [key for key, _ in node.value]
        values.lines = {self.construct_object(key): key.start_mark.line + 1 for key in keys}
        self._refuse_twice(own)
        return values

    def _refuse_twice(self, keys: list[yaml.Node]) -> None:
        """Refuse a key that comes again: YAML's rules do, and only one value could be used."""
        found: dict[Any, int] = {}
        for key in keys:
            line = key.start_mark.line + 1
            if (name := self.construct_object(key)) in found:
                problem = f"{_shown(name)} stands there and on line {found[name]}"
                raise YAMLTwiceError(problem=problem, problem_mark=key.start_mark)
            found[name] = line


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; a missing or malformed file is a ``ConfigError``."""
    try:
        if Path(path).stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path} is no configuration: it has more than a megabyte.")
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}.") from error
    try:
        # A safe loader: its tags make plain data only.
        values = yaml.load(text, _Loader)
    # A date that is none, or a number of thousands of digits, is a ValueError of Python's; a tag
    # on a wrong value is of many kinds.
    except (*_NO_YAML, yaml.YAMLError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        what = error.problem if isinstance(error, YAMLTwiceError) else "not valid YAML"
        raise ConfigError(f"{path}{line}: {what}.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of names to values.")
    return values


def _merged(config: Settings, values: dict[str, Any], source: str, prefix: str) -> Any:
    items = {item.name: item for item in dataclasses.fields(config)}
    lines = getattr(values, "lines", {})
    changes = {}
    for key, value in values.items():
        where = f"{source}, line {lines[key]}" if key in lines else source
        name = f"{prefix}{key if isinstance(key, str) else _shown(key)}"
        if key not in items:
            raise ConfigError(f"{where}: unknown key {_shown(name)}{nearest(_shown(key), items)}.")
        old = getattr(config, key)
        if isinstance(old, Settings):
            if not isinstance(value, dict):
                raise _wrong(f"{where}: {name}", "a mapping", value)
            changes[key] = _merged(old, value, source, f"{name}.")
        else:
            changes[key] = _checked(config, items[key], value, f"{where}: {name}")
    try:
        return dataclasses.replace(config, **changes)
    except ConfigError as error:
        # Of fields that do not go together; each for itself has been checked above.
        where = f"{source}, from line {min(lines.values())}" if lines else source
        raise ConfigError(f"{where}: {error}") from error


def _checked(config: Settings, item: dataclasses.Field, value: Any, name: str) -> Any:
    """``value`` as the field ``item`` holds it; raise naming ``name`` where it cannot."""
    declared = field_types(type(config))[item.name]
    hint = without_none(declared)
    if value is None and hint is not declared:
        return None
    may_be_empty = item.default == () or "may_be_empty" in item.metadata
    value = _of_type(value, hint, name, may_be_empty)
    bounds = item.metadata.get("bounds", {})
    for part in value if isinstance(value, tuple) else (value,):
        if not _in_range(part, bounds):
            raise _wrong(name, _range(bounds, hint), part)
    return value


def _of_type(value: Any, hint: Any, name: str, may_be_empty: bool = False) -> Any:
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(f"{name} is {_shown(value)}{nearest(_shown(value), choices)}.")
        return value
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)) or not (value or may_be_empty):
            raise _wrong(name, "a list" if may_be_empty else "a non-empty list", value)
        return tuple(_of_type(part, typing.get_args(hint)[0], name) for part in value)
    # To Python, True is an integer; here it is none.
    if not isinstance(value, _NUMBERS.get(hint, hint)) or isinstance(value, bool) != (hint is bool):
        raise _wrong(name, f"of type {hint.__name__}", value)
    if hint in _NUMBERS:
        return _number(value, hint, name)
    if hint is str and "\0" in value:
        raise _wrong(name, "a text without a zero byte", value)
    return value


def _number(value: Any, hint: type, name: str) -> int | float:
    """A number of the type ``hint``; a whole one fits in 64 bits with its sign."""
    try:
        number = hint(value)
    except OverflowError as error:
        raise _wrong(name, "finite", value) from error
    if hint is int and abs(number) > _LARGEST_INTEGER:
        raise ConfigError(f"{name} is too large: it must be below 2**63 and above -2**63.")
    return number


def _in_range(value: Any, bounds: Mapping[str, float]) -> bool:
    inside = all(_BOUNDS[rule](value, bound) for rule, bound in bounds.items())
    # A boolean or a text is neither finite nor not.
    return inside and (not isinstance(value, float) or math.isfinite(value))


def _range(bounds: Mapping[str, float], hint: Any) -> str:
    """The range of a number in words."""
    if not bounds:
        return "finite"
    match bounds:
        case {"at_least": low, "at_most": high}:
            return f"from {low} to {high}"
        case {"above": low, "at_most": high}:
            return f"in ({low}, {high}]"
    words = [f"{rule.replace('_', ' ')} {bound}" for rule, bound in bounds.items()]
    endless = hint is float and bounds.keys() <= {"above", "at_least"}
    return " and ".join([*words, "finite"] if endless else words)


def nearest(word: str, choices: Iterable[str]) -> str:
    """The end of a sentence on a wrong word: the nearest right one, or all of them.

    Quotation marks around the word do not count.
    """
    choices = list(choices)
    close = difflib.get_close_matches(word.strip("'"), choices, n=1)
    if close:
        return f"; did you mean {close[0]!r}"
    return f"; choose one of {', '.join(map(repr, choices))}"


def _wrong(name: str, condition: str, value: Any) -> ConfigError:
    return ConfigError(f"{name} must be {condition}, not {_shown(value)}.")


def _shown(value: Any) -> str:
    """A value as a sentence can hold it, however large it is."""
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return f"a number of {value.bit_length()} bits"
    told = _SHORT.repr(value) if isinstance(value, (dict, list, tuple)) else repr(value)
    return told if len(told) <= _LONGEST_SHOWN else f"{told[:_LONGEST_SHOWN]}..."
