"""However codes are asked for, they are the same codes."""

import dataclasses

import numpy as np
import pytest

from myxtts.config import SynthesisConfig
from myxtts.errors import ConfigError
from myxtts.inference.coder import Coder, Request, round_up
from myxtts.models.gpt import GPT

SETTINGS = SynthesisConfig(temperature=0.9, repetition_penalty=2.0, stream_codes=7)


@pytest.fixture(scope="module")
def gpt() -> GPT:
    gpt = GPT(2, 32, 4, 50, 40, 80, 60, start_text_token=48, stop_text_token=0)
    gpt.build()
    rng = np.random.default_rng(1)
    for variable in gpt.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return gpt


def request(bound: int = 40, least: int = 0, seed: int = 0) -> Request:
    rng = np.random.default_rng(7)
    return Request(
        ids=rng.integers(1, 48, 9),
        latents=rng.normal(size=(1, 4, 32)).astype("float32"),
        bound=bound,
        least=least,
        rng=np.random.default_rng(seed),
    )


def assert_same(one, other):
    np.testing.assert_array_equal(one.codes, other.codes)
    assert one.finished == other.finished
    np.testing.assert_allclose(one.latents, other.latents, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_compiled_steps_make_the_same_codes(gpt, temperature):
    settings = dataclasses.replace(SETTINGS, temperature=temperature)
    plain = Coder(gpt, settings)
    compiled = Coder(gpt, dataclasses.replace(settings, xla=True))
    for seed in range(3):
        assert_same(compiled.whole(request(seed=seed)), plain.whole(request(seed=seed)))


@pytest.mark.parametrize("xla", [False, True])
def test_pieces_joined_are_the_whole(gpt, xla):
    coder = Coder(gpt, dataclasses.replace(SETTINGS, xla=xla))
    whole = Coder(gpt, SETTINGS).whole(request())
    pieces = list(coder.pieces(request()))
    np.testing.assert_array_equal(np.concatenate([piece.codes for piece in pieces]), whole.codes)
    assert [piece.finished for piece in pieces] == [False] * (len(pieces) - 1) + [whole.finished]


@pytest.mark.parametrize("change", [{}, {"xla": True}, {"engine": "int8"}], ids=str)
def test_codes_made_together_are_those_made_alone(gpt, change):
    # They end at different places, some beyond the first block of steps and one not at all.
    bias = np.zeros(62, "float32")
    bias[61] = 2.0
    gpt.audio_head.bias.assign(bias)
    coder = Coder(gpt, dataclasses.replace(SETTINGS, **change))
    seeds = range(5)
    together = coder.together([request(seed=seed) for seed in seeds])
    alone = [coder.whole(request(seed=seed)) for seed in seeds]
    gpt.audio_head.bias.assign(np.zeros(62))
    assert len({len(made.codes) for made in alone}) > 2
    for one, other in zip(together, alone, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("bound", [1, 7, 33, 77])
def test_no_more_codes_than_the_bound(gpt, xla, bound):
    coder = Coder(gpt, dataclasses.replace(SETTINGS, xla=xla))
    made = coder.whole(request(bound, least=bound))
    assert len(made.codes) == bound
    assert not made.finished
    assert made.latents.shape == (bound, 32)


def test_latents_count_the_stop_code(gpt):
    bias = np.zeros(62, "float32")
    bias[61] = 4.0
    gpt.audio_head.bias.assign(bias)
    made = Coder(gpt, SETTINGS).whole(request())
    gpt.audio_head.bias.assign(np.zeros(62))
    assert made.finished
    assert len(made.latents) == len(made.codes) + 1


def test_compiled_beams_are_refused():
    with pytest.raises(ConfigError, match="beam search"):
        SynthesisConfig(temperature=0.0, num_beams=2, xla=True)


def test_sizes_are_rounded_up():
    assert [round_up(value, 32) for value in (0, 1, 32, 33)] == [32, 32, 32, 64]
