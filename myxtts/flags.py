"""Command-line flags made from settings, and what every program has besides.

A field ``training.gpt.batch_size`` of :class:`~myxtts.config.XTTSConfig` becomes
``--gpt-batch-size``: the section is dropped, the rest joined by dashes. A flag beats the YAML
file, the YAML file beats the preset.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import yaml

from myxtts.errors import ConfigError, MyXTTSError
from myxtts.files import is_full
from myxtts.settings import AnySettings, Settings, field_types, to_dict, without_none

# Set it to have the whole traceback of an error that nobody foresaw.
TRACEBACK = "MYXTTS_TRACEBACK"
_PREFIX = "config:"
_METAVARS = {int: "N", float: "X"}


def make_parser(
    prog: str, description: str, *, epilog: str | None = None, json: bool = False
) -> argparse.ArgumentParser:
    """The parser of a program, for :func:`run`.

    Args:
        prog: how the program is called, ``train_main.py`` say.
        description: one sentence on what it does, or the module's docstring, whose first
            paragraph is taken.
        epilog: what the help ends with.
        json: add ``--json``, which prints the result as one JSON line.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description=description.split("\n\n")[0], epilog=epilog, allow_abbrev=False
    )
    if json:
        parser.add_argument("--json", action="store_true", help="print the result as one JSON line")
    return parser


def add_config_flags(
    parser: argparse.ArgumentParser,
    cls: type[Settings],
    names: Iterable[str] | None = None,
    *,
    title: str | None = None,
    defaults: bool | Settings = False,
) -> None:
    """Add flags for the fields of a class of settings, see :func:`config_from_flags`.

    Args:
        parser: gets them.
        cls: the class. A field that is a class of settings itself becomes a group of flags.
        names: of the fields that get flags; None for all.
        title: of a group for the other fields; None for none.
        defaults: say in the help what a field is without its flag, by the class or by these
            settings.
    """
    group = parser.add_argument_group(title) if title else parser
    for item in dataclasses.fields(cls):
        if names is not None and item.name not in names:
            continue
        section = group
        usual = item.default if isinstance(defaults, bool) else getattr(defaults, item.name)
        if isinstance(item.default, Settings):
            name = f"{item.name} (fields of the YAML's {item.name!r})"
            section = parser.add_argument_group(name)
        for path, leaf, hint, value in _leaves(cls, item, (), usual):
            shown = None if defaults is False else value
            _add_flag(section, path, leaf, without_none(hint), shown)


def config_from_flags(args: argparse.Namespace, base: AnySettings) -> AnySettings:
    """Lay the flags that were given over ``base``.

    Raises:
        ConfigError: a value breaks a rule of the configuration.
    """
    return base.merged(given_flags(args), source="command line")


def given_flags(args: argparse.Namespace) -> dict[str, Any]:
    """Nested values of the flags of settings that were given."""
    values: dict[str, Any] = {}
    for name, value in vars(args).items():
        if name.startswith(_PREFIX):
            *parents, leaf = name.removeprefix(_PREFIX).split(".")
            node = values
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = value
    return values


def refuse_idle(args: argparse.Namespace, reasons: Mapping[str, str]) -> None:
    """Refuse flags that were given and would do nothing.

    Args:
        args: the command line.
        reasons: what a sentence on such a flag says behind its name, by the field or, with a
            point at the end, the section that nothing will read: ``model.ecapa.`` say.

    Raises:
        ConfigError: there is one.
    """
    for name in (key.removeprefix(_PREFIX) for key in vars(args) if key.startswith(_PREFIX)):
        for idle, reason in reasons.items():
            if name == idle or (idle.endswith(".") and name.startswith(idle)):
                raise ConfigError(f"{_flag(name.split('.'))} {reason}")


def refuse_unread(
    args: argparse.Namespace, parser: argparse.ArgumentParser, reasons: Mapping[str, str]
) -> None:
    """Refuse options of a program's own that were given and that nothing would read.

    Args:
        args: the command line.
        parser: that read it. An option is given where its value is not the default.
        reasons: what a sentence on an option says behind its name, by the option.

    Raises:
        ConfigError: there is one.
    """
    for option, reason in reasons.items():
        name = option.lstrip("-").replace("-", "_")
        if getattr(args, name) != parser.get_default(name):
            raise ConfigError(f"{option} {reason}")


