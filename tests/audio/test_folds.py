"""Folds and their joining, beside RTVC's."""

import numpy as np
import pytest

from myxtts.audio.folds import fold, fold_starts, unfold
from tests.sv2tts_fixtures import fixture


@pytest.mark.parametrize("case", range(6))
def test_folds_equal_rtvcs(case):
    arrays = fixture("wavernn_fold")
    target, overlap = arrays[f"{case}/in/target_overlap"].tolist()
    folds = fold(arrays[f"{case}/in/x"][0], target, overlap)
    np.testing.assert_array_equal(folds, arrays[f"{case}/out/folded"])
    joined = unfold(arrays[f"{case}/in/y"], overlap)
    np.testing.assert_allclose(joined, arrays[f"{case}/out/unfolded"], atol=1e-6)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            unfold(arrays[f"{case}/in/y"], overlap, honest=True),
            arrays[f"{case}/out/unfolded"],
            atol=1e-6,
        )


def test_folds_begin_where_they_should():
    np.testing.assert_array_equal(fold_starts(290, 60, 10), [0, 70, 140, 210])
    np.testing.assert_array_equal(fold_starts(5, 60, 10), [0])


def test_seams_of_the_original_go_to_nothing_and_honest_ones_do_not():
    folds = np.ones((3, 30))
    assert unfold(folds, 8)[24:28].min() < 0.6
    honest = unfold(folds, 8, honest=True)
    assert len(honest) == 3 * 22 + 8
    assert honest.min() >= 1
    assert honest.max() <= 2**0.5 + 1e-9


@pytest.mark.parametrize("overlap", [1, 2, 3, 5])
def test_short_overlaps_fade_as_rtvcs(overlap):
    """Its ramps are each of its own formula, which counts where they have one sample."""
    place = np.linspace(-1, 1, overlap - overlap // 2)
    rise, fall = (np.sqrt(0.5 * (1 + sign * place)) for sign in (1, -1))
    zeros = np.zeros(overlap // 2)
    joined = unfold(np.ones((2, 12)), overlap)
    seam = np.concatenate([fall, zeros]) + np.concatenate([zeros, rise])
    np.testing.assert_array_equal(joined[12 - overlap : 12], seam)


def test_no_overlap_is_laid_side_by_side():
    np.testing.assert_array_equal(unfold(np.arange(6.0).reshape(2, 3), 0), np.arange(6.0))
