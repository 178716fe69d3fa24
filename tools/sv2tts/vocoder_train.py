"""Train a vocoder (WaveRNN) on mels and recordings in the layout of Real-Time-Voice-Cloning.

    python tools/sv2tts/vocoder_train.py RUN_ID DATASETS_ROOT
    python tools/sv2tts/vocoder_train.py RUN_ID DATASETS_ROOT --ground_truth

A run that is there already is gone on with, from its checkpoints, or else from its vocoder.pt with
that file's optimizer. Ctrl-C saves. The other flags are fields of the configuration, and beat the
options of the original where both say the same.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.flags import add_config_flags, config_from_flags, given_flags, make_parser, run
from myxtts.vocoder_config import VocoderConfig
from tools.sv2tts.runs import add_run_options, goes_on, run_values, train_run

if TYPE_CHECKING:
    from myxtts.training.stage import System

logger = logging.getLogger(__name__)

# Of the original: passes over the data at most.
EPOCHS = 349

EXPORT = "vocoder.pt"


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
    add_run_options(parser, EXPORT)
    parser.add_argument(
        "-g",
        "--ground_truth",
        action="store_true",
        help="learn from the recordings' own mels (train.txt, mels), not a synthesizer's",
    )
    add_config_flags(parser, VocoderConfig, ("model", "training"), defaults=True)
    return parser


def resolve(args: argparse.Namespace) -> VocoderConfig:
    """The configuration: the run's own, then the original's options, then flags.

    Raises:
        ConfigError: a value is wrong.
    """
    stored, resume = args.models_dir / args.run_id / "config.yaml", goes_on(args, "vocoder")
    config = VocoderConfig.from_yaml(stored) if resume else VocoderConfig()
    root = args.datasets_root / "SV2TTS"
    if args.ground_truth and args.voc_dir:
        logger.warning("--voc_dir is not read: --ground_truth takes the recordings' own mels.")
    training = run_values(args, "vocoder", EXPORT)
    flags = given_flags(args).get("training", {})
    if "steps" in flags.get("vocoder", {}):
        training["epochs"] = 0
    if "steps" not in flags.get("vocoder", {}) and not resume:
        training["epochs"] = EPOCHS
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
