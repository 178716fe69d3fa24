"""The benchmark of voices told in one pass: its table on voices that are made up."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the benchmark's sides are torch's")

from benchmarks import styletts2_kokoro  # noqa: E402
from tests.tools.kokoro.fakes import fake_voices  # noqa: E402
from tests.tools.styletts2_kokoro.fake_hearing import fake_map  # noqa: E402
from tools.kokoro.voice_space import SpaceShape, build_space  # noqa: E402

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
    voices = styletts2_kokoro.one_pass_voices(maps, space, np.linspace(-1, 1, 448))
    assert list(voices) == ["median voice", "resemblyzer", "ecapa", BOTH]
    np.testing.assert_allclose(voices["median voice"][:, 0], space.origin, atol=1e-6)
    assert np.abs(voices["ecapa"] - voices["resemblyzer"]).max() > 1e-3


def test_a_voice_left_out_is_told_by_the_others(heard):
    space, point = styletts2_kokoro.told(VOICES, heard, 2)
    assert point.shape == (space.components,) == (10,)
