"""Settings of a fit: documented names and defaults, rules, and no field without a reader."""

import dataclasses
import re
from pathlib import Path

import pytest

from myxtts.errors import ConfigError
from tools.kokoro_voice.config import OptimizerConfig

ROOT = Path(__file__).resolve().parents[3]


def test_documented_defaults():
    config = OptimizerConfig()
    assert config.n_variable_dims == config.pca_components == 256
    assert (config.target_frame_idx, config.save_every, config.num_iterations) == (50, 50, 1000)
    assert config.learning_rate == config.fd_epsilon == 0.01
    assert (config.optimizer_type, config.loss_type) == ("adam", "cosine")
    assert config.wavlm_model == "microsoft/wavlm-large"
    assert config.length_model == "basis"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_iterations", 0),
        ("num_iterations", 1.5),
        ("num_iterations", True),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", "fast"),
        ("target_frame_idx", 510),
        ("n_variable_dims", 257),
        ("pca_components", 0),
        ("spread_weight", -1),
        ("seed", -1),
        ("optimizer_type", "sgd"),
        ("gradient_method", "newton"),
        ("texts", "one text"),
        ("device", None),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence(name, value):
    with pytest.raises(ConfigError, match=f"^{name} [^\n]*\\.$"):
        OptimizerConfig(**{name: value})


def test_every_setting_is_read_somewhere():
    folder = ROOT / "tools" / "kokoro_voice"
    code = "\n".join(path.read_text() for path in folder.glob("*.py") if path.name != "config.py")
    names = {item.name for item in dataclasses.fields(OptimizerConfig)}
    assert {name for name in names if not re.search(rf"config\.{name}\b", code)} == set()
