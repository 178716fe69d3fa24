"""Convert Coqui's XTTS-v2 checkpoint folder, or a fine-tune of it, to a preset, once.

    python tools/convert_xtts.py --source XTTS-v2/ --output presets/xtts_v2
    python tools/convert_xtts.py --source run/training/GPT_XTTS/ --output presets/anna

The same as ``myxtts convert``, which says more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.flags import run
from myxtts.programs import convert


def parser() -> argparse.ArgumentParser:
    """Flags of ``myxtts convert``."""
    return convert.parser("convert_xtts.py")


if __name__ == "__main__":
    sys.exit(run(convert.main, parser()))
