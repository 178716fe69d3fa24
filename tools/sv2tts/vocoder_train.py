"""Train a vocoder (WaveRNN) on mels and recordings in the layout of Real-Time-Voice-Cloning.

    python tools/sv2tts/vocoder_train.py RUN_ID DATASETS_ROOT
    python tools/sv2tts/vocoder_train.py RUN_ID DATASETS_ROOT --ground_truth

A run that is there already is gone on with, from its checkpoints, or else from its vocoder.pt with
that file's optimizer. Ctrl-C saves. The other flags are fields of the configuration, and beat the
options of the original where both say the same.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.flags import add_config_flags, config_from_flags, given_flags, make_parser, run
from myxtts.vocoder_config import VocoderConfig
from tools.sv2tts.runs import has_checkpoints, train_run

if TYPE_CHECKING:
    from myxtts.training.stage import System

# Of the original: passes over the data at most.
EPOCHS = 349


def parser() -> argparse.ArgumentParser:
    parser = make_parser("vocoder_train.py", __doc__, json=True)
    parser.add_argument("run_id", help="name of the run, a folder in --models_dir")
    parser.add_argument(
        "datasets_root",
        type=Path,
        help="folder with SV2TTS/synthesizer and SV2TTS/vocoder; --syn_dir and --voc_dir win",
    )
    parser.add_argument(
        "--syn_dir", type=Path, help="folder of audio, mels and train.txt of the synthesizer"
    )
    parser.add_argument(
        "--voc_dir", type=Path, help="folder of mels_gta and synthesized.txt of the vocoder"
    )
    parser.add_argument(
        "-m",
        "--models_dir",
        type=Path,
        default=Path("saved_models"),
        help="folder of the runs (default: saved_models)",
    )
    parser.add_argument(
        "-g",
        "--ground_truth",
        action="store_true",
        help="learn from the recordings' own mels (train.txt, mels), not a synthesizer's",
    )
    parser.add_argument(
        "-s",
        "--save_every",
        type=int,
        default=1000,
        help="steps between validations, with checkpoint and vocoder.pt (default: 1000)",
    )
    parser.add_argument(
        "-b",
        "--backup_every",
        dest="backups",
        type=int,
        default=25_000,
        help="steps between copies of vocoder.pt that stay; 0: none (default: 25000)",
    )
    parser.add_argument(
        "-f",
        "--force_restart",
        action="store_true",
        help="begin anew; what the run has is moved aside",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved configuration and stop"
    )
    add_config_flags(parser, VocoderConfig, ("model", "training"), defaults=True)
    return parser


def resolve(args: argparse.Namespace) -> VocoderConfig:
    """The configuration: the run's own, then the original's options, then flags.

    Raises:
        ConfigError: a value is wrong.
    """
    run_dir = args.models_dir / args.run_id
    stored = run_dir / "config.yaml"
    goes_on = has_checkpoints(run_dir, "vocoder") and not args.force_restart
    config = VocoderConfig.from_yaml(stored) if goes_on else VocoderConfig()
    root = args.datasets_root / "SV2TTS"
    training = {
        "output_dir": str(run_dir),
        "validate_every": args.save_every,
        "checkpoint_every": args.save_every,
        "backup_every": args.backups,
        "resume": goes_on,
    }
    flags = given_flags(args).get("training", {})
    if "steps" in flags.get("vocoder", {}):
        training["epochs"] = 0
    if "steps" not in flags.get("vocoder", {}) and not goes_on:
        training["epochs"] = EPOCHS
    if not goes_on and not args.force_restart and (run_dir / "vocoder.pt").is_file():
        training["init_from"] = str(run_dir / "vocoder.pt")
    data = {
        "train_data": str(args.syn_dir or root / "synthesizer"),
        "vocoder_dir": str(args.voc_dir or root / "vocoder"),
        "ground_truth": args.ground_truth,
    }
    config = config.merged({"data": data, "training": training}, "command line")
    return config_from_flags(args, config)


def main(args: argparse.Namespace) -> None:
    """Train, and print where the preset lies."""
    train_run(args, resolve(args), "vocoder", _system)


def _system() -> System:
    # Imported late: --help and --dry-run need no TensorFlow.
    from myxtts.training.stages.vocoder_system import VOCODER_SYSTEM

    return VOCODER_SYSTEM


if __name__ == "__main__":
    sys.exit(run(main, parser()))
