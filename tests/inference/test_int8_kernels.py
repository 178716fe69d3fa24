"""Every compiled function is what NumPy makes of its formula in float64, within 1e-5."""

import os
import subprocess
import sys

import numpy as np
import pytest

from myxtts.inference.int8_engine import load_kernels

pytest.importorskip("numba", reason="numba, of the int8 engine, is not installed")
EPSILON = 1e-5
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def kernels():
    return load_kernels()


def normal(*shape) -> np.ndarray:
    return RNG.normal(size=shape).astype("float32")


def matrix(kernels, layers: int, outputs: int, inputs: int):
    weights = RNG.integers(-127, 128, (layers, outputs, inputs)).astype("int8")
    scales = RNG.uniform(0.5, 1.5, (layers, outputs)).astype("float32") / (70 * inputs**0.5)
    return kernels.Matrix(weights, scales.astype("float32"), 0.1 * normal(layers, outputs))


def norm(kernels, rows: int, dim: int):
    return kernels.Norm(1 + 0.1 * normal(rows, dim), 0.1 * normal(rows, dim))


def blocks(kernels, layers: int, dim: int):
    shapes = (3 * dim, dim), (dim, dim), (4 * dim, dim), (dim, 4 * dim)
    matrices = [matrix(kernels, layers, *shape) for shape in shapes]
    norms = [norm(kernels, rows, dim) for rows in (layers, layers, 2)]
    return kernels.Blocks(*matrices, *norms, np.array([EPSILON], "float32"))


def assert_close(actual, expected):
    expected = np.asarray(expected)
    assert np.abs(actual - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def normalised(inputs, gamma, beta):
    inputs = inputs.astype("float64")
    centred = inputs - inputs.mean(axis=1, keepdims=True)
    return centred / np.sqrt(inputs.var(axis=1, keepdims=True) + EPSILON) * gamma + beta


def product(inputs, weights, scales, bias):
    return inputs.astype("float64") @ (weights.astype("float64").T * scales) + bias


def gelu(values):
    return 0.5 * values * (1 + np.tanh(np.sqrt(2 / np.pi) * (values + 0.044715 * values**3)))


def attended(qkv, keys, values, lengths):
    """Output of attention, and caches with the new position in them."""
    batch, heads, _, size = keys.shape
    query, key, value = np.moveaxis(qkv.reshape(batch, 3, heads, size), 1, 0)
    keys, values, result = keys.copy(), values.copy(), np.zeros((batch, heads, size))
    for item, length in enumerate(lengths):
        keys[item, :, length], values[item, :, length] = key[item], value[item]
        scores = np.einsum("hsd,hd->hs", keys[item, :, : length + 1], query[item]) / size**0.5
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        result[item] = np.einsum("hs,hsd->hd", weights, values[item, :, : length + 1])
    return result.reshape(batch, -1), keys, values


@pytest.mark.parametrize("batch", [1, 3])
def test_norm(kernels, batch):
    inputs, gamma, beta = 3 + 2 * normal(batch, 40), normal(40), normal(40)
    outputs = np.empty_like(inputs)
    kernels.normalise(inputs, gamma, beta, np.float32(EPSILON), outputs)
    assert_close(outputs, normalised(inputs, gamma, beta))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [(7, 5), (96, 32), (64, 1030)])
def test_product(kernels, batch, shape):
    one, inputs, before = matrix(kernels, 1, *shape), normal(batch, shape[1]), normal(batch, 1)
    arrays = [array[0] for array in one]
    expected, before = product(inputs, *arrays), np.repeat(before, shape[0], axis=1)
    for kind, wanted in (
        (kernels.STORED, expected),
        (kernels.ACTIVATED, gelu(expected)),
        (kernels.ADDED, expected + before),
    ):
        outputs = before.copy()
        kernels.multiply(*arrays, inputs, outputs, kind)
        assert_close(outputs, wanted)


@pytest.mark.parametrize("lengths", [[0], [5], [7, 2, 4]])
def test_attention(kernels, lengths):
    keys, values = (4 * normal(len(lengths), 2, 8, 16) for _ in range(2))
    qkv, outputs = normal(len(lengths), 96), np.empty((len(lengths), 32), "float32")
    expected, *caches = attended(qkv, keys, values, lengths)
    kernels.attend(qkv, keys, values, np.array(lengths), outputs)
    assert_close(outputs, expected)
    np.testing.assert_array_equal(keys, caches[0])
    np.testing.assert_array_equal(values, caches[1])


@pytest.mark.parametrize("lengths", [[4], [3, 1]])
def test_step(kernels, lengths):
    dim, heads, layers = 32, 4, 3
    weights, hidden = blocks(kernels, layers, dim), normal(len(lengths), dim)
    keys, values = (normal(layers, len(lengths), heads, 6, dim // heads) for _ in range(2))
    expected = hidden.astype("float64")
    for layer in range(layers):
        qkv, out, expand, contract = ([a[layer] for a in one] for one in weights[:4])
        first, second = ([a[layer] for a in one] for one in (weights.first, weights.second))
        joined = product(normalised(expected, *first), *qkv)
        heard, *_ = attended(joined, keys[layer], values[layer], lengths)
        expected = expected + product(heard, *out)
        wide = gelu(product(normalised(expected, *second), *expand))
        expected = expected + product(wide, *contract)
    for gamma, beta in zip(*weights.closing, strict=True):
        expected = normalised(expected, gamma, beta)
    filled = np.array(lengths)
    kernels.step(hidden, filled, weights, keys, values)
    assert_close(hidden, expected)
    assert filled.tolist() == [length + 1 for length in lengths]


PROGRAM = """
import time
import numpy as np
from myxtts.inference.int8_engine import Int8Engine
from myxtts.models.gpt import GPT

gpt = GPT(6, 256, 4, 50, 40, 80, 60)
gpt.build()
engine = Int8Engine(gpt, 1)
step, blocks = engine._kernels.step, engine._blocks
keys, values = (np.ones((6, 1, 4, 200, 64), "float32") for _ in range(2))
times = []
for _ in range(50):
    started = time.process_time()
    step(np.ones((1, 256), "float32"), np.array([150]), blocks, keys, values)
    times.append(time.process_time() - started)
print(sum(step.stats.cache_hits.values()), min(times))
"""


@pytest.mark.slow
def test_what_was_compiled_is_kept_and_as_fast(kernels, tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    times = []
    for hits in "01":
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
        )
        assert done.stdout.startswith(hits), done.stderr[-500:]
        times.append(float(done.stdout.split()[1]))
    # Integer kernels were seen to be three times slower from the disk.
    assert times[1] < 1.5 * times[0]
