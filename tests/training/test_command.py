"""What the command line of training refuses before any work is done."""

import pytest

from myxtts.errors import ConfigError
from myxtts.training.command import check_encoder_flags, parser, resolve


def check(*words: str) -> None:
    args = parser().parse_args(words)
    check_encoder_flags(args, resolve(args))


@pytest.mark.parametrize(
    "words",
    [
        ("--speaker-encoder-type", "coqui"),
        ("--no-freeze-speaker-encoder",),
        ("--pretrained-speaker-encoder-path", "x"),
    ],
)
def test_encoder_flags_want_a_pretrained_encoder(words):
    flag = words[0].replace("--no-", "--")
    with pytest.raises(ConfigError, match=f"^{flag} is for --use-pretrained-speaker-encoder"):
        check(*words)
    check("--use-pretrained-speaker-encoder", *words)
