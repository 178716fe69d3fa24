"""Speaker verification on a list of trials: EER, minDCF, threshold, scores and a picture.

    python tools/verify_speakers.py --trials trials.txt --encoder resemblyzer

The same as ``myxtts verify``, which says more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.flags import run
from myxtts.programs import verify


def parser() -> argparse.ArgumentParser:
    """Flags of ``myxtts verify``."""
    return verify.parser("verify_speakers.py")


if __name__ == "__main__":
    sys.exit(run(verify.main, parser()))
