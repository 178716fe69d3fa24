"""Searches, the start at the map, and tables of the one-pass benchmark, on a small singer."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the searches are torch's")

from benchmarks import styletts2_kokoro_fits as fits  # noqa: E402
from benchmarks import styletts2_kokoro_table as tables  # noqa: E402
from benchmarks.styletts2_kokoro_readers import Reader, choose_readers  # noqa: E402
from myxtts.audio.io import write_audio  # noqa: E402
from myxtts.errors import DataError  # noqa: E402
from tests.tools.kokoro.fakes import FakeBackend, fake_voices  # noqa: E402
from tests.tools.kokoro_voice.test_optimizer import CONFIG, optimizer  # noqa: E402


@pytest.fixture
def reader(tmp_path):
    """One whose recording the singer sang in a voice of its own."""
    backend, style = FakeBackend(), fake_voices(1, seed=9)["v0_a"][9]
    (audio,) = backend.synthesize(backend.tokens("abcdefghij" * 6), style)
    path = tmp_path / "audio" / "r1" / "1.wav"
    path.parent.mkdir(parents=True)
    write_audio(path, audio, 24_000)
    rng = np.random.default_rng(3)
    unit = rng.normal(size=(4, 192)) / 192**0.5
    target = rng.normal(size=256) / 16
    return Reader("r1", path, audio, target, unit[0], unit[1:], np.array([0.9, 0.8]))


@pytest.fixture
def searching(tmp_path, monkeypatch):
    """Fits of the small singer beside a table that knows one voice."""
    voice = fake_voices(1, seed=9)["v0_a"]
    table = SimpleNamespace(
        folder=tmp_path / "kept", more={}, made=lambda row, reader: tables.Made(voice)
    )
    made = fits.Fits(table, 0.0, 1, "")

    def small(method, steps=1_000_000):
        return optimizer(replace(CONFIG, gradient_method=method, num_iterations=steps))

    monkeypatch.setattr(made, "optimizer", small)
    return made


def test_a_search_ends_with_its_processor_time_and_keeps_its_voice(searching, reader):
    made = searching.table.more["autograd"](reader)
    assert made.syntheses >= 1
    assert made.seconds > 0
    assert made.voice.shape == (510, 1, 256)
    folder = searching.table.folder / "searches" / "autograd" / "r1"
    assert json.loads((folder / "trace.json").read_text())


def test_steps_to_where_the_centroid_comes_are_counted_and_remembered(
    searching, reader, monkeypatch
):
    monkeypatch.setattr(fits, "STEPS", 4)
    *_, line = searching.steps_saved([reader], "resemblyzer+ecapa")
    name, start, best, _, needed, saved = line.strip("| ").split(" | ")
    assert (name, float(best) >= float(start)) == ("r1", True)
    assert int(needed) + int(saved) == 4
    ours = json.loads((searching.table.folder / "steps" / "map" / "r1" / "steps.json").read_text())
    assert len(ours) == int(needed) + 1
    assert ours[-1] >= float(best) - 1e-3
    monkeypatch.setattr(searching, "optimizer", None)
    assert list(searching.steps_saved([reader], "resemblyzer+ecapa"))[-1] == line


class FakeTable:
    """Two rows, one of which says every reader's own embedding."""

    def __init__(self, readers):
        self.readers = readers

    def clips(self, row, reader, sentences):
        place = self.readers.index(reader) if row == "own" else 0
        near = self.readers[place]
        clip = {"resemblyzer": near.target, "ecapa": near.centre, "wer": 0.02, "dnsmos": 3.3}
        return [clip] * sentences

    def made(self, row, reader):
        return tables.Made(np.zeros(1), 54, 1.5)


@pytest.fixture
def several(reader):
    eye, target = np.eye(192), np.eye(256)
    return [
        replace(reader, name=f"r{n}", others=eye[n : n + 1], own=eye[n], target=target[n])
        for n in range(4)
    ]


def test_the_table_has_means_and_costs(several):
    rows = {"own": several, "same": several[:2]}
    lines = list(tables.table(FakeTable(several), rows, 2))
    assert lines[2].startswith("| the speakers themselves | 4 | 0.850 | 1.000 |")
    assert lines[3] == "| own | 4 | 1.000 | 1.000 | 2.0 | 3.30 | 54 | 1.5 |"
    assert lines[4] == "| same | 2 | 0.500 | 0.500 | 2.0 | 3.30 | 54 | 1.5 |"


def test_identity_counts_the_nearest_and_the_shuffled(several):
    rows = {"own": several, "same": several}
    own, same = list(tables.identity(FakeTable(several), rows, 1, seed=0))[2:]
    assert own.startswith("| own | 4 of 4 |")
    assert same.startswith("| same | 1 of 4 |")
    assert float(own.strip("| ").split(" | ")[-1]) == pytest.approx(1, abs=0.2)


def test_a_reader_without_a_row_is_left_empty(several):
    rows = {"own": several, "same": several[:1]}
    assert list(tables.by_reader(FakeTable(several), rows, 1, "ecapa"))[-1].endswith("|  |  |  |")


def test_readers_are_those_with_several_recordings_then_long_ones_nobody_knows(tmp_path):
    for name, count, seconds in (("a", 2, 1), ("b", 1, 15), ("c", 1, 15), ("d", 1, 2)):
        for number in range(count):
            (tmp_path / name).mkdir(exist_ok=True)
            clip = np.zeros(seconds * 16_000, "float32")
            write_audio(tmp_path / name / f"{number}.wav", clip, 16_000)
    chosen = choose_readers(tmp_path, [], 15, frozenset("b"))
    assert [paths[0].parent.name for paths in chosen] == ["a", "c"]
    with pytest.raises(DataError):
        choose_readers(tmp_path, ["d"], 15, frozenset())
