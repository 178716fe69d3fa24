"""Settings of speaker encoders: each is read, and survives YAML and the command line."""

import argparse
from pathlib import Path

from myxtts.flags import add_config_flags, config_from_flags
from myxtts.speaker_config import SpeakerConfig

PACKAGE = Path(__file__).resolve().parents[1] / "myxtts"
KINDS = ("noise", "music", "babble", "reverb")


def test_settings_survive_yaml(tmp_path):
    config = SpeakerConfig().merged({"data": {"crop_seconds": [1, 2.5]}})
    config.to_yaml(tmp_path / "config.yaml")
    assert SpeakerConfig.from_yaml(tmp_path / "config.yaml") == config


def test_ranges_and_folders_have_flags():
    parser = argparse.ArgumentParser()
    add_config_flags(parser, SpeakerConfig, defaults=True)
    words = ["--augmentation-noise-paths", "a", "b", "--augmentation-gain=-6,6", "--seed", "3"]
    config = config_from_flags(parser.parse_args(words), SpeakerConfig())
    assert config.data.augmentation.noise_paths == ("a", "b")
    assert config.data.augmentation.gain == (-6.0, 6.0)
    assert config.training.seed == 3
    assert "(default: (2.0, 3.0))" in " ".join(parser.format_help().split())
