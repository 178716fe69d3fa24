"""Few sizes for utterances of all lengths."""

import numpy as np
import pytest

from myxtts.data.buckets import Buckets
from myxtts.data.plan import BatchPlan

RNG = np.random.default_rng(2)
CODES = RNG.integers(8, 200, 300)
TEXTS = np.minimum(CODES // 2 + RNG.integers(2, 60, 300), 120)


def buckets(budget: int = 800, **options) -> Buckets:
    return Buckets(CODES, TEXTS, budget, **options)


def test_every_utterance_fits_its_bucket_and_none_before():
    found = buckets()
    assert sorted(np.concatenate(found.members)) == list(range(300))
    for number, members in enumerate(found.members):
        assert (CODES[members] <= found.sizes[number, 0]).all()
        assert (TEXTS[members] <= found.sizes[number, 1]).all()
        if number:
            smaller = found.sizes[number - 1]
            assert ((CODES[members] > smaller[0]) | (TEXTS[members] > smaller[1])).all()


def test_sizes_are_few_grow_and_are_rounded():
    sizes = buckets(count=3).sizes
    assert len(sizes) == 3
    assert (np.diff(sizes, axis=0) >= 0).all()
    assert (sizes % 16 == 0).all()


def test_batches_hold_about_the_budget():
    found = buckets(budget=1000)
    for rows, (codes, _) in zip(found.rows, found.sizes, strict=True):
        assert 1000 - codes < rows * codes <= 1000
    assert min(buckets(budget=1).rows) == 1


def test_an_epoch_has_every_utterance_in_batches_of_full_size():
    found = buckets()
    plan = BatchPlan(CODES, np.zeros(300, int), 4, seed=1, buckets=found)
    batches = plan.epoch(0)
    assert set(np.concatenate(batches)) == set(range(300))
    for batch in batches:
        size = found.fit(CODES[batch], TEXTS[batch])
        number = found.sizes.tolist().index(list(size))
        assert len(batch) == found.rows[number]
        assert set(batch) <= set(found.members[number])


def test_the_stream_may_begin_anywhere():
    plan = BatchPlan(CODES, np.zeros(300, int), 4, seed=1, buckets=buckets())
    start = plan.steps_per_epoch - 2
    whole, part = plan.stream(), plan.stream(start)
    for _ in range(start):
        next(whole)
    for _ in range(5):
        (epoch, one), (other_epoch, other) = next(whole), next(part)
        assert epoch == other_epoch
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_utterances_of_one_length_are_one_bucket(count):
    found = Buckets([20, 20, 20], [5, 6, 7], 100, count)
    assert found.sizes.tolist() == [[32, 16]]
    assert found.rows == [3]
