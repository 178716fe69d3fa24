"""What the benchmark of fits counts, and its tables."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the voice optimiser is torch's")

from benchmarks.kokoro_voice_sides import Search, best_of, blends, random_walk  # noqa: E402
from benchmarks.kokoro_voice_tables import tables  # noqa: E402
from tests.tools.kokoro_voice.test_gradients import COMPONENTS, CONFIG, objective  # noqa: E402
from tools.kokoro_voice.objective import Measurement  # noqa: E402


def measured(loss: float) -> Measurement:
    return Measurement(np.zeros(2), loss, 1 - loss)


@pytest.fixture
def search() -> Search:
    found = Search()
    for syntheses, loss in ((1, 0.5), (4, 0.6), (7, 0.3), (9, float("nan"))):
        found.offer(measured(loss), syntheses, 0.1 * syntheses)
    return found


def test_a_search_keeps_what_became_better(search):
    assert search.best.loss == 0.3
    assert search.trace == [(1, 0.1, 0.5), (7, 0.7, 0.7)]


def test_a_search_tells_its_similarity_at_a_cost_and_back(search):
    assert [search.similarity_within(count) for count in (0, 1, 6, 7)] == [None, 0.5, 0.5, 0.7]
    assert [search.syntheses_to(value) for value in (0.4, 0.6, 0.9)] == [1, 7, None]


def test_the_best_of_named_points_is_named():
    points = {f"v{n}": np.full(COMPONENTS, n / 2, "float32") for n in range(4)}
    goal = objective()
    found, ranked = best_of(goal, points)
    losses = {name: goal.measure(point[None])[0].loss for name, point in points.items()}
    assert found.name == ranked[0] == min(losses, key=losses.get)
    assert ranked == sorted(losses, key=losses.get)


def test_blends_are_of_two_voices_in_three_proportions():
    points = {name: np.eye(3, dtype="float32")[n] for n, name in enumerate("abc")}
    mixed = blends(points, "cab")
    assert len(mixed) == 9
    np.testing.assert_allclose(mixed["0.25 c + 0.75 a"], [0.75, 0, 0.25])


def test_a_random_walk_never_goes_to_the_worse():
    # Without the penalty the lower loss is the higher similarity.
    goal = objective(replace(CONFIG, spread_weight=0.0))
    found = random_walk(goal, np.zeros(COMPONENTS, "float32"), 0.3, seed=0)
    similarities = [row[2] for row in found.trace]
    assert similarities == sorted(similarities)
    assert len(found.trace) > 1


def test_tables_have_a_row_for_each_method_and_leave_gaps_where_nothing_was_run():
    def result(*trace):
        clip = {"resemblyzer": 0.5, "ecapa": 0.2, "wer": 0.0, "dnsmos": 3.4}
        return {"voice": "", "trace": trace, "unseen": [clip]}

    results = {
        ("anna", "own"): {"resemblyzer": 0.9, "ecapa": 0.8},
        ("anna", "finite-diff"): result((1, 1.0, 0.4), (56, 60.0, 0.6)),
        ("anna", "autograd"): result((1, 1.0, 0.4), (2, 2.0, 0.61), (20, 30.0, 0.8)),
        ("ben", "autograd"): result((1, 1.0, 0.5), (10, 9.0, 0.7)),
    }
    text = tables(results)
    assert "| finite-diff | 0.600 |  | 0.600 |" in text
    assert "| autograd | 0.800 | 0.700 | 0.750 |" in text
    assert "| anna | 0.600 | 56 | 2 | 28 x |" in text
    assert "| own | 0.900 | 0.800 |  |  |" in text
    assert "| finite-diff | 0.400 |  | 0.400 |" in text  # in as many syntheses as autograd's 20
