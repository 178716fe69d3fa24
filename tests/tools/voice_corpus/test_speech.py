"""Readings word by word, pseudo-speakers, and durations that fill the clip."""

from types import SimpleNamespace

import numpy as np
import pytest

from myxtts.errors import DataError
from myxtts.text.front_end import hibari_vocabulary
from tools.voice_corpus import front_end, kokoro_speech, speech
from tools.voice_corpus.front_end import Reading, by_written_word
from tools.voice_corpus.hibari_speech import HibariSpeech, bent, pitched
from tools.voice_corpus.speakers import PseudoSpeaker, pseudo_speakers

RATE = speech.SAMPLE_RATE


@pytest.fixture(scope="module")
def hibari() -> HibariSpeech:
    for name in ("hibari", "onnx", "onnxruntime"):
        pytest.importorskip(name, reason="speaking needs requirements-voice.txt")
    return HibariSpeech()


@pytest.mark.parametrize(
    ("written", "spoken", "given"),
    [
        ("on 3 May", "on the third of May", ["on", "the third of", "May"]),
        ("at 7:30 pm.", "at seven thirty P.M.", ["at", "seven thirty", "P.M."]),
        ("$5 million, please", "5 million dollars, please", ["5", "million dollars,", "please"]),
        ("Mr. Lee", "Mr Lee", ["Mr", "Lee"]),
    ],
)
def test_spoken_words_are_given_to_the_written_ones(written, spoken, given):
    words = spoken.split()
    assert by_written_word(written.split(), words, words) == given


def test_a_written_word_that_is_not_spoken_gives_none():
    assert by_written_word(["a", "*", "b"], ["a", "b"], ["x", "y"]) is None


def test_speakers_are_the_same_however_many_and_differ():
    few, many = pseudo_speakers(20, 1), pseudo_speakers(400, 1)
    assert many[:20] == few != pseudo_speakers(20, 2)
    ways = np.array([(np.log(s.pitch), np.log(s.formants) * 2) for s in many])
    distances = np.linalg.norm(ways[:, None] - ways, axis=-1) + 9 * np.eye(len(ways))
    assert distances.min() > 1e-3
    assert min(s.pitch for s in many) < 0.55 and max(s.pitch for s in many) > 1.25
    assert min(s.formants for s in many) < 0.85 and max(s.formants for s in many) > 1.15


def test_pitch_is_moved_and_stretched_where_there_is_voice():
    f0 = np.array([0, 180, 220, 0, 200], "float32")
    moved = pitched(f0, 0.5, 2.0)
    np.testing.assert_array_equal(moved[[0, 3]], 0)
    ratio = np.log(moved[2] / moved[1]) / np.log(f0[2] / f0[1])
    assert ratio == pytest.approx(2, abs=1e-4)
    assert np.exp(np.log(moved[[1, 2, 4]]).mean()) == pytest.approx(
        0.5 * np.exp(np.log(f0[[1, 2, 4]]).mean()), rel=1e-5
    )


def test_a_plain_speaker_changes_nothing():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(601, 5)).astype("float32") for _ in range(5)]
    parts.append(np.full(5, 200, "float32"))
    for new, old in zip(bent(parts, PseudoSpeaker("me")), parts, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-6)


def clip(*seconds: float, loud: slice) -> speech.Speech:
    audio = np.zeros(round(sum(seconds) * RATE), "float32")
    audio[loud] = 0.5
    return speech.Speech(audio, np.array(seconds))


def test_trimming_cuts_silence_and_its_durations_alike():
    raw = clip(0.4, 0.2, 0.3, 0.4, 0.1, loud=slice(int(0.4 * RATE), int(0.9 * RATE)))
    cut = speech.trimmed(raw, "ab.")
    assert cut.durations.sum() == pytest.approx(cut.seconds, abs=1e-4)
    np.testing.assert_allclose(cut.durations, [0.1, 0.2, 0.3, 0.1, 0], atol=2e-3)


def test_trimming_shortens_no_phoneme_that_sounds():
    raw = clip(0.1, 0.2, 0.9, 0.1, loud=slice(int(0.1 * RATE), int(0.3 * RATE)))
    np.testing.assert_allclose(speech.trimmed(raw, "ab").durations, [0.1, 0.2, 0.9, 0])


