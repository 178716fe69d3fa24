"""The map is made by one command, and equal files give an equal map."""

import importlib
import sys

import numpy as np
import pytest

from myxtts.audio.io import write_audio
from myxtts.errors import DataError
from myxtts.flags import run
from tests.tools.kokoro.fakes import fake_voices
from tests.tools.styletts2_kokoro.fake_hearing import RATE, FakeHearing, tone
from tools.kokoro.voices import save_voice
from tools.styletts2_kokoro import hearing, map_corpus
from tools.styletts2_kokoro.speaker_map import ARRAYS, load_maps

VOICES = fake_voices(5)


@pytest.fixture
def corpus(tmp_path):
    for number, (name, voice) in enumerate(VOICES.items()):
        save_voice(tmp_path / "voices" / f"{name}.bin", voice)
        for take in (1, 2):
            pitch = 100 + 20 * number + take
            write_audio(tmp_path / "clips" / name / f"{take}.wav", tone(pitch), RATE)
    for speaker in ("anna", "ben"):
        write_audio(tmp_path / "real" / speaker / "1.wav", tone(130 + len(speaker)), RATE)
    return tmp_path


@pytest.fixture
def program(monkeypatch, corpus):
    module = importlib.import_module("tools.build_speaker_map")
    heard = FakeHearing("resemblyzer+ecapa")
    monkeypatch.setattr(hearing, "open_speakers", lambda name: heard)

    def call(*words):
        given = ["--clips", corpus / "clips", "--voices", corpus / "voices"]
        given += ["--background", corpus / "real", "--background-list", "", "--clips-each", "2"]
        monkeypatch.setattr(sys, "argv", ["build", *map(str, [*given, *words])])
        return run(module.main, module.parser())

    return call


def test_equal_files_give_an_equal_map_and_what_was_heard_is_not_heard_again(
    program, corpus, monkeypatch
):
    kept = ["--kept", corpus / "kept"]
    assert program("--output", corpus / "one", *kept) == 0
    monkeypatch.setattr(FakeHearing, "embed", None)
    assert program("--output", corpus / "two", *kept) == 0
    one, two = ((corpus / name / ARRAYS).read_bytes() for name in ("one", "two"))
    assert one == two
    maps = load_maps(corpus / "one")
    assert list(maps) == ["resemblyzer+ecapa", "resemblyzer", "ecapa"]
    record = maps["ecapa"].record
    assert record["command"] == (
        "python tools/build_speaker_map.py --clips clips --background real"
    )
    assert record["sources"]["clips"]["count"] == 10
    assert record["sources"]["background"]["count"] == 2


def test_the_background_is_what_the_average_speaker_is(program, corpus):
    assert program("--output", corpus / "one", "--gain", "2") == 0
    found = load_maps(corpus / "one")["resemblyzer"]
    np.testing.assert_array_equal(found.gain, 2)
    assert not found.coordinates(found.background).any()


def test_what_is_missing_is_named(corpus, capsys, program):
    (corpus / "clips" / "v3_a" / "2.wav").unlink()
    assert program("--output", corpus / "one") == 1
    assert "v3_a holds 1 recordings; 2 are wanted" in capsys.readouterr().err
    listed = corpus / "list.txt"
    listed.write_text("anna/1.wav\ncarl/1.wav\n")
    with pytest.raises(DataError, match="carl/1.wav is not there"):
        list(map_corpus.background_clips(corpus / "real", 9, listed))


def test_kokoro_speaks_where_there_are_no_clips():
    pytest.importorskip("torch", reason="the singer in Kokoro's place is torch's")
    from tests.tools.kokoro.fakes import FakeBackend

    texts = ["abcdefghij" * 5, "hello" * 12]
    clips = map_corpus.spoken_clips(FakeBackend(), VOICES, texts)
    heard = map_corpus.by_voice(map_corpus.hear(clips, FakeHearing()))
    assert {name: rows.shape for name, rows in heard.items()} == {name: (2, 256) for name in VOICES}
