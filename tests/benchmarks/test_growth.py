"""What grows: slopes of known costs, corpora of synthetic clips; bulk work, by the processor."""

import json

import numpy as np
import pytest

from benchmarks import bulk, growth, growth_measures
from myxtts.errors import MyXTTSError

SIZES = [10, 100, 1000, 10_000]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_slope_of_a_power_is_the_power(power):
    costs = [3.0 * size**power for size in SIZES]
    assert growth.slope(SIZES, costs) == pytest.approx(power, abs=1e-9)


def test_slopes_are_told_where_a_cost_can_be():
    costs = {
        "open_s": [1.0 + 0.001 * size for size in SIZES],
        "square_s": [1e-6 * size**2 for size in SIZES],
        "tiny_ms": [0.001] * 4,
    }
    slopes = growth.slopes_of(SIZES, costs)
    # Start-up does not hide it: the first size is left out.
    assert 0.4 < slopes["open_s"] < 1 and slopes["tiny_ms"] is None
    assert slopes["square_s"] == pytest.approx(2.0)
    assert [growth.is_steep(value) for value in slopes.values()] == [False, True, False]


def test_what_grows_too_fast_ends_the_program(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(growth, "measured", lambda axis, sizes: {"a_s": [n**2.0 for n in sizes]})
    picture = tmp_path / "growth.png"
    args = growth.parser().parse_args(["--only", "text", "--output", str(picture)])
    with pytest.raises(MyXTTSError, match=r"text a_s \(2.0\)"):
        growth.main(args)
    told = json.loads(capsys.readouterr().out)
    assert told["slopes"] == {"a_s": 2.0} and told["taken"]
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_first_look_has_the_smaller_sizes():
    for axis, (_, sizes) in growth.SIZES.items():
        quick = growth.sizes_of(axis, quick=True)
        assert quick and quick == [size for size in sizes if size in quick] and len(quick) < 4
        assert axis in growth_measures.MEASURES


def test_synthetic_clips_open_without_a_feature_being_computed(tmp_path, monkeypatch):
    folders = growth_measures.write_clips(tmp_path / "clips", 25)
    monkeypatch.setattr("myxtts.data.store.read_audio", None)
    corpus = growth_measures._open(folders)
    assert len(corpus) == 25 and len(corpus.speaker_names) == growth_measures.SPEAKERS
    assert set(np.unique(corpus.lengths)) == set(growth_measures.FRAMES)


def test_work_of_two_is_compared_by_the_processor():
    assert bulk.per_core(2.0, 2.5) == pytest.approx(0.8)
