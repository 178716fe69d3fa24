"""Command-line flags come from the configuration schema."""

import argparse

import pytest

from myxtts.config import XTTSConfig
from myxtts.errors import ConfigError, DataError
from myxtts.flags import add_config_flags, config_from_flags, run
from myxtts.vocoder_config import VocoderConfig


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_config_flags(parser, XTTSConfig, ("model", "data", "training"))
    return parser.parse_args(list(words))


def test_no_flag_changes_nothing():
    base = XTTSConfig.preset("tiny")
    assert config_from_flags(parse(), base) == base


def test_flags_reach_their_fields():
    args = parse(
        "--train-data=corpus",
        "--gpt-batch-size=3",
        "--no-freeze-speaker-encoder",
        "--speaker-encoder-type=resemblyzer",
        "--decoder-resblock-kernels=3,5",
        "--decoder-kind=istft",
        "--decoder-istft-dim=32",
        "--discriminators",
        "multi_resolution",
        "multi_period",
    )
    config = config_from_flags(args, XTTSConfig())
    assert config.data.train_data == "corpus"
    assert config.training.gpt.batch_size == 3
    assert config.model.freeze_speaker_encoder is False
    assert config.model.speaker_encoder_type == "resemblyzer"
    assert config.model.decoder.resblock_kernels == (3, 5)
    assert (config.model.decoder.kind, config.model.decoder.istft.dim) == ("istft", 32)
    assert config.training.discriminators == ("multi_resolution", "multi_period")


def test_flag_beats_base():
    base = XTTSConfig().merged({"training": {"seed": 3}})
    assert config_from_flags(parse("--seed", "4"), base).training.seed == 4


def test_flag_that_breaks_a_rule_is_named():
    with pytest.raises(ConfigError, match="upsample_rates"):
        config_from_flags(parse("--decoder-upsample-rates", "2,2,2,2"), XTTSConfig())


def test_unknown_choice_is_wrong_usage():
    with pytest.raises(SystemExit) as caught:
        parse("--speaker-encoder-type", "resnet")
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [(DataError("x.csv is empty."), 1), (ConfigError("bad key."), 2), (KeyboardInterrupt(), 130)],
)
def test_a_users_mistake_is_one_sentence(error, status, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["prog"])

    def fail(args):
        raise error

    assert run(fail, argparse.ArgumentParser(prog="prog")) == status
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_the_help_says_what_is_so_without_a_flag():
    """Of settings within settings too, whose class has other defaults."""
    parser = argparse.ArgumentParser()
    add_config_flags(parser, VocoderConfig, ("training",), defaults=True)
    own = VocoderConfig().training
    told = " ".join(parser.format_help().split())
    assert f"optimiser steps (default: {own.vocoder.steps})" in told
    other = VocoderConfig().merged({"training": {"vocoder": {"steps": 7}, "epochs": 9}})
    parser = argparse.ArgumentParser()
    add_config_flags(parser, VocoderConfig, ("training",), defaults=other)
    told = " ".join(parser.format_help().split())
    assert "optimiser steps (default: 7)" in told and "those steps (default: 9)" in told
