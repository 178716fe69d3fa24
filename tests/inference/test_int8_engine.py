"""The int8 engine makes the codes of the float model with the same rounded matrices."""

import dataclasses
import logging
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

from myxtts.config import SynthesisConfig
from myxtts.errors import ConfigError
from myxtts.generation.state import advance, begin
from myxtts.inference import int8_engine
from myxtts.inference.coder import Coder, Request
from myxtts.inference.int8_engine import Int8Engine, choose_threads
from myxtts.models.gpt import GPT
from myxtts.presets.quantised import dequantise, quantise

pytest.importorskip("numba", reason="numba, of the int8 engine, is not installed")
SETTINGS = SynthesisConfig(temperature=0.9, repetition_penalty=2.0, stream_codes=7)
# Layers, width, heads: of the tests, of tiny, of base, and XTTS-v2's width.
SIZES = [(2, 32, 4), (4, 192, 4), (6, 256, 4), (2, 1024, 16)]
CODES = 40


def make_gpt(layers: int = 2, dim: int = 32, heads: int = 4) -> GPT:
    """One whose matrices are rounded already, so that only the arithmetic differs."""
    gpt = GPT(layers, dim, heads, 50, 40, 80, 60, start_text_token=48, stop_text_token=0)
    gpt.build()
    rng = np.random.default_rng(1)
    for variable in gpt.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(0, 1.7 / dim**0.5, variable.shape))
        else:
            variable.assign(variable + rng.normal(0, 0.05, variable.shape))
    for matrix in gpt.matrices:
        matrix.assign(dequantise(*quantise(matrix)))
    return gpt


@pytest.fixture(scope="module")
def gpt() -> GPT:
    return make_gpt()


@pytest.fixture(scope="module")
def coders(gpt) -> dict[str, Coder]:
    return {name: Coder(gpt, changed(engine=name)) for name in ("tensorflow", "int8")}


def changed(**values) -> SynthesisConfig:
    return dataclasses.replace(SETTINGS, **values)


def request(bound: int = CODES, least: int = 0, seed: int = 0, dim: int = 32) -> Request:
    rng = np.random.default_rng(7)
    return Request(
        ids=rng.integers(1, 48, 9),
        latents=rng.normal(size=(1, 4, dim)).astype("float32"),
        bound=bound,
        least=least,
        rng=np.random.default_rng(seed),
    )


def assert_same(one, other):
    np.testing.assert_array_equal(one.codes, other.codes)
    assert one.finished == other.finished
    largest = np.abs(other.latents).max()
    np.testing.assert_allclose(one.latents, other.latents, rtol=0, atol=1e-4 * largest)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_greedy_codes_are_those_of_the_float_model(size):
    gpt, asked = make_gpt(*size), {"least": CODES, "dim": size[1]}
    made = [
        Coder(gpt, changed(temperature=0.0, engine=engine)).whole(request(**asked))
        for engine in ("int8", "tensorflow")
    ]
    assert len(made[0].codes) == CODES
    assert_same(*made)


@pytest.mark.parametrize("seed", [0, 1])
def test_drawn_codes_are_those_of_the_float_model(coders, seed):
    assert_same(*(coders[name].whole(request(seed=seed)) for name in ("int8", "tensorflow")))


def test_pieces_joined_are_the_whole(coders):
    whole = coders["tensorflow"].whole(request(seed=0))
    pieces = list(coders["int8"].pieces(request(seed=0)))
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate([piece.codes for piece in pieces]), whole.codes)


@pytest.mark.parametrize("bound", [1, 7, 77])
def test_no_more_codes_than_the_bound(coders, bound):
    made = coders["int8"].whole(request(bound, least=bound))
    assert len(made.codes) == bound
    assert not made.finished


def test_a_stream_that_is_broken_off_leaves_nothing(coders):
    stream = coders["int8"].pieces(request(least=CODES))
    next(stream)
    stream.close()
    assert coders["int8"]._int8._speeches == {}


