"""Where a preset lies that a command line names."""

from __future__ import annotations

from pathlib import Path

from myxtts.errors import CheckpointError
from myxtts.presets.record import MANIFEST


def find_preset(name: str | Path) -> Path:
    """Folder of the preset called ``name``.

    Args:
        name: a preset folder, a run folder of ``train_main.py``, or the name of such a folder
            in ``presets/`` or ``runs/``.

    Raises:
        CheckpointError: no preset lies where it was looked for.
    """
    places = [Path(name), *(Path(room) / name for room in ("presets", "runs"))]
    for place in places:
        for folder in (place / "preset", place):
            if (folder / MANIFEST).is_file():
                return folder
    raise CheckpointError(
        f"no trained model in {name} (no {MANIFEST}, no preset/), nor under that name in presets/ "
        "or runs/; train one with train_main.py, or name one with --preset."
    )
