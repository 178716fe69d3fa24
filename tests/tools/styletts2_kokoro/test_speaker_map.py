"""The map that comes with the tools is whole, small and says where it is from."""

import json

import numpy as np
import pytest

from myxtts.errors import DataError, WeightsError
from tests.tools.kokoro.fakes import fake_voices
from tests.tools.styletts2_kokoro.fake_hearing import fake_map
from tools.kokoro.voices import save_voice
from tools.styletts2_kokoro import speaker_map
from tools.styletts2_kokoro.speaker_map import ARRAYS, RECORD, SHIPPED, load_map, load_maps

PARTS = {"resemblyzer+ecapa": 448, "resemblyzer": 256, "ecapa": 192}


def test_the_shipped_map_is_whole_and_under_a_megabyte():
    maps = load_maps()
    assert {name: one.weights.shape for name, one in maps.items()} == {
        name: (size, 108) for name, size in PARTS.items()
    }
    assert all(len(one.voices) == 54 for one in maps.values())
    assert sum((SHIPPED / name).stat().st_size for name in (ARRAYS, RECORD)) < 2**20


def test_the_record_names_sources_licences_scores_and_the_command():
    record = load_map("resemblyzer+ecapa").record
    assert record["command"].startswith("python tools/build_speaker_map.py")
    assert all("licence" in source for source in record["sources"].values())
    assert {"voices", "clips", "background", "resemblyzer", "ecapa"} <= record["sources"].keys()
    scores = record["leave_one_voice_out"]["resemblyzer+ecapa"]
    assert scores["timbre"]["r2"] > 0.354
    assert scores["prosody"]["r2"] > 0.349
    assert "/" not in record["command"].replace("tools/", "", 1)


def test_the_background_of_the_map_is_listed_and_holds_nobody_twice():
    paths = (SHIPPED / "background.txt").read_text().split()
    assert len({path.split("/")[0] for path in paths}) == len(paths)
    assert len(paths) == load_map("ecapa").record["sources"]["background"]["count"]


def test_maps_come_back_as_they_were_saved(tmp_path):
    given = fake_map()
    speaker_map.save_maps(tmp_path, {given.hearing: given}, {"gain": 1.5})
    found = load_map(given.hearing, tmp_path)
    np.testing.assert_array_equal(found.weights, given.weights)
    heard = np.random.default_rng(2).normal(size=256)
    np.testing.assert_array_equal(found.coordinates(heard), given.coordinates(heard))
    assert found.record["gain"] == 1.5


@pytest.mark.parametrize("file", [ARRAYS, RECORD])
def test_a_damaged_map_is_refused(tmp_path, file):
    speaker_map.save_maps(tmp_path, {"resemblyzer": fake_map()}, {"gain": 1.5})
    content = bytearray((tmp_path / file).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / file).write_bytes(content)
    with pytest.raises(WeightsError):
        load_maps(tmp_path)


def test_a_record_that_is_no_record_is_refused(tmp_path):
    (tmp_path / RECORD).write_text(json.dumps([1]))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_maps(tmp_path)


def test_a_hearing_without_a_map_is_told_how_to_get_one(tmp_path):
    with pytest.raises(WeightsError, match="build_speaker_map.py --hearing styletts2"):
        load_map("styletts2", tmp_path)


def test_an_embedding_of_another_size_is_refused():
    with pytest.raises(WeightsError, match="256"):
        fake_map().coordinates(np.zeros(192))


def test_the_space_wants_the_very_voices_and_does_not_mind_more(tmp_path):
    voices = fake_voices()
    given = fake_map(voices=voices)
    for name, voice in voices.items():
        save_voice(tmp_path / f"{name}.bin", voice)
    save_voice(tmp_path / "mine.bin", voices["v0_a"] + 1)
    assert given.space(tmp_path).components == given.weights.shape[1]
    save_voice(tmp_path / "v1_a.bin", voices["v1_a"] + 1)
    with pytest.raises(DataError, match="v1_a .* is another"):
        given.space(tmp_path)
    (tmp_path / "v1_a.bin").unlink()
    with pytest.raises(DataError, match="lacks the voice v1_a"):
        given.space(tmp_path)
