"""Quantise a preset for `--engine int8`: the GPT's matrices as int8 with a scale a channel.

    python tools/quantize.py --preset presets/xtts_v2 --output presets/xtts_v2_int8

The same as ``myxtts quantize``, which says more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.flags import run
from myxtts.programs import quantize


def parser() -> argparse.ArgumentParser:
    """Flags of ``myxtts quantize``."""
    return quantize.parser("quantize.py")


if __name__ == "__main__":
    sys.exit(run(quantize.main, parser()))
