"""Speak: ``python inference_main.py --text "Hello" --reference-audio ref.wav --output out.wav``."""

import sys

from myxtts.flags import run
from myxtts.inference.command import main, parser

if __name__ == "__main__":
    sys.exit(run(main, parser()))