def batch_of_two(gpt: GPT) -> dict:
    """A prompt of two texts of unlike lengths."""
    rng = np.random.default_rng(3)
    latents = rng.normal(size=(2, 4, 32)).astype("float32")
    return begin(gpt, rng.integers(1, 48, (2, 9)), tf.constant([9, 4]), latents, 12)


def test_rows_of_a_batch_are_those_of_the_float_model(gpt):
    engine, state = Int8Engine(gpt), batch_of_two(gpt)
    uniforms = tf.zeros((2, 12))
    own = engine.take_over(state, 12)
    made = [
        advance(gpt, start, uniforms, greedy=True, min_codes=12, read=read)[0]
        for start, read in ((own, engine.read), (state, None))
    ]
    np.testing.assert_array_equal(made[0]["codes"], made[1]["codes"])
    np.testing.assert_allclose(made[0]["latents"], made[1]["latents"], atol=3e-4)
    with pytest.raises(IndexError, match="no room"):
        advance(gpt, own, uniforms, greedy=True, min_codes=12, read=engine.read)


def test_concurrent_speeches_do_not_mix(coders):
    coder, made = coders["int8"], {}

    def speak(seed: int) -> None:
        made[seed] = list(coder.pieces(request(seed=seed, least=30)))

    threads = [threading.Thread(target=speak, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, pieces in made.items():
        alone = coder.whole(request(seed=seed, least=30))
        codes = np.concatenate([piece.codes for piece in pieces])
        np.testing.assert_array_equal(codes, alone.codes)
    assert len(made) == 3


def test_weights_that_are_not_rounded_are_rounded(gpt):
    rough = make_gpt()
    rng = np.random.default_rng(2)
    for matrix in rough.matrices:
        _, scales = quantise(matrix)
        moved = matrix + 0.2 * scales * rng.uniform(-1, 1, matrix.shape)
        matrix.assign(moved.numpy())
    for own, exact in zip(Int8Engine(rough)._blocks[:4], Int8Engine(gpt)._blocks[:4], strict=True):
        assert np.abs(own.weights.astype(int) - exact.weights).max() <= 1


def test_beams_stay_with_tensorflow_and_it_is_said(gpt, caplog):
    settings = changed(temperature=0.0, num_beams=2, engine="int8")
    with caplog.at_level(logging.INFO):
        coder = Coder(gpt, settings)
    assert coder.engine == "tensorflow"
    assert "beam search is made by TensorFlow" in caplog.text
    plain = Coder(gpt, changed(temperature=0.0, num_beams=2))
    np.testing.assert_array_equal(coder.whole(request()).codes, plain.whole(request()).codes)


def test_xla_is_not_for_it():
    with pytest.raises(ConfigError, match="engine int8 has none"):
        changed(engine="int8", xla=True)


def test_an_unknown_engine_is_named():
    with pytest.raises(ConfigError, match="engine"):
        changed(engine="torch")


def test_without_numba_a_sentence_names_the_extra(monkeypatch, gpt):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "myxtts.inference.int8_kernels", raising=False)
    monkeypatch.delattr("myxtts.inference.int8_kernels", raising=False)
    with pytest.raises(ConfigError, match=r"needs numba .*pip install '\.\[int8\]'"):
        Int8Engine(gpt)


def test_threads_are_as_many_as_there_are_and_pay(monkeypatch):
    import numba

    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 4)
    assert [choose_threads(0, dim) for dim in (32, 256, 512, 1024)] == [1, 1, 1, 4]
    assert choose_threads(3, 32) == 3
    with pytest.raises(ConfigError, match="--threads 5 is more than numba's 4"):
        choose_threads(5, 1024)


def test_a_long_compilation_is_told(monkeypatch, caplog):
    monkeypatch.setattr(int8_engine, "NOTED_S", 0.0)
    with caplog.at_level(logging.INFO):
        int8_engine._warm_up(int8_engine.load_kernels())
    assert "compiled in" in caplog.text
