"""The command line of ``train_main.py``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import yaml

from myxtts.config import XTTSConfig
from myxtts.errors import ConfigError
from myxtts.flags import add_config_flags, config_from_flags, given_flags, make_parser
from myxtts.recipes import FINE_TUNING, PRESETS
from myxtts.settings import read_yaml, to_dict

DEFAULT_PRESET = "small"
ENCODER_FIELDS = (
    "speaker_encoder_type",
    "freeze_speaker_encoder",
    "pretrained_speaker_encoder_path",
)
_EPILOG = (
    "A flag beats the YAML file of --config, and the YAML file beats --preset or, for "
    "fine-tuning, the model of --init-from with the recipe of Coqui's GPT trainer."
)


def parser() -> argparse.ArgumentParser:
    """Flags of training: preset, YAML, and one for every configuration field."""
    parser = make_parser(
        "train_main.py",
        "Train an XTTS on a corpus: audio codes (dvae), then gpt, then decoder.",
        epilog=_EPILOG,
        json=True,
    )
    parser.add_argument(
        "--preset", choices=PRESETS, help=f"sizes to start from (default: {DEFAULT_PRESET})"
    )
    parser.add_argument("--config", metavar="YAML", help="configuration laid over the preset")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved configuration and stop"
    )
    parser.add_argument(
        "--estimate-memory",
        action="store_true",
        help="print what the gpt stage will take of memory and stop",
    )
    add_config_flags(parser, XTTSConfig, ("model", "data", "training"))
    return parser


def resolve(args: argparse.Namespace) -> XTTSConfig:
    """Preset, then YAML, then flags; a run that is resumed brings its own configuration.

    Raises:
        CheckpointError: ``--init-from`` is no preset folder.
        ConfigError: a value breaks a rule, or two options exclude each other.
    """
    if args.preset is None and args.config is None:
        named = config_from_flags(args, XTTSConfig.preset(DEFAULT_PRESET)).training
        stored = Path(named.output_dir) / "config.yaml"
        if named.resume and stored.is_file():
            return config_from_flags(args, XTTSConfig.from_yaml(stored))
    written = read_yaml(args.config) if args.config else {}
    config = _base(args, written).merged(written, source=args.config or "")
    return config_from_flags(args, config)


def _base(args: argparse.Namespace, written: dict) -> XTTSConfig:
    """What the ``written`` values of a YAML file and the flags are laid over."""
    source = given_flags(args).get("training", {}).get("init_from")
    training = written.get("training")
    # Anything but a mapping is refused when the file is merged.
    if not source and isinstance(training, dict):
        source = training.get("init_from")
    if not source:
        return XTTSConfig.preset(args.preset or DEFAULT_PRESET)
    if args.preset:
        raise ConfigError("--preset and --init-from exclude each other: give one of them.")
    from myxtts.presets.folder import read_config

    stored = read_config(Path(source))
    recipe = XTTSConfig().merged(FINE_TUNING)
    return dataclasses.replace(recipe, model=stored.model, synthesis=stored.synthesis)


def check_encoder_flags(args: argparse.Namespace, config: XTTSConfig) -> None:
    """Raise ``ConfigError`` for a flag of a pretrained encoder where none is used."""
    if config.model.use_pretrained_speaker_encoder:
        return
    given = given_flags(args).get("model", {})
    for name in ENCODER_FIELDS:
        if name in given:
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
    if args.estimate_memory:
        from myxtts.training.memory import estimate_memory

        estimate = estimate_memory(config)
        print(json.dumps(estimate.to_dict()) if args.json else estimate)
        return
    from myxtts.training.run import train

    result = train(config)
    print(json.dumps(result.to_dict()) if args.json else result.preset)
