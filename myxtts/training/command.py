"""The command line of ``train_main.py``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml

from myxtts.config import XTTSConfig, to_dict
from myxtts.errors import ConfigError
from myxtts.flags import add_config_flags, config_from_flags
from myxtts.presets import PRESETS

DEFAULT_PRESET = "small"
ENCODER_FIELDS = (
    "speaker_encoder_type",
    "freeze_speaker_encoder",
    "pretrained_speaker_encoder_path",
)
_EPILOG = "A flag beats the YAML file of --config, and the YAML file beats --preset."


def parser() -> argparse.ArgumentParser:
    """Flags of training: preset, YAML, and one for every configuration field."""
    parser = argparse.ArgumentParser(
        prog="train_main.py",
        description="Train an XTTS on a corpus: audio codes (dvae), then gpt, then decoder.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--preset", choices=PRESETS, help=f"sizes to start from (default: {DEFAULT_PRESET})"
    )
    parser.add_argument("--config", metavar="YAML", help="configuration laid over the preset")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved configuration and stop"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON line")
    add_config_flags(parser, ("model", "data", "training"))
    return parser


def resolve(args: argparse.Namespace) -> XTTSConfig:
    """Preset, then YAML, then flags; a run that is resumed brings its own configuration."""
    if args.preset is None and args.config is None:
        named = config_from_flags(args, XTTSConfig.preset(DEFAULT_PRESET)).training
        stored = Path(named.output_dir) / "config.yaml"
        if named.resume and stored.is_file():
            return config_from_flags(args, XTTSConfig.from_yaml(stored))
    config = XTTSConfig.preset(args.preset or DEFAULT_PRESET)
    if args.config:
        config = XTTSConfig.from_yaml(args.config, base=config)
    return config_from_flags(args, config)


def check_encoder_flags(args: argparse.Namespace, config: XTTSConfig) -> None:
    """Raise ``ConfigError`` for a flag of a pretrained encoder where none is used."""
    if config.model.use_pretrained_speaker_encoder:
        return
    for name in ENCODER_FIELDS:
        if hasattr(args, f"config:model.{name}"):
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} is for --use-pretrained-speaker-encoder; give that too.")


def main(args: argparse.Namespace) -> None:
    """Train, and print where the trained preset lies."""
    config = resolve(args)
    check_encoder_flags(args, config)
    if args.dry_run:
        yaml.safe_dump(to_dict(config), sys.stdout, sort_keys=False)
        return
    # Imported late: --help and --dry-run need no TensorFlow.
    from myxtts.training.run import train

    result = train(config)
    if args.json:
        print(json.dumps(result.to_dict()))
    else:
        print(result.preset)
