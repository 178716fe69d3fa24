"""Train an XTTS: ``python train_main.py --train-data DIR --val-data DIR``."""

import sys

from myxtts.flags import run
from myxtts.training.command import main, parser

if __name__ == "__main__":
    sys.exit(run(main, parser()))
