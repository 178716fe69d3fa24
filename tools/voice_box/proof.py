"""Proof that a packed model speaks by itself: a fresh process without torch and without network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from myxtts.errors import CheckpointError

ROOT = Path(__file__).resolve().parents[2]
TEXT = "The box is open, and the voice is out."
# Whatever asks for torch or for the network from here on fails.
_ALONE = """
import socket, sys
class NoTorch:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("there is no torch here", name=name)
def refuse(*given):
    raise OSError("there is no network here")
sys.meta_path.insert(0, NoTorch)
socket.socket.connect = refuse
from tools.voice_box.proof import spoken
print("\\n" + spoken(*sys.argv[1:]))
"""


def spoken(preset: str, reference: str) -> str:
    """Speak in each of a preset's voices and in that of a recording.

    Returns:
        JSON: seconds of speech and whether it ended by itself, by the voice's name.
    """
    import myxtts
    from myxtts.presets.voices import preset_voices

    synthesizer = myxtts.Synthesizer(myxtts.XTTS.from_preset(preset))
    voices = {voice.name: synthesizer.voice(voice.name) for voice in preset_voices(preset)}
    voices["reference"] = synthesizer.condition([reference])
    results = {name: synthesizer.speak(TEXT, voice) for name, voice in voices.items()}
    return json.dumps(
        {n: {"seconds": r.duration, "finished": all(r.finished)} for n, r in results.items()}
    )


def prove(preset: Path, reference: Path) -> dict[str, Any]:
    """What :func:`spoken` gives in a process of its own.

    Raises:
        CheckpointError: the model does not speak there.
    """
    command = [sys.executable, "-c", _ALONE, str(preset.resolve()), str(reference.resolve())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise CheckpointError(f"the packed model does not speak by itself: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def megabytes(folder: Path) -> float:
    """Size of all files of a folder, in 10^6 bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def require_size(folder: Path, limit: float) -> None:
    """Refuse a model that is larger than ``limit`` megabytes.

    Raises:
        CheckpointError: it is; the sentence names its largest files.
    """
    size = megabytes(folder)
    if size <= limit:
        return
    files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: -p.stat().st_size)
    largest = ", ".join(f"{p.name} {p.stat().st_size / 1e6:.1f}" for p in files[:2])
    raise CheckpointError(f"the model has {size:.1f} MB, more than {limit:g} (largest: {largest}).")
