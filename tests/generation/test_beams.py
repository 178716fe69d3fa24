"""Beam search finds what an exhaustive search finds, alone or in a batch, in a graph or out."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.errors import ConfigError
from myxtts.generation.beams import beam_search
from myxtts.generation.state import generate
from myxtts.models.gpt import GPT

CODES, STEPS = 24, 20


def make_gpt(codes: int, stop_bias: float) -> GPT:
    keras.utils.set_random_seed(0)
    model = GPT(2, 32, 2, 300, 40, 60, codes)
    model.build()
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.15 * rng.normal(size=variable.shape))
    bias = model.audio_head.bias.numpy()
    bias[model.stop_audio_token] += stop_bias
    model.audio_head.bias.assign(bias)
    return model


@pytest.fixture(scope="module")
def gpt():
    return make_gpt(CODES, 0.5)


@pytest.fixture(scope="module")
def prompt():
    rng = np.random.default_rng(1)
    return {
        "text_ids": rng.integers(1, 260, (3, 12)).astype("int32"),
        "text_lengths": np.array([12, 7, 1], "int32"),
        "conditioning_latents": rng.normal(size=(3, 4, 32)).astype("float32"),
    }


@pytest.fixture(scope="module")
def searches(gpt):
    """Searches by their options, each compiled to one graph."""
    compiled = {}

    def search(prompt, steps=STEPS, **options):
        # As tensors the penalties share one graph.
        penalties = {
            name: tf.constant(options.pop(name, 1.0))
            for name in ("length_penalty", "repetition_penalty")
        }
        key = (steps, *sorted(options.items()))
        if key not in compiled:
            compiled[key] = tf.function(
                lambda values, penalties: beam_search(
                    gpt, **values, steps=steps, **penalties, **options
                ),
                reduce_retracing=True,
            )
        return {name: value.numpy() for name, value in compiled[key](prompt, penalties).items()}

    return search


def greedy(gpt, prompt, steps=STEPS, **options):
    uniforms = np.zeros((len(prompt["text_ids"]), steps), "float32")
    spoken = tf.function(
        lambda values: generate(gpt, **values, uniforms=uniforms, greedy=True, **options)
    )(prompt)
    return {name: value.numpy() for name, value in spoken.items()}


def log_probabilities(gpt, prompt, codes, lengths):
    """Teacher-forced log-probabilities without the start code, and latents."""
    outputs = gpt(prompt | {"audio_codes": codes, "code_lengths": lengths})
    logits = np.array(outputs["audio_logits"])
    logits[..., gpt.start_audio_token] = -1e9
    return np.asarray(tf.nn.log_softmax(logits)), np.asarray(outputs["audio_latents"])


@pytest.mark.parametrize("options", [{}, {"coqui_compatible": True}, {"min_codes": 5}])
def test_one_beam_is_greedy(gpt, prompt, searches, options):
    searched, spoken = searches(prompt, num_beams=1, **options), greedy(gpt, prompt, **options)
    for name in ("codes", "lengths", "finished"):
        np.testing.assert_array_equal(searched[name], spoken[name])
    for row, length in enumerate(spoken["lengths"]):
        np.testing.assert_allclose(
            searched["latents"][row, :length], spoken["latents"][row, :length], atol=1e-5
        )


def test_shapes_are_those_of_generate(gpt, prompt, searches):
    searched, spoken = searches(prompt, num_beams=4), greedy(gpt, prompt)
    assert set(searched) == set(spoken)
    for name, value in spoken.items():
        assert searched[name].shape == value.shape
        assert searched[name].dtype == value.dtype


def test_a_batch_equals_singles(prompt, searches):
    together = searches(prompt, num_beams=4)
    assert len(set(together["lengths"])) > 1
    for row, length in enumerate(prompt["text_lengths"]):
        alone = {name: value[row : row + 1] for name, value in prompt.items()}
        alone["text_ids"] = alone["text_ids"][:, :length]
        single = searches(alone, num_beams=4)
        for name in ("codes", "lengths", "finished"):
            np.testing.assert_array_equal(single[name][0], together[name][row])
        np.testing.assert_allclose(single["latents"][0], together["latents"][row], atol=1e-4)


def test_a_graph_searches_like_eager(gpt, prompt, searches):
    eager = beam_search(gpt, **prompt, steps=8, num_beams=4, repetition_penalty=2.0)
    graph = searches(prompt, steps=8, num_beams=4, repetition_penalty=2.0)
    for name in ("codes", "lengths", "finished"):
        np.testing.assert_array_equal(eager[name], graph[name])
    np.testing.assert_allclose(eager["latents"], graph["latents"], atol=1e-5)


def test_unknown_sizes_and_xla_change_nothing(gpt, prompt, searches):
    known = searches(prompt, num_beams=4)

    def search(ids, lengths, latents, steps):
        return beam_search(gpt, ids, lengths, latents, steps, num_beams=4)

    sizes = [
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None, 4, 32]),
        tf.TensorSpec([], tf.int32),
    ]
    unknown = tf.function(search, input_signature=sizes)(*prompt.values(), STEPS)
    xla = tf.function(lambda *values: search(*values, STEPS), jit_compile=True)(*prompt.values())
    for other in (unknown, xla):
        np.testing.assert_array_equal(other["codes"], known["codes"])


def test_latents_predicted_the_codes(gpt, prompt, searches):
    spoken = searches(prompt, num_beams=4)
    codes = np.where(spoken["codes"] < CODES, spoken["codes"], 0)
    _, latents = log_probabilities(gpt, prompt, codes, spoken["lengths"])
    assert spoken["lengths"].max() > 3
    for row, length in enumerate(spoken["lengths"]):
        heard = length + spoken["finished"][row]
        np.testing.assert_allclose(spoken["latents"][row, :heard], latents[row, :heard], atol=1e-4)
        assert not spoken["latents"][row, heard:].any()


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.0])
def test_wide_beams_find_the_best_of_all(prompt, length_penalty):
    small = make_gpt(3, 0.0)
    one = {name: value[:1] for name, value in prompt.items()}
    found = beam_search(small, **one, steps=3, num_beams=30, length_penalty=length_penalty)
    scores = {}
    for length in range(3):
        for codes in itertools.product(range(3), repeat=length):
            padded = np.array([codes + (0,) * (3 - length)], "int32")
            steps, _ = log_probabilities(small, one, padded, np.array([length], "int32"))
            path = (*codes, small.stop_audio_token)
            total = sum(steps[0, i, code] for i, code in enumerate(path))
            scores[codes] = total / len(path) ** length_penalty
    best = max(scores, key=scores.get)
    assert found["finished"][0]
    assert tuple(np.asarray(found["codes"])[0, : int(found["lengths"][0])]) == best


def test_more_beams_find_no_worse(gpt, prompt, searches):
    def score(spoken):
        codes = np.where(spoken["codes"] < CODES, spoken["codes"], 0)
        steps, _ = log_probabilities(gpt, prompt, codes, spoken["lengths"])
        each = [
            np.take_along_axis(steps[row, :STEPS], codes_of_row[:, None], 1)[: length + 1].mean()
            for row, (codes_of_row, length) in enumerate(
                zip(spoken["codes"], spoken["lengths"], strict=True)
            )
        ]
        return np.array(each)

    narrow, wide = (searches(prompt, num_beams=beams) for beams in (1, 4))
    assert narrow["finished"].all()
    assert wide["finished"].all()
    assert (score(wide) >= score(narrow) - 1e-5).all()
    assert (score(wide) > score(narrow) + 1e-3).any()


def test_a_larger_length_penalty_is_never_shorter(prompt, searches):
    lengths = [
        searches(prompt, num_beams=4, length_penalty=penalty)["lengths"]
        for penalty in (-2.0, 0.0, 1.0, 3.0)
    ]
    assert (np.diff(lengths, axis=0) >= 0).all()
    assert (lengths[-1] > lengths[0]).any()


def test_codes_do_not_end_before_their_least(prompt, searches):
    free = searches(prompt, num_beams=4, length_penalty=-2.0)
    least = searches(prompt, num_beams=4, length_penalty=-2.0, min_codes=7)
    assert free["lengths"].min() < 7
    assert least["lengths"].min() >= 7


def test_repetition_penalty_forbids_repeats(prompt, searches):
    spoken = searches(prompt, steps=10, num_beams=3, repetition_penalty=1e6)
    for codes, length in zip(spoken["codes"], spoken["lengths"], strict=True):
        assert len(set(codes[:length])) == length


def test_speech_that_ended_goes_before_speech_that_was_cut(prompt):
    silent = make_gpt(CODES, -1.0)
    options = {"steps": 13, "num_beams": 4, "length_penalty": 3.0}
    kept = beam_search(silent, **prompt, **options)
    coqui = beam_search(silent, **prompt, **options, coqui_compatible=True)
    ended, cut = np.asarray(kept["finished"]), ~np.asarray(coqui["finished"])
    assert (ended & cut).any()
    assert (np.asarray(coqui["lengths"])[cut] == 13).all()


def test_speech_without_an_end_is_cut(prompt):
    endless = make_gpt(CODES, -50.0)
    spoken = beam_search(endless, **prompt, steps=5, num_beams=2)
    assert not np.asarray(spoken["finished"]).any()
    np.testing.assert_array_equal(spoken["lengths"], 5)


def test_no_more_codes_than_positions(gpt, prompt, searches):
    assert searches(prompt, steps=500, num_beams=1)["codes"].shape[1] == gpt.max_new_codes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_beams", 0),
        ("length_penalty", 11.0),
        ("length_penalty", float("nan")),
        ("repetition_penalty", 0.0),
    ],
)
def test_options_out_of_range_are_named(gpt, prompt, name, value):
    with pytest.raises(ConfigError, match=name):
        beam_search(gpt, **prompt, steps=3, **{"num_beams": 2} | {name: value})
