"""S-norm and AS-norm beside the formula, written once more with loops."""

import numpy as np
import pytest

from myxtts.errors import DataError
from myxtts.verification.score_norm import ScoreNorm, centroids


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def drawn():
    """Embeddings of 7 clips and a cohort of 12 speakers, and 20 trials."""
    rng = np.random.default_rng(3)
    clips, cohort = unit(rng.normal(size=(7, 5))), unit(rng.normal(size=(12, 5)))
    enrol, test = rng.integers(7, size=(2, 20))
    return clips, cohort, enrol, test


def twin(clips, cohort, enrol, test, nearest) -> list[float]:
    """Matejka et al. 2017, equation 2 and its adaptive cohort, one trial at a time."""
    scores = []
    for one, other in zip(enrol, test, strict=True):
        score = float(clips[one] @ clips[other])
        halves = []
        for side in (one, other):
            against = sorted((float(clips[side] @ speaker) for speaker in cohort), reverse=True)
            against = against[:nearest]
            mean = sum(against) / len(against)
            variance = sum((value - mean) ** 2 for value in against) / len(against)
            halves.append((score - mean) / variance**0.5)
        scores.append(sum(halves) / 2)
    return scores


@pytest.mark.parametrize("nearest", [None, 12, 5, 2])
def test_both_norms_equal_the_formula(drawn, nearest):
    clips, cohort, enrol, test = drawn
    cosines = np.sum(clips[enrol] * clips[test], axis=1)
    ours = ScoreNorm(cohort, nearest)(cosines, clips, enrol, test)
    np.testing.assert_allclose(ours, twin(*drawn, nearest), rtol=0, atol=1e-10)


def test_more_neighbours_than_speakers_are_all_of_them(drawn):
    clips, cohort, enrol, test = drawn
    cosines = np.sum(clips[enrol] * clips[test], axis=1)
    whole = ScoreNorm(cohort)(cosines, clips, enrol, test)
    np.testing.assert_array_equal(ScoreNorm(cohort, 100)(cosines, clips, enrol, test), whole)


def test_the_sides_may_be_exchanged(drawn):
    clips, cohort, enrol, test = drawn
    cosines, norm = np.sum(clips[enrol] * clips[test], axis=1), ScoreNorm(cohort, 4)
    one, other = norm(cosines, clips, enrol, test), norm(cosines, clips, test, enrol)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_a_speaker_of_the_cohort_counts_once():
    rows = unit(np.array([[1.0, 0.1], [1.0, -0.1], [0.0, 2.0]]))
    found = centroids(rows, ["b", "b", "a"])
    np.testing.assert_allclose(found, [[0, 1], [1, 0]], atol=1e-12)


def test_a_cohort_that_normalises_nothing_is_refused(drawn):
    clips, cohort, enrol, test = drawn
    with pytest.raises(DataError, match="a cohort of 1 speaker normalises nothing"):
        ScoreNorm(cohort[:1])
    same = np.repeat(cohort[:1], 3, axis=0)
    with pytest.raises(DataError, match="equally near"):
        ScoreNorm(same)(np.zeros(20), clips, enrol, test)
