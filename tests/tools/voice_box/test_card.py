"""What the model card says of the speech that the model was trained on."""

import pytest

from tools.voice_box.card import _data, _limits


@pytest.mark.parametrize("recordings", [None, {}, {"folders": []}])
def test_a_corpus_without_recordings_is_synthetic(recordings):
    corpus = {"recordings": recordings}
    assert _data(corpus)[0].startswith("Synthetic speech, made by")
    assert "All of its speakers are synthetic" in _limits(corpus)[0]


def test_recordings_are_told():
    corpus = {"recordings": {"folders": ["voices"], "found": 3}}
    assert _data(corpus)[0].startswith("Synthetic speech and recordings, made by")
    assert "Most of its speakers are synthetic" in _limits(corpus)[0]
    assert "All of its speakers" in _limits(None)[0]
