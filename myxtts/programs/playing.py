"""Whatever program of this machine plays a WAV file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from myxtts.errors import AudioError, ConfigError

# Programs that end when the file does, and what they are called with before its name.
PLAYERS = {
    "pw-play": (),
    "paplay": (),
    "aplay": ("-q",),
    "afplay": (),
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error"),
    "play": ("-q",),
}


def find_player() -> str | None:
    """Name of the first player that is installed, None without any."""
    return next((name for name in PLAYERS if shutil.which(name)), None)


def require_player() -> str:
    """Name of the player.

    Raises:
        ConfigError: there is none.
    """
    if (player := find_player()) is None:
        raise ConfigError(
            f"--play wants a player, and none is installed: {', '.join(PLAYERS)} would do "
            "(ffplay comes with FFmpeg, aplay with alsa-utils, play with SoX)."
        )
    return player


def play(path: str | Path, player: str) -> None:
    """Play an audio file to its end.

    Raises:
        AudioError: the player failed.
    """
    command = [player, *PLAYERS[player], str(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        told = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise AudioError(f"{player} could not play {path}: {told}.")
