"""A corpus knows its utterances, and keeps their features at hand."""

import numpy as np
import pytest

import myxtts.data.corpus as module
import myxtts.data.store as store_module
from myxtts.data.corpus import Corpus
from myxtts.data.xtts import open_corpus, open_store
from tests.data.conftest import learn


def reopen(folder, config, cache, make_tokenizer=learn):
    return open_corpus(folder, config, open_store(config.data, cache), make_tokenizer)


def test_a_corpus_knows_texts_speakers_and_lengths(corpus, micro_config, tmp_path):
    opened, report = reopen(corpus, micro_config, tmp_path)
    assert len(opened) == report.kept == 6
    assert opened.speaker_names == ["speaker_0", "speaker_1"]
    assert opened.speakers.tolist() == [0, 1, 0, 1, 0, 1]
    assert opened.companions(2).tolist() == [0, 4]
    assert opened.readings[3].ids.tolist() == opened.tokenizer.encode(
        "This is clip number 3.", "en"
    )
    assert opened.lengths.tolist() == [len(opened.feature(i, "dvae_mel")) for i in range(6)]


def test_a_companion_is_drawn_as_a_choice_among_all(corpus, micro_config, tmp_path):
    opened, _ = reopen(corpus, micro_config, tmp_path)
    for seed in range(20):
        drawn, chosen = (np.random.default_rng(seed) for _ in range(2))
        index = seed % 6
        assert opened.companion(index, drawn) == chosen.choice(opened.companions(index))
        assert drawn.random() == chosen.random()


def test_features_stay_in_memory_up_to_a_bound(corpus, micro_config, tmp_path, monkeypatch):
    opened, _ = reopen(corpus, micro_config, tmp_path)
    opened.feature(0, "wave")
    monkeypatch.setattr(module, "MEMORY_BYTES", 0)
    bare, _ = reopen(corpus, micro_config, tmp_path)

    def fail(path):
        raise AssertionError("the disk was read")

    monkeypatch.setattr(store_module, "_read", fail)
    assert opened.feature(0, "wave") is opened.feature(0, "wave")
    with pytest.raises(AssertionError, match="disk"):
        bare.feature(0, "wave")


def test_a_corpus_without_texts_needs_no_tokenizer(corpus, micro_config, tmp_path):
    opened, _ = reopen(corpus, micro_config, tmp_path)
    bare = Corpus(opened.utterances, opened.store, measure="wave")
    assert bare.lengths.tolist() == [len(bare.feature(i, "wave")) for i in range(6)]
    assert bare.readings == []


def test_every_so_many_th_utterance_can_be_held_out(corpus, micro_config, tmp_path):
    opened, _ = reopen(corpus, micro_config, tmp_path)
    rest, held = opened.split(3)
    assert held.utterances == [opened.utterances[index] for index in (2, 5)]
    assert rest.utterances == [opened.utterances[index] for index in (0, 1, 3, 4)]
    assert opened.split(20)[1].utterances == opened.utterances[5:]
    alone = Corpus(opened.utterances[:1], opened.store, "wave")
    assert alone.split(20) == (alone, alone)
