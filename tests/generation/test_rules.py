"""Each rule of speech, once for all: eagerly, in a graph, and by an oracle written apart.

Rows of a batch are padded with what must not count. What the client drives is compared with
what the synthesizer drives.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf

from myxtts.config import SynthesisConfig
from myxtts.generation import bounds, frames, guards, references, sampling
from myxtts.generation.driver import Attempt, Reading, SpeechStream, chunk_codes, pause, text_pieces
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.serving.client import ServedVoice, SpeechClient
from myxtts.timing import PAUSE_SAMPLES

RNG = np.random.default_rng(1)
SETTINGS = SynthesisConfig(seconds_per_character=0.07, min_seconds_per_character=0.03)
COQUI = replace(SETTINGS, coqui_compatible=True, gpt_cond_len=0.0)


@dataclass(frozen=True)
class Rule:
    """A function of arrays, its arguments, and what it must give row by row."""

    function: object
    inputs: tuple
    expected: object


def longest_run(values) -> int:
    runs = (sum(1 for _ in group) for true, group in itertools.groupby(values) if true)
    return max(runs, default=0)


def circling_codes() -> tuple:
    lengths = RNG.integers(1, 90, 40).astype("int32")
    codes = np.full((40, 90), 7, "int32")
    for row, length in zip(codes, lengths, strict=True):
        start, period = RNG.integers(0, 60), RNG.integers(1, 12)
        row[:length] = RNG.integers(0, 30, length)
        tail = row[start:length]
        tail[:] = np.resize(tail[:period], len(tail)) if len(tail) else tail
    return codes, lengths


def goes_round(codes, length) -> bool:
    own, needed = codes[:length], math.ceil(1.5 * 22_050 / 1024)
    return any(longest_run(own[p:] == own[:-p]) >= needed for p in range(1, 9) if length > p)


def halting_waves() -> tuple:
    samples = RNG.integers(0, 90_000, 20).astype("int32")
    waves = np.ones((20, 90_000), "float32")
    for wave, length in zip(waves, samples, strict=True):
        wave[:length] = RNG.normal(size=length) * 0.1
        gap = RNG.integers(0, 60_000)
        wave[gap : min(length, gap + RNG.integers(20_000, 50_000))] *= 1e-5
    return waves, samples


def halts(wave, length) -> bool:
    parts = wave[: length // 480 * 480].reshape(-1, 480)
    levels = np.sqrt(np.mean(np.square(parts), axis=1))
    return longest_run(levels <= max(levels.max(initial=0), 1e-10) * 10**-2.5) * 480 >= 36_000


def chunks_of(samples: int, settings) -> list[int]:
    samples = (
        min(samples, int(settings.gpt_cond_len * 22_050)) if settings.gpt_cond_len else samples
    )
    size = int(settings.gpt_cond_chunk_len * 22_050)
    return [min(max(samples - size * number, 0), size) for number in range(5)]


def heard(lengths, peaks, settings) -> list[bool]:
    long = [n == 0 or length >= 0.33 * 22_050 for n, length in enumerate(lengths)]
    loud = [a and peak >= 0.001 for a, peak in zip(long, peaks, strict=True)]
    return loud if any(loud) and not settings.coqui_compatible else long


def most_and_least(characters: int, settings) -> tuple[int, int]:
    seconds = 2 + settings.seconds_per_character * characters
    most = min(math.ceil(seconds * 22_050 / 1024), 200)
    least = int(settings.min_seconds_per_character * characters * 22_050 / 1024)
    return most, min(0 if settings.coqui_compatible else least, most - 1)


def frames_of(latents: int, final: bool) -> int:
    return max(0, int((4 * latents - (0 if final else 3)) * Fraction(24_000, 22_050)))


COUNTS = np.arange(1, 60, dtype="int32")
ENDS = COUNTS % 3 == 0
SAMPLES = np.array([100, 7000, 7277, 88_200, 95_000, 96_000, 200_000], "int32")
CHUNKS = np.array([chunks_of(n, SETTINGS) for n in SAMPLES], "int32")
PEAKS = RNG.choice([0.0, 0.0005, 0.2], CHUNKS.shape).astype("float32")
LOGITS = RNG.normal(size=(50, 12)).astype("float32")
RULES = {
    "repeats": Rule(guards.repeats, circling_codes(), goes_round),
    "silence": Rule(guards.falls_silent, halting_waves(), halts),
    "doubtful stop": Rule(
        lambda logits: guards.stops_doubtfully(logits, 3),
        (LOGITS,),
        lambda row: np.delete(row, 3).max() - row[3] > math.log(5),
    ),
    "ready frames": Rule(frames.ready_frames, (COUNTS, ENDS), frames_of),
    "settled frames": Rule(
        lambda ready, final: frames.settled_frames(ready, final, 13),
        (COUNTS, ENDS),
        lambda ready, final: ready if final else ready - 13,
    ),
    "repetition penalty": Rule(
        lambda logits, seen: sampling.penalise_repetition(logits, seen, 2.0),
        (LOGITS, LOGITS > 0.5),
        lambda row, seen: np.where(seen, np.where(row > 0, row / 2, row * 2), row),
    ),
}
for name, settings in (("plain", SETTINGS), ("as Coqui's", COQUI)):
    RULES |= {
        f"bounds, {name}": Rule(
            lambda size, settings=settings: bounds.code_bounds(size, settings, 200),
            (np.arange(1, 400, dtype="int32"),),
            lambda size, settings=settings: most_and_least(size, settings),
        ),
        f"latents heard, {name}": Rule(
            lambda size, end, settings=settings: bounds.heard_latents(size, end, settings),
            (COUNTS, ENDS),
            lambda size, end, settings=settings: size + (end and settings.coqui_compatible),
        ),
        f"chunks, {name}": Rule(
            lambda size, settings=settings: references.chunk_lengths(
                references.heard_samples(size, settings), 5, settings
            ),
            (SAMPLES,),
            lambda size, settings=settings: chunks_of(size, settings),
        ),
        f"chunks heard, {name}": Rule(
            lambda own, peaks, settings=settings: references.heard_chunks(
                own, peaks, -60.0, settings
            ),
            (CHUNKS, PEAKS),
            lambda own, peaks, settings=settings: heard(own, peaks, settings),
        ),
    }


def eagerly(function, inputs):
    return function(*inputs)


def in_a_graph(function, inputs):
    specs = [tf.TensorSpec([None] * value.ndim, value.dtype) for value in inputs]
    return tf.function(function, input_signature=specs, autograph=False)(*inputs)


@pytest.mark.parametrize("way", [eagerly, in_a_graph])
@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_the_same_everywhere(name, way):
    rule = RULES[name]
    found = way(rule.function, rule.inputs)
    rows = zip(*rule.inputs, strict=True)
    expected = np.array([rule.expected(*row) for row in rows])
    found = np.stack(found, axis=-1) if isinstance(found, tuple) else np.asarray(found)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize("way", [eagerly, in_a_graph])
def test_nothing_at_all_is_no_circle_and_no_silence(way):
    none = np.zeros(1, "int32")
    assert not way(guards.repeats, (np.zeros((1, 0), "int32"), none))[0]
    assert not way(guards.falls_silent, (np.zeros((1, 0), "float32"), none))[0]


def test_options_of_rows_are_those_of_numbers():
    plain = sampling.drawing(0.0, 3, 0.5, 2.0)
    rows = sampling.drawing(*(np.array([value]) for value in (0.0, 3, 0.5, 2.0)))
    assert plain == {"top_k": 3, "top_p": 0.5, "repetition_penalty": 2.0} | {
        "temperature": 1.0,
        "greedy": True,
    }
    assert {name: np.ravel(value).tolist() for name, value in rows.items()} == {
        name: [value] for name, value in plain.items()
    }


TEXT = "First one. Second one. Third one."
PIECES = ["First one.", "Second one.", "Third one."]


@dataclass(frozen=True)
class Spoken:
    waveform: np.ndarray
    flags: tuple[str, ...]
    codes: np.ndarray
    finished: bool = True
    score: float = 0.0


def label(piece: int, number: int) -> float:
    """A sample that tells an attempt: float32 has it exactly, and it is sound."""
    return (8 * piece + number) / 64


def take(attempt: Attempt) -> Spoken:
    """The second piece succeeds at its third attempt, the last one never."""
    bad = {"Second one.": attempt.number < 2, "Third one.": True}.get(attempt.text, False)
    flags = ("repeats", "silence")[: 1 + attempt.number % 2] if bad else ()
    value = label(attempt.piece, attempt.number)
    return Spoken(np.full(4, value, "float32"), flags, np.zeros(1, "int32"))


class Server:
    """Stands for a served model: it knows the attempt by the seed."""

    def __init__(self, seed: int):
        self.seed = seed

    def predict(self, signature: str, inputs: dict) -> dict:
        seed = int(inputs["seed"][0]) - self.seed
        made = take(Attempt(inputs["text"][0], seed >> 32, seed & 0xFFFFFFFF))
        flags = ("unfinished", "repeats", "silence", "doubtful_stop")
        return {"waveform": made.waveform[None], "samples": [4]} | {
            name: [name in made.flags] for name in flags
        }


def by_the_driver(settings, model):
    reading = Reading(text_pieces(TEXT, "en", settings), settings)
    for attempt in reading:
        reading.add(take(attempt))
    return reading.waveform(), [item.flags for item in reading.takes]


def by_the_synthesizer(settings, model):
    synthesizer = Synthesizer(model, settings)
    synthesizer._takes = lambda attempts, voice, language: [take(attempt) for attempt in attempts]
    spoken = synthesizer.speak(TEXT, Anybody())
    return spoken.waveform, spoken.flags


def by_the_client(settings, model):
    client = SpeechClient("http://localhost:1", "model", settings=settings)
    client._transport = Server(settings.seed)
    nobody = ServedVoice(np.zeros((1, 1, 1), "float32"), np.zeros((1, 1), "float32"))
    spoken = client.speak(TEXT, nobody)
    return spoken.waveform, spoken.flags


class Anybody:
    """A voice of every model."""

    def require(self, model) -> None: ...


@pytest.fixture(scope="module")
def model(trained):
    return XTTS.from_preset(trained.preset)


@pytest.mark.parametrize("way", [by_the_driver, by_the_synthesizer, by_the_client])
@pytest.mark.parametrize(
    ("retries", "temperature", "attempts"), [(0, 1.0, (0, 0)), (2, 1.0, (2, 0)), (2, 0.0, (0, 0))]
)
def test_pieces_attempts_and_pauses_are_the_drivers(way, model, retries, temperature, attempts):
    settings = SynthesisConfig(
        retries=retries,
        temperature=temperature,
        max_characters=12,
        seed=5,
        vocoder="griffin_lim",
    )
    waveform, flags = way(settings, model)
    second, third = (label(n, number) for n, number in zip((1, 2), attempts, strict=True))
    silence = np.zeros(PAUSE_SAMPLES, "float32")
    rows = [np.full(4, value, "float32") for value in (0.0, second, third)]
    expected = np.concatenate([rows[0], silence, rows[1], silence, rows[2]])
    np.testing.assert_array_equal(waveform, expected)
    assert flags == [(), () if attempts[0] == 2 else ("repeats",), ("repeats",)]


def test_attempts_and_pieces_have_seeds_of_their_own():
    seeds = {Attempt("", piece, number).seeds(7) for piece in range(3) for number in range(3)}
    assert len(seeds) == 9


def test_chunks_are_short_at_first():
    settings = SynthesisConfig(first_codes=8, stream_codes=20)
    assert list(itertools.islice(chunk_codes(settings), 3)) == [8, 20, 20]
    assert next(chunk_codes(replace(settings, stream_codes=5))) == 5


def chunks(attempt: Attempt):
    yield np.full(2, attempt.piece, "float32")
    if attempt.text == "breaks":
        raise OSError("the line is dead")
    yield np.full(1, attempt.piece, "float32")
    return ("repeats",) if attempt.text == "rambles" else ()


def test_a_stream_pauses_between_pieces_and_says_how_it_ended():
    stream = SpeechStream(PIECES[:2], chunks)
    assert not stream.finished
    joined = np.concatenate(list(stream))
    expected = np.concatenate([np.zeros(3), pause(), np.ones(3)])
    np.testing.assert_array_equal(joined, expected)
    assert stream.finished
    assert stream.flags == [(), ()]


@pytest.mark.parametrize("last", ["breaks", "rambles"])
def test_a_stream_that_broke_has_not_finished(last):
    stream = SpeechStream(["fine", last], chunks)
    if last == "breaks":
        with pytest.raises(OSError, match="dead"):
            list(stream)
    else:
        list(stream)
    assert not stream.finished
