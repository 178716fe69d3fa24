"""The command line of ``train_main.py``."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from myxtts.config import XTTSConfig
from myxtts.errors import ConfigError
from myxtts.flags import (
    add_config_flags,
    config_from_flags,
    given_flags,
    make_parser,
    print_settings,
    refuse_idle,
)
from myxtts.limits import require_address_space
from myxtts.recipes import FINE_TUNING, PRESETS
from myxtts.settings import read_yaml

DEFAULT_PRESET = "small"
ENCODER_RATE = "training.speaker_encoder_learning_rate"
# What only pretrained audio encoders read, and what only the original one does.
OF_PRETRAINED = (
    "model.speaker_encoder_type",
    "model.freeze_speaker_encoder",
    "model.pretrained_speaker_encoder_path",
    ENCODER_RATE,
)
OF_ORIGINAL = ("model.conditioning.num_blocks", "model.speaker.blocks", "model.speaker.channels")
# What only one of the decoders reads.
OF_DECODERS = {
    "istft": ("model.decoder.istft.",),
    "hifigan": tuple(
        f"model.decoder.{name}"
        for name in (
            "initial_channels",
            "upsample_rates",
            "upsample_kernels",
            "resblock_kernels",
            "resblock_dilations",
        )
    ),
}
ENCODER_SECTIONS = {
    "ecapa_tdnn": "model.ecapa.",
    "coqui": "model.coqui_encoder.",
    "wavlm": "model.wavlm.",
}
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
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--dry-run", action="store_true", help="print the resolved configuration and stop"
    )
    only.add_argument(
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
        # The flags alone: together with the stored values, not with the default's, are they right.
        given, default = given_flags(args).get("training", {}), XTTSConfig().training
        stored = Path(given.get("output_dir", default.output_dir)) / "config.yaml"
        if given.get("resume", default.resume) and stored.is_file():
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
    from myxtts.presets.folder import read_config, refuse_training
    from myxtts.presets.record import XTTS_KIND

    refuse_training(source, XTTS_KIND)
    stored = read_config(source, XTTS_KIND, XTTSConfig)
    recipe = XTTSConfig().merged(FINE_TUNING)
    return dataclasses.replace(recipe, model=stored.model, synthesis=stored.synthesis)


def check_encoder_flags(args: argparse.Namespace, config: XTTSConfig) -> None:
    """Raise ``ConfigError`` for a flag of another audio encoder than the configuration's."""
    model = config.model
    own = model.speaker_encoder_type if model.use_pretrained_speaker_encoder else "original"
    idle = {
        section: f"is for --speaker-encoder-type {kind}; the audio encoder here is {own}."
        for kind, section in ENCODER_SECTIONS.items()
        if kind != own
    }
    if own == "original":
        told = "is for --use-pretrained-speaker-encoder; give that too."
        idle |= dict.fromkeys(OF_PRETRAINED, told)
    else:
        told = f"is for the original audio encoder; {own} has no such part."
        idle |= dict.fromkeys(OF_ORIGINAL, told)
    if model.freeze_speaker_encoder:
        idle.setdefault(ENCODER_RATE, "is for --no-freeze-speaker-encoder; give that too.")
    refuse_idle(args, idle)


def check_decoder_flags(args: argparse.Namespace, config: XTTSConfig) -> None:
    """Raise ``ConfigError`` for a flag of another decoder than the configuration's."""
    own = config.model.decoder.kind
    idle: dict[str, str] = {}
    for kind, names in OF_DECODERS.items():
        if kind != own:
            idle |= dict.fromkeys(
                names, f"is for --decoder-kind {kind}; the decoder here is {own}."
            )
    refuse_idle(args, idle)


def main(args: argparse.Namespace) -> None:
    """Train, and print where the trained preset lies."""
    config = resolve(args)
    check_encoder_flags(args, config)
    check_decoder_flags(args, config)
    if args.dry_run:
        print_settings(config, args.json)
        return
    require_address_space()
    # Imported late: --help and --dry-run need no TensorFlow.
    if args.estimate_memory:
        from myxtts.training.memory import estimate_memory
        from myxtts.training.stages.xtts import complete

        estimate = estimate_memory(complete(config))
        print(json.dumps(estimate.to_dict()) if args.json else estimate)
        return
    from myxtts.training.run import train

    result = train(config)
    print(json.dumps(result.to_dict()) if args.json else result.preset)
