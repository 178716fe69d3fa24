"""Voices left out: the span's coordinates lose nothing, and predictors do what they say."""

import numpy as np
import pytest

from tests.tools.kokoro.fakes import fake_voices
from tools.styletts2_kokoro import learning, predictors
from tools.styletts2_kokoro.leave_one_out import HALVES, folds, predictions, score

VOICES = np.stack(list(fake_voices(10).values()))


@pytest.fixture(scope="module")
def made():
    return {half: folds(VOICES, half) for half in HALVES}


def test_the_ceiling_is_the_nearest_point_in_the_others_span(made):
    fold, place = made["timbre"][3], HALVES["timbre"]
    tables = VOICES[:, :, 0, place].astype("float64")
    median = np.median(tables[fold.others], axis=0)
    away = (tables - median).reshape(10, -1)
    found, *_ = np.linalg.lstsq(away[fold.others].T, away[3], rcond=None)
    nearest = found @ away[fold.others]
    assert fold.square == pytest.approx(away[3] @ away[3])
    assert fold.target @ fold.target == pytest.approx(nearest @ nearest, rel=1e-6)
    np.testing.assert_allclose(
        fold.coordinates @ fold.target, away[fold.others] @ away[3], rtol=1e-6
    )


def test_the_median_explains_nothing_and_the_nearest_point_most(made):
    for of in made.values():
        assert score(of, [0 * fold.target for fold in of]).r2 == 0
        ceiling = score(of, [fold.target for fold in of])
        assert ceiling.r2 == pytest.approx(ceiling.cosine**2, abs=0.05)
        assert ceiling.best_gain == pytest.approx(1)


def test_halved_predictions_want_a_gain_of_two(made):
    halved = score(made["prosody"], [fold.target / 2 for fold in made["prosody"]])
    assert halved.best_gain == pytest.approx(2)


def test_ridge_in_its_dual_form_is_ridge():
    rng = np.random.default_rng(0)
    given, wanted = rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    centred = given - given.mean(axis=0)
    primal = np.linalg.solve(centred.T @ centred + 0.3 * np.eye(4), centred.T @ wanted)
    np.testing.assert_allclose(predictors.ridge_weights(given, wanted, 0.3), primal)


def test_a_linear_kernel_is_what_a_very_wide_one_becomes():
    rng = np.random.default_rng(0)
    given, wanted, heard = rng.normal(size=(7, 4)), rng.normal(size=(7, 3)), rng.normal(size=4)
    wanted -= wanted.mean(axis=0)
    apart = np.linalg.norm(given[:, None] - given[None], axis=-1)
    width = 300.0
    scale = (width * np.median(apart[np.triu_indices(7, 1)])) ** 2
    wide = predictors.kernel_ridge(0.3 / scale, width)(given, wanted, heard)
    np.testing.assert_allclose(wide, predictors.ridge(0.3)(given, wanted, heard), rtol=1e-3)


def test_the_nearest_and_a_cold_softmax_are_one_voice():
    given, wanted = np.eye(3), np.arange(6.0).reshape(3, 2)
    heard = np.array([0.1, 0.9, 0.3])
    np.testing.assert_array_equal(predictors.nearest(given, wanted, heard), wanted[1])
    cold = predictors.softmax(0.001)(given, wanted, heard)
    np.testing.assert_allclose(cold, wanted[1])


def test_embeddings_that_say_nothing_are_worth_nothing_and_shuffling_costs(made):
    # What is heard: the voices' own tables through a fixed matrix.
    rng = np.random.default_rng(0)
    rows = VOICES[:, 50, 0] @ rng.normal(size=(256, 448)) / 16
    told = {
        half: score(of, predictions(of, rows, rows, predictors.ridge(1.0))).r2
        for half, of in made.items()
    }
    shuffled = np.roll(rows, 1, axis=0)
    for half, of in made.items():
        wrong = score(of, predictions(of, rows, shuffled, predictors.ridge(1.0))).r2
        assert wrong < told[half]


def test_what_is_chosen_has_the_highest_score_of_all_that_is_tried(made):
    rng = np.random.default_rng(0)
    rows = VOICES[:, 50, 0] @ rng.normal(size=(256, 448)) / 64
    chosen = learning.choose(made, rows, "resemblyzer+ecapa")
    best = sum(one.r2 for one in chosen.scores.values())
    for strength in learning.STRENGTHS:
        for loud in learning.loudnesses("resemblyzer+ecapa"):
            found = [
                score(of, predictions(of, rows * loud, rows * loud, predictors.ridge(strength))).r2
                for of in made.values()
            ]
            assert sum(found) <= best + 1e-12


def test_the_residual_network_is_the_ridge_until_it_has_learned():
    pytest.importorskip("torch", reason="the residual network is torch's")
    from tools.styletts2_kokoro.residual import _left_out, ridge_and_residual

    rng = np.random.default_rng(0)
    given, wanted, heard = rng.normal(size=(7, 4)), rng.normal(size=(7, 3)), rng.normal(size=4)
    fresh = ridge_and_residual(0.3, 0)(given, wanted, heard)
    np.testing.assert_allclose(fresh, predictors.ridge(0.3)(given, wanted, heard), rtol=1e-6)
    learned = ridge_and_residual(0.3, 3)(given, wanted, heard)
    assert np.abs(learned - fresh).max() > 1e-4
    np.testing.assert_array_equal(learned, ridge_and_residual(0.3, 3)(given, wanted, heard))
    assert _left_out(given, wanted, 0.3).shape == wanted.shape
