"""The program that trains a HiFi-GAN: its options, and a run that is there already."""

import pytest

from myxtts.errors import ConfigError
from myxtts.vocoder_config import HIFIGAN_STAGE, HifiGanSettings
from tools.sv2tts.hifigan_train import parser, resolve


def args(tmp_path, *more: str):
    own = ["run", str(tmp_path), "-m", str(tmp_path / "models"), *more]
    return parser().parse_args(own)


def test_options_and_their_defaults(tmp_path):
    config = resolve(args(tmp_path))
    assert config.data.train_data == str(tmp_path / "SV2TTS" / "synthesizer")
    assert (config.data.ground_truth, config.data.crop_frames) == (False, 32)
    assert config.training.output_dir == str(tmp_path / "models" / "run")
    assert (config.model.hop_length, config.training.resume) == (200, False)
    named = ["--syn_dir", "a", "-g", "-s", "7", "--hifigan-steps", "5", "--spectra-hop", "2"]
    config = resolve(args(tmp_path, *named, "--upsample-rates", "10,10"))
    assert (config.data.train_data, config.data.ground_truth) == ("a", True)
    assert (config.training.checkpoint_every, config.training.hifigan.steps) == (7, 5)
    assert config.model.hop_length == 200


@pytest.mark.parametrize("line", ["-s 0", "--spectra-hop 3", "--upsample-rates 5"])
def test_values_out_of_their_range(tmp_path, line):
    with pytest.raises(ConfigError):
        resolve(args(tmp_path, *line.split()))


def test_a_run_is_gone_on_with_its_own_sizes(tmp_path):
    run_dir = tmp_path / "models" / "run"
    (run_dir / "checkpoints" / HIFIGAN_STAGE / "step-2").mkdir(parents=True)
    stored = HifiGanSettings().merged({"model": {"initial_channels": 16}})
    stored.to_yaml(run_dir / "config.yaml")
    config = resolve(args(tmp_path))
    assert (config.model.initial_channels, config.training.resume) == (16, True)
    assert not resolve(args(tmp_path, "-f")).training.resume