def print_settings(settings: Settings, as_json: bool) -> None:
    """Print what ``--dry-run`` has resolved: YAML, or with ``--json`` a line of JSON."""
    values = to_dict(settings)
    print(json.dumps(values) if as_json else yaml.safe_dump(values, sort_keys=False), end="")
    if as_json:
        print()


def _flag(path: Sequence[str]) -> str:
    """The flag of a field: its path without the section."""
    return "--" + "-".join(path[1:] or path).replace("_", "-")


def run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> int:
    """Parse the command line, run ``main`` and turn a user's mistake into one sentence.

    Returns:
        0 when done, 1 when it failed, 130 after Ctrl-C; wrong usage exits with 2. With
        ``MYXTTS_TRACEBACK`` set, an error that nobody foresaw is raised.
    """
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main(args)
    except MyXTTSError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever reads the result has enough; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    # A panic of a library that is written in Rust is no Exception.
    except BaseException as error:
        if isinstance(error, SystemExit) or os.environ.get(TRACEBACK):
            raise
        print(f"{parser.prog}: error: {sentence(error)}", file=sys.stderr)
        return 1
    return 0


def sentence(error: BaseException) -> str:
    """What an error that nobody foresaw says to a person.

    A full disk and too little memory are the machine's; anything else is a fault of this program
    or of what it was given, and says how to see where it happened.
    """
    told = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
    place = getattr(error, "filename", None)
    if is_full(error):
        return f"no space on the disk of {place or 'what is being written'}."
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return f"too little memory ({told})."
    if isinstance(error, OSError):
        return f"{place}: {error.strerror}." if place and error.strerror else f"{told}."
    return f"unexpected {type(error).__name__}: {told}. {TRACEBACK}=1 shows where."


def _leaves(
    cls: type[Settings], item: dataclasses.Field, path: tuple[str, ...], value: Any
) -> Iterator[tuple]:
    """Path, field, type and value of ``item``, or of all within, where it is of settings."""
    path = (*path, item.name)
    if isinstance(item.default, Settings):
        for inner in dataclasses.fields(item.default):
            yield from _leaves(type(item.default), inner, path, getattr(value, inner.name))
    else:
        yield path, item, field_types(cls)[item.name], value


def _add_flag(group, path: tuple[str, ...], item: dataclasses.Field, hint, usual: Any) -> None:
    words = (*path[:-1], item.metadata.get("flag", item.name))
    help = item.metadata["help"]
    if usual not in ("", (), None, dataclasses.MISSING):
        value = f"{usual:g}" if isinstance(usual, float) else usual
        help = f"{help} (default: {value})"
    options: dict[str, Any] = {
        "dest": _PREFIX + ".".join(path),
        "default": argparse.SUPPRESS,
        "help": help.replace("%", "%%"),
    }
    group.add_argument(_flag(words), **options, **_kind(item, hint))


def _kind(item: dataclasses.Field, hint: Any) -> dict[str, Any]:
    """How ``argparse`` reads the flag of a field of type ``hint``, and shows its value."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(hint) is Literal:
        return {"choices": typing.get_args(hint)}
    if typing.get_origin(hint) is tuple and typing.get_origin(typing.get_args(hint)[0]) is Literal:
        return {"nargs": "+", "choices": typing.get_args(typing.get_args(hint)[0])}
    if hint == tuple[str, ...]:
        return {"nargs": "+", "metavar": "TEXT"}
    if hint == tuple[int, ...]:
        return {"type": partial(_numbers, int), "metavar": "N,N,..."}
    if hint == tuple[float, ...]:
        return {"type": partial(_numbers, float), "metavar": "X,X,..."}
    unit = item.metadata.get("unit", _METAVARS.get(hint))
    if unit is None:
        unit = "DIR" if item.name.endswith(("dir", "data", "from")) else "TEXT"
    return {"type": hint, "metavar": unit.upper() if unit.islower() else unit}


def _numbers(kind: type[int] | type[float], text: str) -> tuple:
    """The numbers of a text with commas between them, no text is none."""
    try:
        return tuple(kind(part) for part in text.split(",")) if text.strip() else ()
    except ValueError as error:
        told = {int: "integers", float: "numbers"}[kind]
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {told}") from error
