"""Convert Coqui's XTTS-v2 checkpoint folder to a preset, once.

    python tools/convert_xtts.py --source XTTS-v2/ --output presets/xtts_v2

Needs torch for reading (``pip install torch``); speaking with the preset does not.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.flags import make_parser, run


def parser() -> argparse.ArgumentParser:
    parser = make_parser("convert_xtts.py", __doc__, json=True)
    parser.add_argument(
        "--source",
        required=True,
        metavar="DIR",
        help="folder with model.pth, config.json, vocab.json, dvae.pth and mel_stats.pth",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="preset folder to write")
    parser.add_argument(
        "--half", action="store_true", help="store weights in float16: half the size on disk"
    )
    return parser


def main(args: argparse.Namespace) -> None:
    """Convert, save, and say under which licence the weights are."""
    from myxtts.weights.coqui_xtts import LICENCE, convert_checkpoint
    from myxtts.weights.model_card import write_card

    model = convert_checkpoint(args.source)
    model.save_to_preset(args.output, half=args.half)
    write_card(args.output, model)
    count = sum(part.count_params() for part in model.parts().values())
    print(f"licence of the weights: {LICENCE}", file=sys.stderr)
    result = {"output": args.output, "parameters": count, "licence": LICENCE}
    print(json.dumps(result) if args.json else args.output)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
