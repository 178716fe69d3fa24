"""Settings of speaker encoders: each is read, and survives YAML and the command line."""

import argparse
import dataclasses
import re
from pathlib import Path

from myxtts.flags import add_config_flags, config_from_flags
from myxtts.speaker_config import SpeakerConfig

PACKAGE = Path(__file__).resolve().parents[1] / "myxtts"
KINDS = ("noise", "music", "babble", "reverb")


def leaves(config) -> set[str]:
    names = set()
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        names |= leaves(value) if dataclasses.is_dataclass(value) else {item.name}
    return names


def test_every_setting_is_read_somewhere():
    sources = [
        path for path in PACKAGE.rglob("*.py") if path.name not in ("config.py", "recipes.py")
    ]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    # The ratios and folders of augmentation are read by their kinds.
    own = leaves(SpeakerConfig()) - {
        f"{kind}_{part}" for kind in KINDS for part in ("snr", "paths")
    }
    assert {name for name in own if not re.search(rf"\.{name}\b", code)} == set()


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
