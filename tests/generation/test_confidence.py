"""Of several takes the surest is kept: how sure a GPT is, and how takes are chosen."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from myxtts.config import SynthesisConfig, TrainingConfig
from myxtts.generation.confidence import LEAST_ATTENTION, confidence
from myxtts.generation.driver import Reading
from myxtts.models.gpt import GPT

TAUGHT = TrainingConfig(alignment_loss_weight=0.3, alignment_blocks=(1,), alignment_heads=2)


@dataclass
class Made:
    """A take."""

    score: float
    flags: tuple[str, ...] = ()
    waveform: np.ndarray = None


@pytest.fixture(scope="module")
def gpt():
    model = GPT(2, 32, 4, 14, 10, 30, 11, 12, 13, 0.0)
    model.build()
    for number, variable in enumerate(model.trainable_variables):
        noise = np.random.default_rng(number).normal(0, 0.3, variable.shape)
        variable.assign(variable + noise.astype("float32"))
    return model


def batch(rows: int = 3) -> dict:
    rng = np.random.default_rng(0)
    return {
        "text_ids": rng.integers(1, 11, (rows, 6)).astype("int32"),
        "text_lengths": np.array([6, 4, 5][:rows], "int32"),
        "audio_codes": rng.integers(0, 11, (rows, 12)).astype("int32"),
        "code_lengths": np.array([12, 9, 10][:rows], "int32"),
        "conditioning_latents": rng.normal(size=(rows, 2, 32)).astype("float32"),
    }


def all_readings(weights: np.ndarray) -> float:
    """Summed weight of all monotonic readings of ``(codes, tokens)``, one after the other."""
    codes, tokens = weights.shape

    def onwards(code: int, token: int) -> float:
        if token >= tokens:
            return 0.0
        here = float(weights[code, token])
        if code == codes - 1:
            return here if token >= tokens - 2 else 0.0
        return here * sum(onwards(code + 1, token + step) for step in range(3))

    return onwards(0, 0) + onwards(0, 1)


@pytest.mark.parametrize("training", [TrainingConfig(), TAUGHT])
def test_it_is_the_likelihood_of_codes_and_reading(gpt, training):
    inputs = batch()
    outputs = gpt(inputs, attention_blocks=(1,))
    found = np.asarray(confidence(gpt, inputs, training))
    logits = np.asarray(outputs["audio_logits"], "float64")
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    attention = np.asarray(outputs["attention"][0], "float64")[:, :2].mean(axis=1)
    for row, length in enumerate(inputs["code_lengths"]):
        targets = [*inputs["audio_codes"][row, :length], gpt.stop_audio_token]
        expected = np.mean([logits[row, place, code] for place, code in enumerate(targets)])
        if training.alignment_loss_weight:
            own = attention[row, :length, 1 : 1 + inputs["text_lengths"][row]] + LEAST_ATTENTION
            expected += np.log(all_readings(own)) / length
        assert found[row] == pytest.approx(expected, rel=1e-4)


def test_padding_changes_nothing(gpt):
    inputs = batch()
    alone = {name: value[1:2] for name, value in inputs.items()}
    alone |= {"text_ids": alone["text_ids"][:, :4], "audio_codes": alone["audio_codes"][:, :9]}
    together, one = (np.asarray(confidence(gpt, each, TAUGHT)) for each in (inputs, alone))
    assert together[1] == pytest.approx(one[0], abs=1e-5)


def chosen(settings: SynthesisConfig, *takes: Made) -> tuple[Made, int]:
    reading, given = Reading(["a"], settings), iter(takes)
    for _ in reading:
        reading.add(next(given))
    return reading.takes[0], reading.attempts[0]


def test_the_surest_sound_take_is_kept():
    settings = SynthesisConfig(candidates=3, retries=1)
    low, high, middle = Made(-3.0), Made(-1.0), Made(-2.0)
    bad = Made(-0.5, ("silence",))
    assert chosen(settings, low, high, middle) == (high, 3)
    # One more is tried for the one that has a flag.
    assert chosen(settings, low, bad, middle, high) == (high, 4)
    assert chosen(settings, low, bad, bad, middle) == (middle, 4)
    one = replace(settings, candidates=1)
    assert chosen(one, low) == (low, 1)
    # In rounds, those that are made anyway come first.
    reading = Reading(["a", "b"], settings)
    sizes = []
    for attempts in reading.rounds():
        sizes.append([(attempt.text, attempt.number) for attempt in attempts])
        for attempt in attempts:
            reading.add(bad if attempt.text == "a" else low)
    assert sizes == [
        [("a", 0), ("a", 1), ("a", 2)],
        [("a", 3)],
        [("b", 0), ("b", 1), ("b", 2)],
    ]
    # Greedy takes are all the same.
    assert chosen(replace(settings, temperature=0.0), low) == (low, 1)