def test_silence_and_durations_that_are_off_are_no_speech():
    good = clip(0.1, 0.2, 0.1, loud=slice(3000, 6000))
    assert speech.is_sound(good)
    assert not speech.is_sound(speech.Speech(0 * good.audio, good.durations))
    assert not speech.is_sound(speech.Speech(good.audio, 2 * good.durations))
    assert not speech.is_sound(speech.Speech(good.audio * np.nan, good.durations))


def test_word_durations_hold_the_space_behind():
    reading = Reading("a bc", ("x", "yz"))
    np.testing.assert_allclose(speech.word_durations(reading, [1, 2, 3, 4]), [3, 7])


def test_mixtures_hold_no_held_out_voice_and_are_the_same_again():
    names = [*kokoro_speech.HELD_OUT, "af_a", "af_b", "bm_c", "jf_d"]
    found = kokoro_speech.kokoro_speakers(names, 30, 0)
    assert found == kokoro_speech.kokoro_speakers(names, 30, 0)
    assert [s.name for s in found[:4]] == ["k_af_a", "k_af_b", "k_bm_c", "k_jf_d"]
    assert {name for s in found[4:] for name in s.voices} == {"af_a", "af_b", "bm_c"}
    assert all(sum(s.weights) == pytest.approx(1) for s in found)
    with pytest.raises(DataError, match="mixtures want 3"):
        kokoro_speech.kokoro_speakers(["af_a", "jf_d"], 1, 0)


def test_kokoro_speaks_a_mixture_in_the_row_of_its_length(monkeypatch):
    fed = {}

    class Session:
        def run(self, outputs, feed):
            fed.update(feed)
            return np.zeros((1, 4 * speech.STEP), "float32"), np.ones((1, 5), "float32")

    found = SimpleNamespace(model=b"", vocabulary={"a": 7, "b": 8})
    monkeypatch.setattr(kokoro_speech, "packaged_onnx", lambda: found)
    monkeypatch.setattr(kokoro_speech, "session_with_durations", lambda *_: Session())
    voices = {name: np.full((510, 1, 256), k, "float32") for k, name in enumerate(["x", "y"])}
    voices["y"][2] = 5  # of three phonemes
    speaker = kokoro_speech.KokoroSpeaker("k0", ("x", "y"), (0.75, 0.25))
    made = kokoro_speech.KokoroSpeech(voices).speak("aba", speaker, 1.5, None)
    assert fed["tokens"].tolist() == [[0, 7, 8, 7, 0]]
    np.testing.assert_array_equal(fed["style"], np.full((1, 256), 1.25, "float32"))
    assert fed["speed"].tolist() == [1.5]
    np.testing.assert_allclose(made.durations, [0.025] * 5)
    assert made.audio.shape == (4 * speech.STEP,)


def test_a_reading_has_the_phonemes_of_each_written_word(hibari):
    reading = front_end.read("It costs $3.50 on 3 May 2019.")
    assert len(reading.words) == 7
    assert reading.words[2] == "θɹˈi dˈɑləɹz ænd fˈɪfti sˈɛnts"
    assert set(reading.phonemes) <= hibari_vocabulary().keys()


def test_a_name_is_not_read_as_a_roman_number(hibari):
    assert front_end.read("Henry Crawford came.").words[0] == "hˈɛnɹi"
    assert front_end.read("Henry I cannot believe.") is None


@pytest.mark.parametrize(("pitch", "formants"), [(1, 1), (0.55, 0.9), (1.25, 1.15)])
def test_durations_fill_the_speech_whatever_the_speaker(hibari, pitch, formants):
    speaker = PseudoSpeaker("me", pitch=pitch, formants=formants)
    phonemes = front_end.read("We walked along the river until the evening.").phonemes
    made = hibari.speak(phonemes, speaker, 1.0, np.random.default_rng(0))
    assert len(made.durations) == len(phonemes) + 2
    assert made.durations.sum() == pytest.approx(made.seconds, abs=1e-3)
    assert 2.5 < made.seconds < 3.6  # the pace does not go with the formants
    assert speech.is_sound(speech.levelled(speech.trimmed(made, phonemes)))
