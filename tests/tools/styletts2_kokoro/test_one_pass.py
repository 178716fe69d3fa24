"""From recordings to a voice: what comes of which, and a sentence for every wrong input."""

import importlib
import json
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="StyleTTS2's encoders, which are asked for first, are torch's")

from myxtts.audio.io import write_audio  # noqa: E402
from myxtts.errors import AudioError, ConfigError, WeightsError  # noqa: E402
from myxtts.flags import run  # noqa: E402
from tests.tools.kokoro.fakes import fake_voices  # noqa: E402
from tests.tools.styletts2_kokoro.fake_hearing import RATE, FakeHearing, fake_map, tone  # noqa: E402
from tools.kokoro.voice_space import SpaceShape, build_space  # noqa: E402
from tools.kokoro.voices import load_voice, save_voice  # noqa: E402
from tools.styletts2_kokoro import one_pass  # noqa: E402
from tools.styletts2_kokoro.config import OnePassConfig  # noqa: E402
from tools.styletts2_kokoro.hearing import average, open_speakers, split  # noqa: E402
from tools.styletts2_kokoro.one_pass import VoiceMaker, parse_blend, strangers  # noqa: E402

VOICES = fake_voices()


@pytest.fixture
def maker():
    space = build_space(np.stack(list(VOICES.values())), SpaceShape())
    return VoiceMaker(FakeHearing(), fake_map(voices=VOICES), space, stock=VOICES)


@pytest.fixture
def clip(tmp_path):
    def write(pitch, name="ref.wav", seconds=2.0):
        write_audio(tmp_path / name, tone(pitch, seconds), RATE)
        return tmp_path / name

    return write


def test_speakers_get_voices_of_their_own_and_equal_ones_equal(maker, clip):
    low, high = clip(110, "low.wav"), clip(220, "high.wav")
    voice = maker.voice([low])
    assert voice.shape == (510, 1, 256)
    assert voice.dtype == np.float32
    np.testing.assert_array_equal(voice, maker.voice([low]))
    assert np.abs(voice - maker.voice([high])).max() > 0.01


def test_the_gain_moves_from_the_median_voice(maker, clip):
    path, point = clip(110), maker.coordinates([clip(110)])
    maker.gain = 0.5
    np.testing.assert_allclose(maker.coordinates([path]), point / 2, rtol=1e-6)
    maker.gain = 0.0
    np.testing.assert_allclose(maker.voice([path])[:, 0], maker.space.origin, atol=1e-5)


def test_a_blend_lies_between_its_parts(maker, clip, tmp_path):
    path = clip(110)
    save_voice(tmp_path / "other.bin", VOICES["v2_a"])
    ends = maker.voice([path]), VOICES["v2_a"]
    between = maker.blend([(str(path), 3.0), (str(tmp_path / "other.bin"), 1.0)])
    np.testing.assert_allclose(between, 0.75 * ends[0] + 0.25 * ends[1], atol=1e-3)
    by_name = maker.blend([(str(path), 0.75), ("v2_a", 0.25)])
    np.testing.assert_allclose(by_name, between, atol=1e-5)
    assert np.abs(maker.blend([("v2_a", 1.0)]) - VOICES["v2_a"]).max() < 1e-3


def test_shares_and_names_of_a_blend():
    assert parse_blend(["a.pt:0.7", "b.pt"]) == [("a.pt", 0.7), ("b.pt", 1.0)]
    for word in ("a.pt:0", "a.pt:-1", "a.pt:much", "a.pt:nan", "a.pt:inf"):
        with pytest.raises(ConfigError, match="share"):
            parse_blend([word])


def test_several_clips_are_averaged_part_by_part():
    rows = np.random.default_rng(0).normal(size=(3, 448))
    for part in split(average(rows, "resemblyzer+ecapa"), "resemblyzer+ecapa"):
        assert np.linalg.norm(part) == pytest.approx(1)
    np.testing.assert_allclose(average(rows[:, :256], "styletts2"), rows[:, :256].mean(axis=0))


def test_a_second_speaker_among_the_clips_is_named(maker, clip, caplog):
    unit = np.eye(256)
    heard = np.stack([unit[0], unit[0] + 0.1 * unit[1], unit[0] + 0.1 * unit[2], unit[5]])
    heard /= np.linalg.norm(heard, axis=1, keepdims=True)
    assert strangers(list("abcd"), heard, "resemblyzer") == ["d"]
    assert strangers(list("ab"), heard[[0, 3]], "resemblyzer") == []
    maker.coordinates([clip(110, "a.wav"), clip(110, "b.wav"), clip(377, "c.wav")])
    assert "c.wav sounds like another speaker" in caplog.text
    assert "a.wav" not in caplog.text


