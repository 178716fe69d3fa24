"""Train a Kokoro voice on clips of a speaker, or one for each of several.

    python tools/training_styletts2.py --data DIR --name my_voice

``DIR/train/metadata.jsonl`` has a line for each clip with ``file_name``, ``text`` and maybe
``speaker``; ``DIR/validation/`` may hold clips that judge. The clips are heard and averaged, the
map from what is heard to Kokoro's voice space is trained further through Kokoro, and
``OUT/NAME/NAME.pt`` is the voice. Only make voices of people who agreed, and tell listeners that
the speech is synthetic.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.flags import add_config_flags, config_from_flags, make_parser, refuse_idle, run
from myxtts.settings import to_dict
from tools.styletts2_kokoro.config import TrainingConfig


def parser() -> argparse.ArgumentParser:
    parser = make_parser("training_styletts2.py", __doc__, json=True)
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="clips: train/ and maybe validation/"
    )
    parser.add_argument("--name", default="my_voice", help="of the voice (default: %(default)s)")
    parser.add_argument(
        "--out", default="output", metavar="DIR", help="of all voices (default: %(default)s)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the folder's earlier run")
    parser.add_argument(
        "--dry-run", action="store_true", help="check the input, print the settings, train nothing"
    )
    add_config_flags(parser, TrainingConfig, title="settings of the training", defaults=True)
    return parser


def main(args: argparse.Namespace) -> None:
    """Check, train, and print the result."""
    from tools.styletts2_kokoro.voice_training import VoiceTrainer, check_inputs

    config = config_from_flags(args, TrainingConfig())
    if config.encoder == "speaker":
        refuse_idle(args, {"style_weights": "is for StyleTTS2's encoders, not --encoder speaker."})
    if not config.wandb:
        refuse_idle(args, {"wandb_project": "is for --wandb; give that too."})
    check_inputs(args.data, args.out, args.name, config)
    if args.dry_run:
        settings = to_dict(config)
        print(json.dumps(settings) if args.json else yaml.safe_dump(settings, sort_keys=False))
        return
    result = VoiceTrainer.open(config).train(args.data, args.out, args.name, args.resume)
    print(json.dumps(result) if args.json else report(result))


def report(result: dict) -> str:
    """What a person wants to know."""
    lines = [f"voice           {path}" for path in result["voices"]]
    names = ("best_epoch", "epochs", "likeness_start", "likeness_best", "artifacts", "report")
    names += ("heard_by", "trained_by", "judged_by", "device", "seconds")
    lines += [f"{name.replace('_', ' '):15} {result[name]}" for name in names]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
