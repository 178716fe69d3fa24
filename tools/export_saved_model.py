"""Export a model as a SavedModel that TensorFlow Serving loads as it is.

    python tools/export_saved_model.py --preset presets/my_xtts --output serving/my_xtts/1

The same as ``myxtts export``, which says more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.flags import run
from myxtts.programs import export


def parser() -> argparse.ArgumentParser:
    """Flags of ``myxtts export``."""
    return export.parser("export_saved_model.py")


if __name__ == "__main__":
    sys.exit(run(export.main, parser()))
