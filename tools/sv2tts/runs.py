"""What the programs that train do with the folder of a run."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from myxtts.errors import ConfigError
from myxtts.settings import AnySettings, to_dict

if TYPE_CHECKING:
    from myxtts.training.stage import System

logger = logging.getLogger(__name__)


def has_checkpoints(run_dir: Path, stage: str) -> bool:
    """Whether a run of a stage can be gone on with."""
    return any((run_dir / "checkpoints" / stage).glob("step-*"))


def move_aside(run_dir: Path) -> None:
    """Rename a run that is there to the first name that is free.

    Raises:
        ConfigError: it cannot be moved.
    """
    if not run_dir.exists():
        return
    number = 1
    while (free := run_dir.with_name(f"{run_dir.name}.replaced-{number}")).exists():
        number += 1
    try:
        run_dir.rename(free)
    except OSError as error:
        raise ConfigError(f"{run_dir} cannot be moved aside: {error.strerror}.") from error
    logger.warning("the run that was in %s is in %s now.", run_dir, free)


def train_run(
    args: argparse.Namespace, config: AnySettings, stage: str, system: Callable[[], System]
) -> None:
    """Train, and print where the preset lies; with ``--dry-run`` print the configuration.

    Args:
        args: of the program.
        config: of the run.
        stage: its one stage.
        system: gives the system to train; called late, for it needs TensorFlow.

    Raises:
        MyXTTSError: the folder is a run of another stage, or as training says.
    """
    if args.dry_run:
        yaml.safe_dump(to_dict(config), sys.stdout, sort_keys=False)
        return
    from myxtts.training.start import refuse_other_runs

    run_dir = Path(config.training.output_dir)
    refuse_other_runs(run_dir, stage)
    if args.force_restart:
        move_aside(run_dir)
    from myxtts.training.run import train

    result = train(config, system())
    print(json.dumps(result.to_dict()) if args.json else result.preset)
