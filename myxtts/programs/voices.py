"""``myxtts voices``: the voices of a model, or of a file of several."""

from __future__ import annotations

import argparse

from myxtts.flags import make_parser
from myxtts.inference.command import list_voices
from myxtts.presets.finding import add_preset_flag, find_preset


def parser() -> argparse.ArgumentParser:
    """Flags of the list."""
    parser = make_parser("myxtts voices", "List a model's voices, the default first.", json=True)
    add_preset_flag(parser)
    parser.add_argument(
        "--voice", metavar="FILE", help="list those of a file of several (speakers_xtts.pth)"
    )
    return parser


def main(args: argparse.Namespace) -> None:
    """Print the list."""
    list_voices(find_preset(args.preset), args.json, args.voice)
