"""The signs of a batch in a graph are the guards' of each row."""

import numpy as np
import pytest
import tensorflow as tf

from myxtts.generation import guards
from myxtts.serving.graph import signs


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(1)


def test_repetition_is_seen_where_the_guard_sees_it(rng):
    lengths = rng.integers(1, 90, 40)
    codes = np.full((40, 90), 7, "int32")  # padding repeats, and must not count
    for row, length in enumerate(lengths):
        start, period = rng.integers(0, 60), rng.integers(1, 12)
        codes[row, :length] = rng.integers(0, 30, length)
        tail = codes[row, start:length]
        tail[:] = np.resize(tail[:period], len(tail)) if len(tail) else tail
    found = signs.repeats(tf.constant(codes), tf.constant(lengths, "int32")).numpy()
    expected = [guards.repeats(row[:length]) for row, length in zip(codes, lengths, strict=True)]
    assert found.tolist() == expected
    assert 0 < sum(expected) < 40


def test_silence_is_heard_where_the_guard_hears_it(rng):
    samples = rng.integers(0, 90_000, 20)
    waves = np.zeros((20, 90_000), "float32")
    for wave, length in zip(waves, samples, strict=True):
        wave[:length] = rng.normal(size=length) * 0.1
        gap = rng.integers(0, 60_000)
        wave[gap : gap + rng.integers(20_000, 50_000)] *= 1e-5
    found = signs.falls_silent(tf.constant(waves), tf.constant(samples, "int32")).numpy()
    expected = [guards.falls_silent(wave[:n]) for wave, n in zip(waves, samples, strict=True)]
    assert found.tolist() == expected
    assert 0 < sum(expected) < 20


def test_doubt_is_the_guards(rng):
    logits = rng.normal(size=(50, 12)).astype("float32")
    found = signs.stops_doubtfully(tf.constant(logits), 3).numpy()
    assert found.tolist() == [guards.stops_doubtfully(row, 3) for row in logits]
    assert 0 < found.sum() < 50


def test_nothing_at_all_is_neither(rng):
    assert not signs.repeats(tf.zeros((1, 0), "int32"), tf.zeros(1, "int32"))[0]
    assert not signs.falls_silent(tf.zeros((1, 0)), tf.zeros(1, "int32"))[0]
