"""The GPT's targets, its generation, and what padding must not change."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.errors import ConfigError
from myxtts.generation.state import advance, begin, generate
from myxtts.models.gpt import GPT

CODES, STEPS = 24, 30


@pytest.fixture(scope="module")
def gpt():
    keras.utils.set_random_seed(0)
    model = GPT(2, 32, 2, 300, 40, 60, CODES)
    model.build()
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.15 * rng.normal(size=variable.shape))
    # Without this a random model stops after a code or two.
    bias = model.audio_head.bias.numpy()
    bias[model.stop_audio_token] -= 4.0
    model.audio_head.bias.assign(bias)
    return model


@pytest.fixture(scope="module")
def prompt():
    rng = np.random.default_rng(1)
    return {
        "text_ids": rng.integers(1, 260, (3, 12)).astype("int32"),
        "text_lengths": np.array([12, 7, 1], "int32"),
        "conditioning_latents": rng.normal(size=(3, 4, 32)).astype("float32"),
        "uniforms": rng.random((3, STEPS), "float32"),
    }


def speak(gpt, prompt, **options):
    return {name: np.asarray(value) for name, value in generate(gpt, **prompt, **options).items()}


def teacher(gpt, prompt, codes, lengths):
    return gpt(
        {
            "text_ids": prompt["text_ids"],
            "text_lengths": prompt["text_lengths"],
            "conditioning_latents": prompt["conditioning_latents"],
            "audio_codes": codes,
            "code_lengths": lengths,
        }
    )


def test_targets_hold_one_stop_each(gpt, prompt):
    codes = np.full((3, 9), 5, "int32")
    lengths = np.array([9, 4, 0], "int32")
    outputs = teacher(gpt, prompt, codes, lengths)
    audio, text = np.asarray(outputs["audio_targets"]), np.asarray(outputs["text_targets"])
    assert audio.shape == (3, 10)
    assert text.shape == (3, 14)
    for row, length in enumerate(lengths):
        assert (audio[row, :length] == 5).all()
        assert audio[row, length] == gpt.stop_audio_token
        assert (audio[row, length + 1 :] == -1).all()
    for row, length in enumerate(prompt["text_lengths"]):
        np.testing.assert_array_equal(text[row, :length], prompt["text_ids"][row, :length])
        assert text[row, length] == gpt.stop_text_token
        assert (text[row, length + 1 :] == -1).all()


def test_cached_generation_equals_teacher_forcing(gpt, prompt):
    spoken = speak(gpt, prompt, temperature=0.9)
    codes = np.where(spoken["codes"] < CODES, spoken["codes"], 0)
    outputs = teacher(gpt, prompt, codes, spoken["lengths"])
    assert spoken["lengths"].max() > 5
    for row, length in enumerate(spoken["lengths"]):
        np.testing.assert_allclose(
            outputs["audio_latents"][row, :length], spoken["latents"][row, :length], atol=1e-4
        )


def test_a_batch_equals_singles(gpt, prompt):
    together = speak(gpt, prompt, temperature=0.9, top_k=10, top_p=0.9)
    for row, length in enumerate(prompt["text_lengths"]):
        alone = {name: value[row : row + 1] for name, value in prompt.items()}
        alone["text_ids"] = alone["text_ids"][:, :length]
        single = speak(gpt, alone, temperature=0.9, top_k=10, top_p=0.9)
        np.testing.assert_array_equal(single["codes"][0], together["codes"][row])


@pytest.mark.parametrize("jit", [False, True])
def test_graphs_equal_eager(gpt, prompt, jit):
    @tf.function(jit_compile=jit)
    def in_graph(values):
        return generate(gpt, **values, temperature=0.8, top_k=12)

    expected = speak(gpt, prompt, temperature=0.8, top_k=12)
    np.testing.assert_array_equal(in_graph(prompt)["codes"], expected["codes"])


def test_rows_end_with_stop_codes(gpt, prompt):
    spoken = speak(gpt, prompt)
    for codes, length, finished in zip(
        spoken["codes"], spoken["lengths"], spoken["finished"], strict=True
    ):
        assert (codes[:length] < CODES).all()
        assert (codes[length:] == gpt.stop_audio_token).all()
        assert finished == (length < STEPS)


def test_never_longer_than_the_position_table(gpt, prompt):
    long = prompt | {"uniforms": np.full((3, 500), 0.5, "float32")}
    assert speak(gpt, long)["codes"].shape == (3, gpt.max_new_codes)


def test_a_text_beyond_the_position_table_is_refused(gpt, prompt):
    fitting = prompt | {"text_ids": np.ones((3, gpt.max_text_tokens), "int32")}
    assert speak(gpt, fitting)["codes"].shape == (3, STEPS)
    long = prompt | {"text_ids": np.ones((3, gpt.max_text_tokens + 1), "int32")}
    with pytest.raises(ConfigError, match="max_text_tokens"):
        generate(gpt, **long)


def test_codes_beyond_the_position_table_are_refused(gpt, prompt):
    size = gpt.max_audio_tokens + 2
    lengths = np.full(3, size, "int32")
    assert teacher(gpt, prompt, np.ones((3, size), "int32"), lengths)
    with pytest.raises(ConfigError, match="max_audio_tokens"):
        teacher(gpt, prompt, np.ones((3, size + 1), "int32"), lengths)


def test_no_steps_give_no_codes(gpt, prompt):
    spoken = speak(gpt, prompt | {"uniforms": np.zeros((3, 0), "float32")})
    assert spoken["codes"].shape == (3, 0)
    assert not spoken["finished"].any()


def test_text_padding_does_not_change_logits(gpt, prompt):
    codes, lengths = np.full((3, 5), 3, "int32"), np.array([5, 2, 0], "int32")
    together = teacher(gpt, prompt, codes, lengths)
    for row, (text, length) in enumerate(zip(prompt["text_lengths"], lengths, strict=True)):
        alone = {name: value[row : row + 1] for name, value in prompt.items()}
        alone["text_ids"] = alone["text_ids"][:, :text]
        single = teacher(gpt, alone, codes[row : row + 1, :length], lengths[row : row + 1])
        for name, size in (("text_logits", text + 2), ("audio_logits", length + 1)):
            np.testing.assert_allclose(single[name][0], together[name][row, :size], atol=1e-5)


def test_greedy_is_the_likeliest_code(gpt, prompt):
    spoken = speak(gpt, prompt, greedy=True)
    codes = np.where(spoken["codes"] < CODES, spoken["codes"], 0)
    logits = np.array(teacher(gpt, prompt, codes, spoken["lengths"])["audio_logits"])
    logits[..., gpt.start_audio_token] = -np.inf
    for row, length in enumerate(spoken["lengths"]):
        np.testing.assert_array_equal(
            logits[row, :length].argmax(-1), spoken["codes"][row, :length]
        )


def test_repetition_penalty_forbids_repeats(gpt, prompt):
    few = prompt | {"uniforms": prompt["uniforms"][:, :10]}
    for codes, length in zip(*map(speak(gpt, few, repetition_penalty=1e6, temperature=0.1).get,
                                  ("codes", "lengths")), strict=True):  # fmt: skip
        assert len(set(codes[:length])) == length


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0.0),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("repetition_penalty", 0),
    ],
)
def test_options_out_of_range_are_named(gpt, prompt, name, value):
    with pytest.raises(ConfigError, match=name):
        generate(gpt, **prompt, **{name: value})


def test_alignment_is_attention_to_the_valid_text(gpt, prompt):
    inputs = {k: v for k, v in prompt.items() if k != "uniforms"}
    inputs |= {"audio_codes": np.full((3, 5), 3, "int32"), "code_lengths": np.full(3, 5, "int32")}
    alignment = np.asarray(gpt.alignment(inputs))
    assert alignment.shape == (3, 6, 14)
    assert (alignment >= 0).all()
    assert (alignment.sum(-1) < 1).all()
    for row, length in enumerate(prompt["text_lengths"]):
        assert alignment[row, :, length + 2 :].max(initial=0) < 1e-6


def test_dropout_acts_in_training_only(gpt, prompt):
    codes, lengths = np.full((3, 5), 3, "int32"), np.full(3, 5, "int32")
    inputs = {k: v for k, v in prompt.items() if k != "uniforms"}
    inputs |= {"audio_codes": codes, "code_lengths": lengths}
    runs = [np.asarray(gpt(inputs, training=True)["audio_logits"]) for _ in range(2)]
    assert not np.allclose(*runs)
    calm = [np.asarray(gpt(inputs)["audio_logits"]) for _ in range(2)]
    np.testing.assert_array_equal(*calm)


@pytest.fixture
def bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def test_bfloat16_stays_near_float32(gpt, prompt, bfloat16):
    rounded = twin(gpt)
    codes, lengths = np.full((3, 5), 3, "int32"), np.full(3, 5, "int32")
    exact = np.asarray(teacher(gpt, prompt, codes, lengths)["audio_latents"])
    outputs = teacher(rounded, prompt, codes, lengths)
    assert keras.backend.standardize_dtype(outputs["audio_latents"].dtype) == "bfloat16"
    error = np.abs(np.asarray(outputs["audio_latents"], "float32") - exact)
    assert error.mean() < 0.03 * np.abs(exact).mean()


@pytest.mark.parametrize("jit", [False, True])
def test_generation_in_bfloat16_equals_teacher_forcing(gpt, prompt, bfloat16, jit):
    rounded = twin(gpt)
    spoken = tf.function(lambda values: generate(rounded, **values), jit_compile=jit)(prompt)
    codes = np.where(spoken["codes"] < CODES, spoken["codes"], 0)
    outputs = teacher(rounded, prompt, codes, spoken["lengths"])
    for row, length in enumerate(np.asarray(spoken["lengths"])):
        forced = np.asarray(outputs["audio_latents"][row, :length], "float32")
        stepped = np.asarray(spoken["latents"][row, :length], "float32")
        assert np.abs(forced - stepped).mean() < 0.03 * np.abs(forced).mean()


def twin(gpt: GPT) -> GPT:
    """The same GPT under the policy of the moment."""
    other = GPT.from_config(gpt.get_config())
    other.build()
    for mine, its in zip(other.weights, gpt.weights, strict=True):
        assert mine.path == its.path
        mine.assign(its)
    return other


def test_codes_read_again_go_on_as_if_never_left(gpt, prompt):
    inputs = {name: value for name, value in prompt.items() if name != "uniforms"}
    whole = speak(gpt, prompt, min_codes=STEPS)
    state = begin(gpt, **inputs, capacity=STEPS - 9, codes=whole["codes"][:, :9])
    np.testing.assert_allclose(state["latents"], whole["latents"][:, :9], atol=1e-4)
    rest, _ = advance(gpt, state, prompt["uniforms"][:, 9:], min_codes=STEPS)
    np.testing.assert_array_equal(rest["codes"], whole["codes"][:, 9:])
    np.testing.assert_allclose(rest["latents"], whole["latents"][:, 9:], atol=1e-4)


def test_options_of_each_row_are_its_own(gpt, prompt):
    rows = [
        {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "greedy": True},
        {"temperature": 0.7, "top_k": 5, "top_p": 0.8, "repetition_penalty": 3.0, "greedy": False},
        {"temperature": 2.0, "top_k": 0, "top_p": 0.9, "repetition_penalty": 1.5, "greedy": False},
    ]
    columns = {name: np.array([[row[name]] for row in rows]) for name in rows[0]}
    columns = {name: value.astype("float32") for name, value in columns.items()}
    columns["top_k"] = columns["top_k"].astype("int32")
    columns["greedy"] = columns["greedy"][:, 0].astype(bool)
    bounds = np.array([STEPS, 7, 15], "int32")
    together = speak(gpt, prompt, **columns, min_codes=STEPS, max_codes=bounds)
    np.testing.assert_array_equal(together["lengths"], bounds)
    for row, options in enumerate(rows):
        own = {name: value[row : row + 1] for name, value in prompt.items()}
        alone = speak(gpt, own, **options, min_codes=STEPS)
        bound = bounds[row]
        np.testing.assert_array_equal(together["codes"][row, :bound], alone["codes"][0, :bound])
