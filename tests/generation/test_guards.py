"""Rambling and halting are seen, speech is not taken for them."""

import numpy as np
import pytest

from myxtts.generation import guards

RATE = 24_000


def repeats(codes) -> bool:
    return bool(guards.repeats(np.asarray(codes)[None], np.array([len(codes)], "int32"))[0])


def falls_silent(waveform, speed: float = 1.0) -> bool:
    row, samples = waveform[None].astype("float32"), np.array([len(waveform)], "int32")
    return bool(guards.falls_silent(row, samples, speed)[0])


def stops_doubtfully(logits, stop_code: int) -> bool:
    return bool(guards.stops_doubtfully(logits[None], stop_code)[0])


@pytest.mark.parametrize("period", [1, 2, 5, 8])
def test_circles_of_codes_are_seen(period):
    rng = np.random.default_rng(period)
    speech = rng.integers(0, 1000, 60)
    circle = np.tile(rng.permutation(1000)[:period], 60)[: 33 + period]
    assert repeats(np.concatenate([speech, circle, speech]))


@pytest.mark.parametrize("length", [0, 1, 5, 300])
def test_speech_is_no_circle(length):
    assert not repeats(np.random.default_rng(0).integers(0, 1000, length))


def test_a_short_pause_of_one_code_is_no_circle():
    speech = np.random.default_rng(0).integers(0, 1000, 40)
    assert not repeats(np.concatenate([speech, np.full(20, 7), speech]))


@pytest.mark.parametrize(("seconds", "silent"), [(0.5, False), (2.0, True)])
def test_long_silence_is_seen(seconds, silent):
    noise = 0.1 * np.random.default_rng(0).normal(size=RATE).astype("float32")
    hush = np.zeros(int(seconds * RATE), "float32")
    assert falls_silent(np.concatenate([noise, hush, noise])) == silent


def test_nothing_is_not_silence():
    assert not falls_silent(np.zeros(0, "float32"))
    assert not falls_silent(np.zeros(100, "float32"))


@pytest.mark.parametrize(("speed", "silent"), [(0.5, False), (1.0, True), (2.0, True)])
def test_slow_speech_may_pause_for_longer(speed, silent):
    noise = 0.1 * np.random.default_rng(0).normal(size=RATE).astype("float32")
    hush = np.zeros(2 * RATE, "float32")
    assert falls_silent(np.concatenate([noise, hush, noise]), speed=speed) == silent


@pytest.mark.parametrize(("behind", "doubtful"), [(-2.0, False), (1.5, False), (1.7, True)])
def test_a_stop_far_behind_another_code_is_doubtful(behind, doubtful):
    logits = np.random.default_rng(0).normal(size=20)
    logits[4] = np.delete(logits, 4).max() - behind
    assert stops_doubtfully(logits, 4) == doubtful
