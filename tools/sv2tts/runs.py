"""What the programs that train do with the folder of a run."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myxtts.errors import ConfigError, MyXTTSError
from myxtts.flags import print_settings
from myxtts.limits import require_address_space
from myxtts.settings import AnySettings
from myxtts.training.folders import has_checkpoints

if TYPE_CHECKING:
    from myxtts.training.stage import System

logger = logging.getLogger(__name__)

# What --help says of a run's folder.
RUN_DIR = "MODELS_DIR/RUN_ID"


def add_run_options(parser: argparse.ArgumentParser, export: str | None) -> None:
    """Add the original's options of a run.

    Args:
        parser: of the program.
        export: file in the original's format that it leaves; None where there is none.
    """
    add = parser.add_argument
    runs = "folder of the runs (default: %(default)s)"
    add("-m", "--models_dir", type=Path, default=Path("saved_models"), help=runs)
    left = f"checkpoint and {export}" if export else "checkpoint"
    saved = f"steps between validations, with {left} (default: %(default)s)"
    add("-s", "--save_every", type=int, default=1000, help=saved)
    if export:
        kept = f"steps between copies of {export} that stay; 0: none (default: %(default)s)"
        add("-b", "--backup_every", type=int, default=25_000, help=kept)
    anew = "begin anew; what the run has is moved aside"
    add("-f", "--force_restart", action="store_true", help=anew)
    dry = "print the resolved configuration and stop"
    add("--dry-run", action="store_true", help=dry)


def add_vocoder_data(parser: argparse.ArgumentParser) -> None:
    """Add the original's options of what a vocoder learns from."""
    add = parser.add_argument
    root = "folder with SV2TTS/synthesizer and SV2TTS/vocoder; --syn_dir and --voc_dir win"
    add("datasets_root", type=Path, help=root)
    add("--syn_dir", type=Path, help="folder of audio, mels and train.txt of the synthesizer")
    add("--voc_dir", type=Path, help="folder of mels_gta and synthesized.txt of the vocoder")
    truth = "learn from the recordings' own mels (train.txt, mels), not a synthesizer's"
    add("-g", "--ground_truth", action="store_true", help=truth)


def vocoder_data(args: argparse.Namespace) -> dict[str, Any]:
    """What these say of the ``data`` section."""
    root = args.datasets_root / "SV2TTS"
    if args.ground_truth and args.voc_dir:
        logger.warning("--voc_dir is not read: --ground_truth takes the recordings' own mels.")
    return {
        "train_data": str(args.syn_dir or root / "synthesizer"),
        "vocoder_dir": str(args.voc_dir or root / "vocoder"),
        "ground_truth": args.ground_truth,
    }


def goes_on(args: argparse.Namespace, stage: str) -> bool:
    """Whether the run is gone on with from its checkpoints."""
    return has_checkpoints(args.models_dir / args.run_id, stage) and not args.force_restart


def run_values(args: argparse.Namespace, stage: str, export: str | None) -> dict[str, Any]:
    """What the original's options say of the ``training`` section.

    A run without checkpoints starts from the ``export`` that lies in its folder, if there can be
    one.
    """
    require_least(args, "save_every", 1)
    run_dir, resume = args.models_dir / args.run_id, goes_on(args, stage)
    values = {
        "output_dir": str(run_dir),
        "validate_every": args.save_every,
        "checkpoint_every": args.save_every,
        "resume": resume,
    }
    if export is None:
        return values
    require_least(args, "backup_every", 0)
    values["backup_every"] = args.backup_every
    if not resume and not args.force_restart and has_export(run_dir / export):
        values["init_from"] = str(run_dir / export)
    return values


def has_export(path: Path) -> bool:
    """Whether a run has a file of RTVC to begin with.

    Raises:
        ConfigError: something else is in its place.
    """
    if os.path.lexists(path) and not path.is_file():
        raise ConfigError(
            f"{path} is no file; remove it, or give --force_restart, which moves the run aside."
        )
    return path.is_file()


def require_least(args: argparse.Namespace, name: str, least: int) -> None:
    """Refuse an option below its least value.

    Raises:
        ConfigError: it is.
    """
    if getattr(args, name) < least:
        raise ConfigError(f"--{name} must be at least {least}, not {getattr(args, name)}.")


@contextlib.contextmanager
def moved_aside(run_dir: Path, stage: str, wanted: bool) -> Iterator[None]:
    """Have a run out of the way of a new one, if that is ``wanted``.

    Where the new one is refused before its first checkpoint, the old one comes back.

    Raises:
        ConfigError: it cannot be moved.
    """
    free = _move_aside(run_dir) if wanted and run_dir.exists() else None
    try:
        yield
    except MyXTTSError:
        if free is not None and not has_checkpoints(run_dir, stage):
            shutil.rmtree(run_dir, ignore_errors=True)
            free.rename(run_dir)
            logger.warning("the run that was in %s is there again.", run_dir)
        raise


def _move_aside(run_dir: Path) -> Path:
    number = 1
    while (free := run_dir.with_name(f"{run_dir.name}.replaced-{number}")).exists():
        number += 1
    try:
        run_dir.rename(free)
    except OSError as error:
        raise ConfigError(f"{run_dir} cannot be moved aside: {error.strerror}.") from error
    logger.warning("the run that was in %s is in %s now.", run_dir, free)
    return free


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
        print_settings(config, args.json)
        return
    require_address_space()
    from myxtts.training.start import refuse_other_runs

    run_dir = Path(config.training.output_dir)
    refuse_other_runs(run_dir, stage)
    from myxtts.training.run import train

    with moved_aside(run_dir, stage, args.force_restart):
        result = train(config, system())
    print(json.dumps(result.to_dict()) if args.json else result.preset)
