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
from tools.sv2tts.runs import (
    RUN_DIR,
    add_run_options,
    add_vocoder_data,
    goes_on,
    run_values,
    train_run,
    vocoder_data,
)

if TYPE_CHECKING:
    from myxtts.training.stage import System

# Of the original: passes over the data at most.
EPOCHS = 349

EXPORT = "vocoder.pt"


def parser() -> argparse.ArgumentParser:
    parser = make_parser("vocoder_train.py", __doc__, json=True)
    parser.add_argument("run_id", help="name of the run, a folder in --models_dir")
    add_vocoder_data(parser)
    add_run_options(parser, EXPORT)
    usual = VocoderConfig().merged({"training": {"epochs": EPOCHS, "output_dir": RUN_DIR}})
    add_config_flags(parser, VocoderConfig, ("model", "training"), defaults=usual)
    return parser


def resolve(args: argparse.Namespace) -> VocoderConfig:
    """The configuration: the run's own, then the original's options, then flags.

    Raises:
        ConfigError: a value is wrong.
    """
    stored, resume = args.models_dir / args.run_id / "config.yaml", goes_on(args, "vocoder")
    config = VocoderConfig.from_yaml(stored) if resume else VocoderConfig()
    training = run_values(args, "vocoder", EXPORT)
    flags = given_flags(args).get("training", {})
    if "steps" in flags.get("vocoder", {}):
        training["epochs"] = 0
    if "steps" not in flags.get("vocoder", {}) and not resume:
        training["epochs"] = EPOCHS
    config = config.merged({"data": vocoder_data(args), "training": training}, "command line")
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
