"""``python -m myxtts.serving.client --model NAME --text TEXT --reference-audio FILE``."""

import sys

from myxtts.flags import run
from myxtts.serving.client.command import main, parser

sys.exit(run(main, parser()))
