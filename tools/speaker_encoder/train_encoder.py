"""Train a speaker encoder, or fine-tune one.

    python tools/speaker_encoder/train_encoder.py --config train_config.json
    python tools/speaker_encoder/train_encoder.py --train-data DIR --val-data DIR

The file is the original program's JSON, or a YAML file of the sections model, data and training,
whose fields are the flags. A flag beats the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.errors import ConfigError
from myxtts.flags import (
    add_config_flags,
    config_from_flags,
    given_flags,
    make_parser,
    print_settings,
    refuse_idle,
    run,
)
from myxtts.limits import require_address_space
from myxtts.speaker_config import SpeakerConfig
from myxtts.training.command import ENCODER_SECTIONS
from tools.speaker_encoder.device import use

# Settings by what is mixed in.
OF_NOISES = {
    "noise": ("noise_snr",),
    "music": ("music_snr",),
    "babble": ("babble_snr", "babble_voices"),
}
# Settings that only one of the losses reads.
OF_LOSSES = {"aam_": "aam_softmax", "ge2e_": "ge2e"}


def parser() -> argparse.ArgumentParser:
    parser = make_parser("train_encoder.py", __doc__, json=True)
    parser.add_argument(
        "--config",
        "--config_path",
        metavar="FILE",
        help="train_config.json of the original program, or YAML",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved configuration and stop"
    )
    add_config_flags(parser, SpeakerConfig, defaults=True)
    return parser


def resolve(args: argparse.Namespace) -> tuple[SpeakerConfig, str]:
    """The configuration, and the device that a JSON asks for.

    Raises:
        ConfigError: a key, value or flag is wrong.
    """
    config, device = SpeakerConfig(), "best"
    if args.config is None:
        named = given_flags(args).get("training", {})
        stored = Path(named.get("output_dir", config.training.output_dir)) / "config.yaml"
        if named.get("resume") and stored.is_file():
            config = SpeakerConfig.from_yaml(stored)
    elif args.config.lower().endswith(".json"):
        from tools.speaker_encoder.train_config import read_train_config

        config, device = read_train_config(args.config)
    else:
        config = SpeakerConfig.from_yaml(args.config)
    config = config_from_flags(args, config)
    refuse_other_losses(args, config)
    refuse_unread_settings(args, config)
    return config, device


def refuse_other_losses(args: argparse.Namespace, config: SpeakerConfig) -> None:
    """Raise ConfigError for a flag of a loss that is not the configuration's."""
    for name in given_flags(args).get("training", {}):
        for start, loss in OF_LOSSES.items():
            if name.startswith(start) and config.training.loss != loss:
                flag = "--" + name.replace("_", "-")
                raise ConfigError(
                    f"{flag} is for --loss {loss}; the loss here is {config.training.loss}."
                )


def refuse_unread_settings(args: argparse.Namespace, config: SpeakerConfig) -> None:
    """Raise ConfigError for a flag of another encoder, or of noises that there are none of."""
    own, mixed = config.model.speaker_encoder_type, config.data.augmentation
    idle = {
        section: f"is for --speaker-encoder-type {kind}; it is {own} here."
        for kind, section in ENCODER_SECTIONS.items()
        if kind != own
    }
    for kind, names in OF_NOISES.items():
        if not getattr(mixed, f"{kind}_paths"):
            told = f"is for --augmentation-{kind}-paths; give those too."
            idle |= dict.fromkeys((f"data.augmentation.{name}" for name in names), told)
    refuse_idle(args, idle)


def main(args: argparse.Namespace) -> None:
    """Train, and print where the preset lies and what its trial EER is."""
    config, device = resolve(args)
    if args.dry_run:
        print_settings(config, args.json)
        return
    require_address_space()
    use(device)
    # Imported late: --help and --dry-run need no TensorFlow.
    from myxtts.training.run import train
    from myxtts.training.stages.speaker_system import SPEAKER_SYSTEM

    result = train(config, SPEAKER_SYSTEM)
    if args.json:
        print(json.dumps(result.to_dict()))
        return
    print(f"preset       {result.preset}")
    best = result.best["speaker"]
    print(f"trial EER    {'not measured' if best is None else f'{best:.3f} %'}")


if __name__ == "__main__":
    sys.exit(run(main, parser()))
