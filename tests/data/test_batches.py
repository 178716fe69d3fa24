"""A resumed stream of batches is the unbroken one."""

import itertools
from functools import partial

import numpy as np
import pytest

from myxtts.config import DataConfig
from myxtts.data.batches import make_dataset, make_validation, rounded_down
from myxtts.data.plan import BatchPlan
from myxtts.data.xtts import BatchOptions, decoder_batch, dvae_batch, gpt_batch

OPTIONS = BatchOptions(5, DataConfig(reference_seconds=0.5), reference_audio=True)


def builder(corpus, batch=gpt_batch) -> partial:
    return partial(batch, corpus, options=OPTIONS)


def plan_for(corpus, batch_size=2, **options):
    return BatchPlan(corpus.lengths, corpus.speakers, batch_size, seed=3, **options)


def take(dataset, count=None):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("batch", [dvae_batch, gpt_batch, decoder_batch])
def test_a_stream_that_begins_late_is_the_unbroken_stream(clips, batch):
    plan, build = plan_for(clips), builder(clips, batch)
    whole = take(make_dataset(plan, build), 11)
    for start in (1, 4, 6):
        assert_same(take(make_dataset(plan, build, start), 11 - start), whole[start:])


def test_an_epoch_uses_every_clip_once(clips):
    batches = take(make_dataset(plan_for(clips), builder(clips)), 4)
    lengths = np.concatenate([batch["mel_lengths"] for batch in batches])
    assert sorted(lengths) == sorted(clips.lengths)


def test_validation_is_one_pass_and_always_the_same(clips):
    first, again = (take(make_validation(clips.lengths, 3, builder(clips))) for _ in range(2))
    assert_same(first, again)
    lengths = np.concatenate([batch["mel_lengths"] for batch in first])
    assert sorted(lengths) == sorted(clips.lengths)
    assert [len(batch["mel"]) for batch in first] == [3, 3, 1]


def test_balanced_streams_hold_their_speakers(clips):
    plan = plan_for(clips, 4, speakers_per_batch=2)
    for batch in take(make_dataset(plan, builder(clips)), 6):
        assert np.bincount(batch["speaker_ids"]).tolist() == [2, 2]


def test_the_streams_spec_fixes_channels_and_frees_lengths(clips):
    spec = make_dataset(plan_for(clips), builder(clips, decoder_batch)).element_spec
    assert spec["mel"].shape.as_list() == [None, None, 80]
    assert spec["reference_mel"].shape.as_list() == [None, None, 80]
    assert spec["embedding"].shape.as_list() == [None, 7]
    assert spec["wave"].shape.as_list() == [None, None]
    assert spec["text_lengths"].shape.as_list() == [None]


def test_rounding_down_leaves_room_for_padding():
    assert [rounded_down(length, 16) for length in (15, 16, 17, 402)] == [0, 16, 16, 400]
