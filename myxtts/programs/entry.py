"""``myxtts COMMAND ...``: each command is the function that a program of the source tree calls."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable

from myxtts.flags import run

# Modules with a ``main`` and a ``parser``, imported when they are asked for.
COMMANDS = {
    "speak": ("myxtts.programs.speak", "speak a text into a file or to stdout"),
    "train": ("myxtts.training.command", "train a model on a corpus"),
    "serve": ("myxtts.server.command", "speak for other programs over HTTP"),
    "voices": ("myxtts.programs.voices", "list the voices of a model"),
    "verify": ("myxtts.programs.verify", "measure a speaker encoder on trials"),
    "convert": ("myxtts.programs.convert", "make a preset of Coqui's XTTS-v2"),
    "export": ("myxtts.programs.export", "write a SavedModel for TensorFlow Serving"),
    "quantize": ("myxtts.programs.quantize", "make a preset smaller, for speaking only"),
    "push": ("myxtts.programs.push", "make a folder of a preset for the Hugging Face hub"),
    "demo": ("myxtts.programs.demo", "speak five sentences in two voices, with pictures"),
    "info": ("myxtts.programs.info", "what is installed, what is missing, how to get it"),
}
# Set by argcomplete's shell function while somebody presses the tab key.
_COMPLETING = "_ARGCOMPLETE"


def main() -> int:
    """Run the command that the command line names; its exit code."""
    if _COMPLETING in os.environ:
        complete()
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    name, prog = words[0], f"myxtts {words[0]}"
    if name not in COMMANDS:
        print(f"myxtts: error: there is no command {name!r}; see myxtts --help.", file=sys.stderr)
        return 2
    sys.argv = [prog, *words[1:]]
    module = importlib.import_module(COMMANDS[name][0])
    return run(module.main, _named(module.parser, prog))


def usage() -> str:
    """What ``myxtts --help`` prints."""
    lines = [f"  {name:<8} {about}" for name, (_, about) in COMMANDS.items()]
    head = ["usage: myxtts COMMAND ...", "", "commands (each has its own --help):"]
    return "\n".join([*head, *lines])


def complete() -> None:
    """Answer the shell that asks how the line may go on, and end; without argcomplete, nothing."""
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(completed(os.environ.get("COMP_LINE", "")))


def completed(line: str) -> argparse.ArgumentParser:
    """A parser of all commands, with the flags of the one that ``line`` names.

    The others' are left out: to read them, all that they import would be read.
    """
    parser = argparse.ArgumentParser(prog="myxtts")
    commands = parser.add_subparsers()
    words = line.split()
    for name, (place, about) in COMMANDS.items():
        chosen = words[1:2] == [name]
        flags = [importlib.import_module(place).parser()] if chosen else []
        commands.add_parser(name, help=about, parents=flags, add_help=False)
    return parser


def _named(make: Callable[[], argparse.ArgumentParser], prog: str) -> argparse.ArgumentParser:
    parser = make()
    parser.prog = prog
    return parser


if __name__ == "__main__":
    sys.exit(main())
