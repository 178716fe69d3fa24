"""``myxtts COMMAND ...``: each command is the function that a program at the root calls."""

from __future__ import annotations

import argparse
import importlib
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from myxtts.flags import run

# Modules with a ``main`` and a ``parser``, imported when they are asked for.
COMMANDS = {
    "speak": ("myxtts.programs.speak", "speak a text into a file or to stdout"),
    "train": ("myxtts.training.command", "train a model on a corpus"),
    "serve": ("myxtts.server.command", "speak for other programs over HTTP"),
    "voices": ("myxtts.programs.voices", "list the voices of a model"),
    "info": ("myxtts.programs.info", "what is installed, what is missing, how to get it"),
}
# Programs of the source tree; a wheel comes without them.
TOOLS = {
    "verify": ("verify_speakers.py", "measure a speaker encoder on trials"),
    "convert": ("convert_xtts.py", "make a preset of Coqui's XTTS-v2"),
    "export": ("export_saved_model.py", "write a SavedModel for TensorFlow Serving"),
    "demo": ("demo.py", "speak with the model that comes with MyXTTS, and judge it"),
}
_TOOLS = Path(__file__).resolve().parents[2] / "tools"


def main() -> int:
    """Run the command that the command line names; its exit code."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    name, prog = words[0], f"myxtts {words[0]}"
    sys.argv = [prog, *words[1:]]
    if name in COMMANDS:
        module = importlib.import_module(COMMANDS[name][0])
        return run(module.main, _named(module.parser, prog))
    if name in TOOLS:
        return _run_tool(name)
    print(f"myxtts: error: there is no command {name!r}; see myxtts --help.", file=sys.stderr)
    return 2


def usage() -> str:
    """What ``myxtts --help`` prints."""
    known = COMMANDS | TOOLS
    lines = [f"  {name:<8} {about}" for name, (_, about) in known.items()]
    head = ["usage: myxtts COMMAND ...", "", "commands (each has its own --help):"]
    return "\n".join([*head, *lines])


def _named(make: Callable[[], argparse.ArgumentParser], prog: str) -> argparse.ArgumentParser:
    parser = make()
    parser.prog = prog
    return parser


def _run_tool(name: str) -> int:
    path = _TOOLS / TOOLS[name][0]
    if not path.is_file():
        told = f"{path.name} comes with the source tree of MyXTTS and not with its wheel."
        print(f"myxtts {name}: error: {told}", file=sys.stderr)
        return 1
    # It ends with its own exit code.
    runpy.run_path(str(path), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
