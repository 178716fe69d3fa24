"""Settings of vocoders: each is read, is checked, and survives YAML and the command line."""

import argparse
import dataclasses
from pathlib import Path

import pytest

from myxtts.errors import ConfigError
from myxtts.flags import add_config_flags, config_from_flags
from myxtts.vocoder_config import VocoderConfig, WaveRNNConfig

PACKAGE = Path(__file__).resolve().parents[1] / "myxtts"


def test_settings_survive_yaml_and_flags(tmp_path):
    config = VocoderConfig().merged({"model": {"upsample_factors": [2, 5], "mode": "MOL"}})
    config.to_yaml(tmp_path / "config.yaml")
    assert VocoderConfig.from_yaml(tmp_path / "config.yaml") == config
    parser = argparse.ArgumentParser()
    add_config_flags(parser, VocoderConfig)
    args = parser.parse_args(["--upsample-factors", "2,5", "--mode", "MOL"])
    assert config_from_flags(args, VocoderConfig()) == config


def test_sizes_fit_together():
    assert WaveRNNConfig().hop_length == 200
    with pytest.raises(ConfigError, match="res_out_dims must be from 4"):
        WaveRNNConfig(res_out_dims=3)


def test_defaults_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        VocoderConfig().model.bits = 8
