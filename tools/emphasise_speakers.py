"""Let a model's decoder tell speakers further apart than it has learned to.

    python tools/emphasise_speakers.py --preset runs/voice/run/preset --corpus DIR \\
        --factor 1.4 --output runs/voice/emphasised

A short training leaves every voice a little of the mean one. The mean is taken over speakers of
the corpus, and what the decoder hears of a speaker is moved away from it by the factor: in its
weights, at no cost when it speaks. benchmarks/voice.py tells what a factor gains and loses.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.data.formats import find_utterances
from myxtts.errors import ConfigError
from myxtts.files import check_writable
from myxtts.flags import make_parser, run
from myxtts.models.xtts import XTTS
from myxtts.presets.finding import add_preset_flag, find_preset
from myxtts.presets.record import MANIFEST
from tools.voice_box.emphasis import emphasise, mean_speaker

# Ten times as far from the mean, nothing is a voice any more.
MOST = 10.0


def main(args: argparse.Namespace) -> None:
    if not 0 < args.factor < MOST or args.speakers < 1:
        raise ConfigError(f"--factor must be in (0, {MOST:g}) and --speakers at least 1.")
    check_writable(Path(args.output) / MANIFEST)
    utterances = find_utterances(args.corpus)
    model = XTTS.from_preset(find_preset(args.preset))
    emphasise(model, mean_speaker(model, utterances, args.speakers), args.factor)
    model.save_to_preset(args.output)
    result = {"output": str(args.output), "factor": args.factor}
    print(json.dumps(result) if args.json else args.output)


def parser() -> argparse.ArgumentParser:
    parser = make_parser("emphasise_speakers.py", __doc__, json=True)
    add_preset_flag(parser)
    parser.add_argument("--corpus", required=True, metavar="DIR", help="its speakers have the mean")
    parser.add_argument("--factor", type=float, default=1.4, help="1 is as before (default: 1.4)")
    parser.add_argument("--speakers", type=int, default=60, help="to hear (default: 60)")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the new preset")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
