"""What the command line of training refuses before any work is done."""

import pytest

from myxtts.config import XTTSConfig
from myxtts.errors import ConfigError
from myxtts.training.command import (
    check_decoder_flags,
    check_encoder_flags,
    parser,
    resolve,
)


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


PRETRAINED = ("--use-pretrained-speaker-encoder", "--speaker-encoder-type")


@pytest.mark.parametrize(
    ("words", "others", "sentence"),
    [
        (("--ecapa-attention-dim", "64"), (), "is for --speaker-encoder-type ecapa_tdnn"),
        (
            ("--ecapa-attention-dim", "64"),
            (*PRETRAINED, "coqui"),
            "the audio encoder here is coqui",
        ),
        (("--coqui-encoder-blocks", "3,4,6,3"), (*PRETRAINED, "ecapa_tdnn"), "type coqui"),
        (("--conditioning-num-blocks", "2"), (*PRETRAINED, "coqui"), "coqui has no such part"),
        (("--speaker-blocks", "3,4,6,3"), (*PRETRAINED, "coqui"), "original audio encoder"),
        (("--speaker-encoder-learning-rate", "1e-4"), (), "for --use-pretrained-speaker-encoder"),
        (
            ("--speaker-encoder-learning-rate", "1e-4"),
            (*PRETRAINED, "coqui"),
            "is for --no-freeze-speaker-encoder",
        ),
    ],
)
def test_flags_of_another_encoder_are_refused(words, others, sentence):
    with pytest.raises(ConfigError, match=f"^{words[0]} .*{sentence}"):
        check(*words, *others)


@pytest.mark.parametrize(
    "words",
    [
        ("--conditioning-num-blocks", "2", "--speaker-blocks", "3,4,6,3"),
        (*PRETRAINED, "ecapa_tdnn", "--ecapa-attention-dim", "64", "--speaker-embedding-dim", "99"),
        (*PRETRAINED, "coqui", "--no-freeze-speaker-encoder", "--speaker-encoder-learning-rate=1"),
    ],
)
def test_flags_of_the_own_encoder_are_taken(words):
    check(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--decoder-istft-dim=32",), "^--decoder-istft-dim is for --decoder-kind istft"),
        (
            ("--decoder-kind=istft", "--decoder-initial-channels=32"),
            "^--decoder-initial-channels is for --decoder-kind hifigan; the decoder here is istft",
        ),
    ],
)
def test_flags_of_the_other_decoder_are_refused(words, message):
    args = parser().parse_args(list(words))
    with pytest.raises(ConfigError, match=message):
        check_decoder_flags(args, resolve(args))


def test_flags_of_the_own_decoder_are_taken():
    args = parser().parse_args(["--decoder-kind=istft", "--decoder-istft-dim=32"])
    check_decoder_flags(args, resolve(args))


def test_flags_of_a_resumed_run_are_judged_beside_its_own_settings(tmp_path):
    stored = XTTSConfig().merged(
        {
            "model": {"use_pretrained_speaker_encoder": True, "gpt": {"layers": 9}},
            "training": {"output_dir": str(tmp_path)},
        }
    )
    stored.to_yaml(tmp_path / "config.yaml")
    words = ("--output-dir", str(tmp_path), "--resume", "--speaker-loss-weight", "9")
    words = (*words, "--alignment-loss-weight", "0.3", "--alignment-blocks", "8")
    training = resolve(parser().parse_args(words)).training
    assert training.speaker_loss_weight == 9 and training.alignment_blocks == (8,)
    with pytest.raises(ConfigError, match="alignment_blocks"):
        resolve(parser().parse_args((*words[:-1], "9")))
