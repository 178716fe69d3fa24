"""Train a HiFi-GAN as a fast vocoder, on mels and recordings as vocoder_train.py reads them.

    python tools/sv2tts/hifigan_train.py RUN_ID DATASETS_ROOT
    python tools/sv2tts/hifigan_train.py RUN_ID DATASETS_ROOT --ground_truth

A run that is there already is gone on with, from its checkpoints, exactly as if it had not been
broken off. Ctrl-C saves. The preset it leaves is a vocoder for demo_cli.py and others (-v).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.flags import add_config_flags, config_from_flags, make_parser, run
from myxtts.vocoder_config import HIFIGAN_STAGE, HifiGanSettings
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


def parser() -> argparse.ArgumentParser:
    parser = make_parser("hifigan_train.py", __doc__, json=True)
    parser.add_argument("run_id", help="name of the run, a folder in --models_dir")
    add_vocoder_data(parser)
    add_run_options(parser, None)
    usual = HifiGanSettings().merged({"training": {"output_dir": RUN_DIR}})
    add_config_flags(parser, HifiGanSettings, ("model", "training"), defaults=usual)
    return parser


def resolve(args: argparse.Namespace) -> HifiGanSettings:
    """The configuration: the run's own, then the original's options, then flags.

    Raises:
        ConfigError: a value is wrong.
    """
    stored = args.models_dir / args.run_id / "config.yaml"
    config = (
        HifiGanSettings.from_yaml(stored) if goes_on(args, HIFIGAN_STAGE) else HifiGanSettings()
    )
    values = {"data": vocoder_data(args), "training": run_values(args, HIFIGAN_STAGE, None)}
    return config_from_flags(args, config.merged(values, "command line"))


def main(args: argparse.Namespace) -> None:
    """Train, and print where the preset lies."""
    train_run(args, resolve(args), HIFIGAN_STAGE, _system)


def _system() -> System:
    # Imported late: --help and --dry-run need no TensorFlow.
    from myxtts.training.stages.hifigan_system import HIFIGAN_SYSTEM

    return HIFIGAN_SYSTEM


if __name__ == "__main__":
    sys.exit(run(main, parser()))
