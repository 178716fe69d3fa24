"""``myxtts speak``: ``inference_main.py`` with a text beside its flags, and stdin and stdout."""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from myxtts.errors import ConfigError, TextError
from myxtts.flags import refuse_unread
from myxtts.inference import command
from myxtts.programs.playing import play, require_player

STANDARD = "-"


def parser() -> argparse.ArgumentParser:
    """Flags of ``inference_main.py``, and the text without a flag."""
    parser = command.parser()
    parser.add_argument("words", nargs="?", metavar="TEXT", help="what to say; - reads stdin")
    parser.add_argument(
        "--play", action="store_true", help="play the speech; without --output nothing else"
    )
    parser.set_defaults(output=STANDARD)
    parser.epilog = "Without --output, or with --output -, a WAV file is written to stdout."
    return parser


def main(args: argparse.Namespace) -> None:
    """Speak into ``--output``, which may be stdout."""
    if args.words is not None:
        if args.text is not None or args.text_file is not None or args.list_voices:
            raise ConfigError("give the text once, as TEXT or by one of its flags.")
        args.text = _standard_input() if args.words == STANDARD else args.words
    if args.list_voices:
        refuse_unread(args, parser(), {"--play": "is for speaking; --list-voices does not."})
        command.main(args)
    elif args.play:
        _speak_aloud(args)
    elif args.output != STANDARD:
        command.main(args)
    else:
        _require_silent_output(args)
        _speak_to_standard_output(args)


def _speak_aloud(args: argparse.Namespace) -> None:
    player = require_player()
    if args.output != STANDARD:
        command.main(args)
        play(args.output, player)
        return
    with _spoken(args) as path:
        play(path, player)


def _require_silent_output(args: argparse.Namespace) -> None:
    """Raise ``ConfigError`` where stdout cannot take a WAV file."""
    if args.json or args.stream:
        flag = "--json" if args.json else "--stream"
        raise ConfigError(f"{flag} is for --output FILE; here stdout takes the whole speech.")
    if sys.stdout.isatty():
        raise ConfigError("stdout is a terminal: give --output FILE or --play, or write > FILE.")


def _speak_to_standard_output(args: argparse.Namespace) -> None:
    with _spoken(args) as path, path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _spoken(args: argparse.Namespace) -> Iterator[Path]:
    """A WAV file of the speech, which is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="myxtts-") as folder:
        args.output = str(Path(folder, "speech.wav"))
        # It would name the file.
        with contextlib.redirect_stdout(io.StringIO()):
            command.main(args)
        yield Path(args.output)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"the text of stdin is no UTF-8: {error}.") from error
