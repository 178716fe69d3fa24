"""The order of batches is a pure function of seed and epoch."""

import itertools

import numpy as np
import pytest

import myxtts.data.plan as plan_module
from myxtts.data.plan import BatchPlan, members_of

LENGTHS = np.random.default_rng(1).integers(50, 500, 103)
SPEAKERS = np.arange(103) % 5


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


def test_every_utterance_is_used_once_an_epoch():
    plan = BatchPlan(LENGTHS, SPEAKERS, 8, seed=0)
    for epoch in range(3):
        batches = plan.epoch(epoch)
        assert sorted(np.concatenate(batches)) == list(range(103))
        assert len(batches) == plan.steps_per_epoch == 13


def test_the_order_depends_on_seed_and_epoch_alone():
    first, again = (BatchPlan(LENGTHS, SPEAKERS, 8, seed=3) for _ in range(2))
    again.epoch(9)
    assert same(first.epoch(2), again.epoch(2))
    assert not same(first.epoch(2), first.epoch(3))
    assert not same(first.epoch(2), BatchPlan(LENGTHS, SPEAKERS, 8, seed=4).epoch(2))


def test_batches_hold_utterances_of_similar_length():
    plan = BatchPlan(LENGTHS, SPEAKERS, 8, seed=0)
    spread = np.mean([np.ptp(LENGTHS[batch]) for batch in plan.epoch(0)])
    shuffled = np.random.default_rng(0).permutation(103)
    loose = np.mean([np.ptp(LENGTHS[shuffled[i : i + 8]]) for i in range(0, 103, 8)])
    assert spread < loose / 4


@pytest.mark.parametrize("speakers_per_batch", [0, 2])
def test_a_stream_can_begin_at_any_step(speakers_per_batch):
    plan = BatchPlan(LENGTHS, SPEAKERS, 8, seed=0, speakers_per_batch=speakers_per_batch)
    steps = plan.steps_per_epoch
    whole = list(itertools.islice(plan.stream(), 3 * steps))
    assert [epoch for epoch, _ in whole] == [0] * steps + [1] * steps + [2] * steps
    for start in (1, steps - 1, steps, steps + 1, 2 * steps + 3):
        resumed = list(itertools.islice(plan.stream(start), 3 * steps - start))
        assert [epoch for epoch, _ in resumed] == [epoch for epoch, _ in whole[start:]]
        assert same([rows for _, rows in resumed], [rows for _, rows in whole[start:]])


def test_balanced_batches_hold_as_many_utterances_of_each_speaker():
    plan = BatchPlan(LENGTHS, SPEAKERS, 8, seed=0, speakers_per_batch=4)
    for batch in plan.epoch(0):
        _, counts = np.unique(SPEAKERS[batch], return_counts=True)
        assert counts.tolist() == [2, 2, 2, 2]
        assert len(set(batch.tolist())) == 8


def test_balanced_batches_never_exceed_the_batch_size_or_the_speakers():
    few = BatchPlan(LENGTHS, SPEAKERS, 4, seed=0, speakers_per_batch=50)
    assert {len(batch) for batch in few.epoch(0)} == {4}
    lone = BatchPlan([10, 20], [0, 1], 8, seed=0, speakers_per_batch=50)
    assert {len(batch) for batch in lone.epoch(0)} == {8}


def test_a_batch_may_be_larger_than_the_corpus():
    (batch,) = BatchPlan([10, 20, 30], [0, 0, 0], 8, seed=0).epoch(0)
    assert sorted(batch) == [0, 1, 2]


def test_a_speaker_with_few_utterances_is_heard_in_all_of_them_before_one_comes_again():
    speakers = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    plan = BatchPlan(np.arange(8), speakers, 10, seed=0, speakers_per_batch=2)
    for epoch in range(20):
        for batch in plan.epoch(epoch):
            _, times = np.unique(batch, return_counts=True)
            assert sorted(times[:3].tolist()) == [1, 2, 2]
            assert times[3:].tolist() == [1] * 5


def test_members_of_speakers_are_their_utterances():
    speakers = np.random.default_rng(0).integers(0, 40, 500)
    found = members_of(speakers)
    assert same(found, [np.flatnonzero(speakers == name) for name in np.unique(speakers)])


def test_of_speakers_with_many_utterances_a_batch_draws_its_own(monkeypatch):
    monkeypatch.setattr(plan_module, "SHUFFLED", 10)
    plan = BatchPlan(LENGTHS, SPEAKERS, 8, seed=0, speakers_per_batch=2)
    batches = plan.epoch(1)
    assert same(batches, plan.epoch(1)) and len(batches) == round(103 / 8)
    for batch in batches:
        assert len(set(batch.tolist())) == 8
        assert [len(set(SPEAKERS[part])) for part in (batch[:4], batch[4:])] == [1, 1]
