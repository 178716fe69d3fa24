"""Command-line flags made from the configuration schema.

A field ``training.gpt.batch_size`` becomes ``--gpt-batch-size``: the section is
dropped, the rest joined by dashes. A flag beats the YAML file, the YAML file
beats the preset.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Any, Literal

from myxtts.config import XTTSConfig
from myxtts.errors import ConfigError, MyXTTSError
from myxtts.settings import field_types

_PREFIX = "config:"


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
    parser: argparse.ArgumentParser, sections: tuple[str, ...] = ("model", "data", "training")
) -> None:
    """Add one flag for every field of the named sections of :class:`XTTSConfig`."""
    hints = field_types(XTTSConfig)
    for section in sections:
        group = parser.add_argument_group(f"{section} (fields of the YAML's {section!r})")
        for path, item, hint in _leaves(hints[section], ()):
            _add_flag(group, section, path, item, hint)


def config_from_flags(args: argparse.Namespace, base: XTTSConfig) -> XTTSConfig:
    """Lay the flags that were given over ``base``.

    Raises:
        ConfigError: a value breaks a rule of the configuration.
    """
    values: dict[str, Any] = {}
    for name, value in vars(args).items():
        if name.startswith(_PREFIX):
            *parents, leaf = name.removeprefix(_PREFIX).split(".")
            node = values
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = value
    return base.merged(values, source="command line")


def run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> int:
    """Parse the command line, run ``main`` and turn a user's mistake into one sentence.

    Returns:
        0 when done, 1 when it failed, 130 after Ctrl-C; wrong usage exits with 2.
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
    return 0


def _leaves(cls: type, path: tuple[str, ...]) -> Iterator[tuple]:
    hints = field_types(cls)
    for item in dataclasses.fields(cls):
        hint = hints[item.name]
        if dataclasses.is_dataclass(hint):
            yield from _leaves(hint, (*path, item.name))
        else:
            yield (*path, item.name), item, hint


def _add_flag(group, section: str, path: tuple[str, ...], item: dataclasses.Field, hint) -> None:
    flag = "--" + "-".join(path).replace("_", "-")
    options: dict[str, Any] = {
        "dest": f"{_PREFIX}{section}.{'.'.join(path)}",
        "default": argparse.SUPPRESS,
        "help": item.metadata["help"].replace("%", "%%"),
    }
    if hint is bool:
        options["action"] = argparse.BooleanOptionalAction
    elif typing.get_origin(hint) is Literal:
        options["choices"] = typing.get_args(hint)
    elif typing.get_origin(hint) is tuple:
        options |= {"type": _integers, "metavar": "N,N,..."}
    else:
        options |= {
            "type": hint if hint in (int, float) else str,
            "metavar": _metavar(path[-1], hint),
        }
    group.add_argument(flag, **options)


def _metavar(name: str, hint: Any) -> str:
    if hint is int:
        return "N"
    if hint is float:
        return "X"
    return "DIR" if name.endswith(("dir", "data", "from")) else "TEXT"


def _integers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of integers") from error
