"""The methods of search against one another: their slopes, and what they cost."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the voice optimiser is torch's")

from tests.tools.kokoro.fakes import BandEmbedder, FakeBackend, fake_voices  # noqa: E402
from tools.kokoro_voice.config import OptimizerConfig  # noqa: E402
from tools.kokoro_voice.coordinates import build_space  # noqa: E402
from tools.kokoro_voice.gradients import METHODS  # noqa: E402
from tools.kokoro_voice.objective import Objective  # noqa: E402

CONFIG = OptimizerConfig(batch_size=3, halves="joint")
COMPONENTS = 8


def objective(config=CONFIG, texts=("hello",)) -> Objective:
    voices = np.stack(list(fake_voices().values()))
    backend, embedder = FakeBackend(), BandEmbedder()
    tokens = [backend.tokens(text) for text in texts]
    target = embedder.embed(
        torch.from_numpy(backend.synthesize(tokens[0], voices[0, 0])[0]), 24_000
    )
    return Objective(backend, embedder, build_space(voices, config), target, tokens, config)


def method(name, config=CONFIG, texts=("hello",)):
    if name == "cma":
        pytest.importorskip("cma", reason="the package cma is not installed")
    point = np.full(COMPONENTS, 0.2, "float32")
    return METHODS[name](objective(config, texts), config, point)


def test_finite_differences_are_the_gradient():
    point = np.linspace(-1.5, 1.5, COMPONENTS).astype("float32")
    here, exact = method("autograd").slope(point, 1)
    there, near = method("finite-diff", replace(CONFIG, fd_epsilon=1e-2)).slope(point, 1)
    assert here.loss == pytest.approx(there.loss, abs=1e-6)
    assert np.dot(exact, near) / np.linalg.norm(exact) / np.linalg.norm(near) > 0.98


def test_spsa_agrees_with_the_gradient_on_average():
    point = np.zeros(COMPONENTS, "float32")
    _, exact = method("autograd").slope(point, 1)
    spsa = method("spsa")
    mean = np.mean([spsa.slope(point, iteration)[1] for iteration in range(60)], axis=0)
    assert np.dot(exact, mean) / np.linalg.norm(exact) / np.linalg.norm(mean) > 0.8


@pytest.mark.parametrize(
    ("name", "syntheses"), [("autograd", 1), ("finite-diff", COMPONENTS + 1), ("spsa", 2)]
)
@pytest.mark.parametrize("texts", [("hello",), ("hello", "bye")])
def test_every_synthesis_is_counted(name, syntheses, texts):
    search = method(name, texts=texts)
    search.step(1)
    assert (
        search.objective.syntheses == search.objective.backend.calls - 1 == (syntheses * len(texts))
    )


def test_a_generation_of_cma_is_counted():
    search = method("cma")
    search.step(1)
    assert search.objective.syntheses == len(search.state()["told"][0])


@pytest.mark.parametrize("name", METHODS)
def test_a_step_tells_a_point_that_was_spoken(name):
    search = method(name)
    measured = search.step(1)
    (again,) = search.objective.measure(measured.coordinates[None])
    assert measured.loss == pytest.approx(again.loss, abs=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_restored_method_goes_on_as_the_first(name):
    first, second = method(name), method(name)
    first.step(1)
    state = first.state()
    first.step(2)
    second.restore(state)
    second.step(2)
    np.testing.assert_array_equal(first.coordinates, second.coordinates)


def test_the_penalty_begins_beyond_one_standard_deviation():
    judge = objective(replace(CONFIG, spread_weight=0.5))
    assert judge.penalty(torch.tensor([1.0, -1.0, 0.3])) == 0
    assert judge.penalty(torch.tensor([3.0, -1.0])) == pytest.approx(0.5 * 4 / 2)


def test_the_penalty_is_part_of_loss_and_gradient():
    point = np.full(COMPONENTS, 3, "float32")
    free, bound = (objective(replace(CONFIG, spread_weight=weight)) for weight in (0.0, 1.0))
    (one, slope), (other, steeper) = (o.measure_with_gradient(point) for o in (free, bound))
    assert other.loss == pytest.approx(one.loss + 4, rel=1e-4)
    assert other.similarity == pytest.approx(one.similarity)
    np.testing.assert_allclose(steeper - slope, 4 / COMPONENTS, rtol=1e-3)


def test_autograd_leaves_out_the_phase_of_the_source():
    judge = objective()
    judge.backend.source_gradient = True
    METHODS["autograd"](judge, CONFIG, np.zeros(COMPONENTS, "float32"))
    assert judge.backend.source_gradient is False
