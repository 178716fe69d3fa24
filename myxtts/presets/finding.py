"""Where a preset lies that a command line names, and the one that comes with the package."""

from __future__ import annotations

from pathlib import Path

import myxtts
from myxtts.errors import CheckpointError
from myxtts.files import mend_folder
from myxtts.presets.hub import HUB, fetched, is_address
from myxtts.presets.record import MANIFEST

SHIPPED = "base"
DEFAULT_RUN = "runs/xtts"  # of train_main.py
# Package data; a source tree without it speaks only with presets that are named.
DATA_FILES = Path(myxtts.__file__).resolve().parent / "data_files"


def has_shipped_preset() -> bool:
    """Whether this copy of MyXTTS comes with its model."""
    return (DATA_FILES / SHIPPED / MANIFEST).is_file()


def shipped_preset() -> Path:
    """Folder of the model that comes with MyXTTS, which is taken where no other is named.

    Raises:
        CheckpointError: this copy of MyXTTS comes without it.
    """
    folder = DATA_FILES / SHIPPED
    if has_shipped_preset():
        return folder
    raise CheckpointError(
        f"this copy of MyXTTS comes without its model (nothing in {folder}): name another one "
        "with --preset, or train it with `make voice` and put it there with tools/pack_voice.py."
    )


def find_preset(name: str | Path | None = None) -> Path:
    """Folder of the preset called ``name``.

    Args:
        name: a preset folder, a run folder of ``train_main.py``, or the name of such a folder
            in ``presets/`` or ``runs/``; an address that :func:`myxtts.presets.hub.fetched`
            knows, ``hf://owner/name`` say; None or ``base`` for the one that comes with MyXTTS, and
            None where that is missing for the run in ``DEFAULT_RUN``.

    Raises:
        CheckpointError: no preset lies where it was looked for.
    """
    if name is None:
        own = Path(DEFAULT_RUN) / "preset"
        # What was trained without naming a folder, as long as nothing comes with the package.
        return own if not has_shipped_preset() and (own / MANIFEST).is_file() else shipped_preset()
    if is_address(name):
        return fetched(str(name))
    places = [Path(name), *(Path(room) / name for room in ("presets", "runs"))]
    for place in places:
        for folder in (place / "preset", place):
            mend_folder(folder)
            if (folder / MANIFEST).is_file():
                return folder
    if str(name) == SHIPPED:
        return shipped_preset()
    raise CheckpointError(
        f"no trained model in {name} (no {MANIFEST}, no preset/), nor under that name in presets/ "
        "or runs/; train one with train_main.py, or name one with --preset."
    )


def add_preset_flag(parser, *others: str) -> None:
    """Add ``--preset``, for :func:`find_preset`.

    Args:
        parser: an ``argparse`` parser or a group of one.
        others: further names of the flag.
    """
    parser.add_argument(
        "--preset",
        *others,
        metavar="NAME",
        help="the model: a preset folder, a run folder of train_main.py, the name of a folder in "
        f"presets/ or runs/, {HUB}owner/name[@revision], or the address of an archive with its "
        f"#sha256=HASH (default: the model that comes with MyXTTS, else {DEFAULT_RUN})",
    )