def test_what_is_no_reference_is_refused_in_a_sentence(maker, clip, tmp_path):
    with pytest.raises(AudioError, match="0.50 s of sound"):
        maker.voice([clip(110, "short.wav", 0.5)])
    write_audio(tmp_path / "silent.wav", np.zeros(3 * RATE, "float32"), RATE)
    with pytest.raises(AudioError, match="silent.wav is silent"):
        maker.voice([tmp_path / "silent.wav"])
    with pytest.raises(AudioError, match="no audio file"):
        maker.voice([tmp_path / "absent.wav"])


def test_silent_ends_say_nothing(maker, clip, tmp_path):
    ends = np.zeros(RATE, "float32")
    padded = np.concatenate([ends, tone(110), ends])
    write_audio(tmp_path / "padded.wav", padded, RATE)
    near = maker.coordinates([tmp_path / "padded.wav"]), maker.coordinates([clip(110)])
    np.testing.assert_allclose(*near, atol=0.2)


def test_a_map_of_another_hearing_is_refused(maker):
    with pytest.raises(ConfigError, match="ecapa"):
        VoiceMaker(FakeHearing("ecapa"), maker.map, maker.space)


def test_an_encoder_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match="wavlm"):
        open_speakers("wavlm")


def test_styletts2_without_weights_or_map_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    monkeypatch.setattr(one_pass, "find_style_weights", lambda given: None)
    with pytest.raises(WeightsError, match="hf download"):
        one_pass.open_hearing(OnePassConfig(encoder="styletts2"))
    monkeypatch.setattr(one_pass, "find_style_weights", lambda given: tmp_path / "epochs.pth")
    heard = FakeHearing("styletts2")
    monkeypatch.setattr(one_pass, "StyleHearing", lambda path: heard)
    with pytest.raises(WeightsError, match="--hearing styletts2 --style-weights"):
        one_pass.open_hearing(OnePassConfig(encoder="styletts2"))
    speakers = FakeHearing("resemblyzer")
    monkeypatch.setattr(one_pass, "open_speakers", lambda: speakers)
    assert one_pass.open_hearing(OnePassConfig())[0] is speakers


@pytest.fixture
def program(monkeypatch, maker):
    module = importlib.import_module("tools.kokoro_voice_from_audio")
    monkeypatch.setattr(VoiceMaker, "open", classmethod(lambda cls, config: maker))

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["kokoro_voice_from_audio.py", *map(str, words)])
        return run(module.main, module.parser())

    return call


def test_the_program_writes_a_voice_and_what_it_was_made_of(program, clip, tmp_path, capsys):
    output = tmp_path / "my.bin"
    assert program(clip(110), "--output", output, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert load_voice(output).shape == (510, 1, 256)
    assert told["encoder"] == "resemblyzer"
    assert told == json.loads(output.with_suffix(".json").read_text())
    assert program("--mix", f"{output}:0.7", "v1_a:0.3", "--output", tmp_path / "mix.npz") == 0
    assert load_voice(tmp_path / "mix.npz").shape == (510, 1, 256)


def test_the_program_speaks(program, clip, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the singer in Kokoro's place is torch's")
    from tests.tools.kokoro.fakes import FakeBackend
    from tools.kokoro import phonemes
    from tools.kokoro.backends import opening

    monkeypatch.setattr(opening, "open_backend", lambda *given: FakeBackend())
    monkeypatch.setattr(phonemes, "phonemize", lambda text, language: text)
    assert program(clip(110), "--output", tmp_path / "my.pt", "--speak", "hello") == 0
    assert (tmp_path / "my.wav").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--output", "my.pt"], "give recordings, or --mix"),
        (["ref.wav", "--mix", "a.pt", "--output", "my.pt"], "not both"),
        (["ref.wav", "--output", "my.wav"], "a voice is written as"),
        (["ref.wav", "--output", "my.pt", "--gain", "-1"], "gain"),
        (["--mix", "a.pt:x", "--output", "my.pt"], "share"),
    ],
)
def test_the_program_refuses_what_cannot_come_to_a_voice(program, capsys, words, told):
    assert program(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
