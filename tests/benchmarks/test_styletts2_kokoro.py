"""The benchmark of voices told in one pass: its table on voices that are made up."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the benchmark's sides are torch's")

from benchmarks import (  # noqa: E402
    styletts2_kokoro,
    styletts2_kokoro_mixtures,
    styletts2_kokoro_readers,
    styletts2_kokoro_table,
    styletts2_kokoro_trials,
)
from tests.tools.kokoro.fakes import fake_voices  # noqa: E402
from tests.tools.styletts2_kokoro.fake_hearing import fake_map  # noqa: E402
from tools.kokoro.voice_space import SpaceShape, build_space  # noqa: E402
from tools.styletts2_kokoro.leave_one_out import folds, predictions, score  # noqa: E402
from tools.styletts2_kokoro.predictors import ridge  # noqa: E402

BOTH = "resemblyzer+ecapa"
VOICES = fake_voices(6)


@pytest.fixture
def heard():
    """Four clips of each voice that tell it through a fixed matrix, with a little noise."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(256, 448)) / 16
    return {
        name: pack[50, 0] @ matrix + 0.01 * rng.normal(size=(4, 448))
        for name, pack in VOICES.items()
    }


def cells(line):
    name, *values = line.strip("| ").split(" | ")
    return name, values


def test_the_table_has_every_way_and_zero_epochs_are_the_ridge(heard, monkeypatch):
    monkeypatch.setattr(styletts2_kokoro, "EPOCHS", (0, 2))
    rows = dict(map(cells, list(styletts2_kokoro.leave_one_out(VOICES, heard))[2:]))
    assert {"nearest voice", "kernel ridge", "ceiling", "mean of ridge and softmax"} <= set(rows)
    ridge = rows["**ridge, both, Resemblyzer 1.4 times as loud**"]
    assert rows["ridge and residual network, 0 epochs"] == ridge
    highest = max(float(values[0]) for values in rows.values())
    assert float(rows["ceiling"][0]) == highest


def test_each_map_makes_a_voice_of_its_own_part():
    maps = {name: fake_map(name, VOICES) for name in (BOTH, *BOTH.split("+"))}
    space = build_space(np.stack(list(VOICES.values())), SpaceShape())
    voices = styletts2_kokoro_table.one_pass_voices(maps, space, np.linspace(-1, 1, 448))
    assert list(voices) == ["centroid", "resemblyzer", "ecapa", BOTH]
    np.testing.assert_allclose(voices["centroid"][:, 0], space.origin, atol=1e-6)
    assert np.abs(voices["ecapa"] - voices["resemblyzer"]).max() > 1e-3


def test_a_voice_left_out_is_told_by_the_others(heard):
    space, point = styletts2_kokoro.told(VOICES, heard, 2)
    assert point.shape == (space.components,) == (10,)


@pytest.fixture
def packs():
    return np.stack(list(VOICES.values()))


@pytest.fixture
def whole(heard):
    return np.stack([rows.mean(axis=0) for rows in heard.values()])


def test_a_single_recording_is_cut_where_it_is_quiet():
    clip = np.random.default_rng(0).normal(size=16_000).astype("float32")
    clip[9_600:10_600] = 0
    first, second = styletts2_kokoro_readers.halves(clip)
    assert len(first) + len(second) == len(clip)
    assert 9_600 <= len(first) <= 10_600


def test_what_is_remembered_is_not_made_again(tmp_path):
    calls = []

    def work():
        calls.append(1)
        return {"value": np.arange(3)}

    for _ in range(2):
        found = styletts2_kokoro_readers.remembered(tmp_path / "a" / "b.npz", work)
        np.testing.assert_array_equal(found["value"], np.arange(3))
    assert len(calls) == 1


def test_voices_are_nearest_to_their_own_reader_and_by_chance_when_shuffled():
    centres = np.eye(8, 192)
    count, shuffled = styletts2_kokoro_readers.nearest, styletts2_kokoro_readers.nearest_shuffled
    assert count(centres, centres) == 8
    assert count(np.roll(centres, 1, axis=0), centres) == 0
    assert shuffled(centres, centres, 500, seed=0) == pytest.approx(1, abs=0.2)


def test_without_usable_mixtures_there_is_the_ridge(packs, whole):
    shares = np.full((4, len(packs)), 1 / len(packs))
    mixtures = styletts2_kokoro_mixtures.Mixtures(shares, np.ones((4, whole.shape[1])))
    made = folds(packs, "timbre")
    told = styletts2_kokoro_mixtures.ridge_with_mixtures(made, whole, mixtures, 0.6, 1.0)
    np.testing.assert_allclose(list(told), predictions(made, whole, whole, ridge(0.6)), rtol=1e-5)


def test_mixtures_are_learned_from_where_the_hidden_voice_has_no_share(packs, whole):
    rng = np.random.default_rng(1)
    shares = np.zeros((40, len(packs)))
    for row in shares:
        row[rng.choice(len(packs), 2, replace=False)] = 0.5
    mixtures = styletts2_kokoro_mixtures.Mixtures(shares, shares @ whole)
    made = folds(packs, "timbre")
    plain = score(made, predictions(made, whole, whole, ridge(0.6))).r2
    told = list(styletts2_kokoro_mixtures.ridge_with_mixtures(made, whole, mixtures, 0.6, 1.0))
    assert score(made, told).r2 != pytest.approx(plain, abs=1e-4)


def test_every_row_its_own_is_what_leaving_one_out_says(packs, whole):
    found = dict(styletts2_kokoro_trials.length_models(packs, whole, 0.6))
    for half, r2 in found["every row its own"].items():
        made = folds(packs, half)
        ridges = predictions(made, whole, whole, ridge(0.6))
        assert r2 == pytest.approx(score(made, ridges).r2, abs=1e-5)
        assert found["row 50 copied"][half] < r2


def test_features_know_pitch_and_count_in_deviations():
    time = np.arange(16_000) / 16_000
    audio = np.stack([np.sign(np.sin(2 * np.pi * hertz * time)) for hertz in (110, 220)])
    found = np.stack([styletts2_kokoro_trials.features(clip.astype("float32")) for clip in audio])
    assert found[1, 0] - found[0, 0] == pytest.approx(1, abs=0.05)
    joined = styletts2_kokoro_trials.with_features(np.zeros((2, 3)), found, ["pitch"], 0.2)
    np.testing.assert_allclose(joined[:, 3], [-0.2, 0.2], atol=1e-6)


def test_pieces_of_a_reference_end_at_pauses():
    fits = pytest.importorskip("benchmarks.styletts2_kokoro_fits", reason="the fits want judges")
    words = [("one", 0.0, 0.5), ("two", 0.5, 1.6), ("three", 1.8, 2.2), ("four", 2.2, 3.6)]
    pieces = list(fits.cut(words))
    assert [text for *_, text in pieces] == ["one two", "three four"]
    assert all(start < end for start, end, _ in pieces)
    assert pieces[0][1] <= 1.8
