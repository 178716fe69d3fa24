"""Texts and recordings that break XTTS in the field are spoken or refused in one sentence."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from myxtts.audio.io import read_audio
from myxtts.config import SynthesisConfig
from myxtts.errors import AudioError, TextError
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.text.front_end import Reader
from myxtts.text.tokenizer import train_tokenizer
from tests.conftest import hum

RATE = 22_050
PROSE = "It was the best of times; nobody knew. Then Mr. Smith came in, on the 3rd of May 1999! "
SPOKEN = {
    "a word": "Hello",
    "a letter": "a",
    "a digit": "7",
    "one letter behind much punctuation": "!" * 3000 + "a",
    "emoji inside": "Hi 🎉 you 👩‍👩‍👧 there",
    "Chinese inside": "I met 王小明 in 北京.",
    "Russian inside": "Привет, how are you?",
    "Japanese only": "こんにちは",
    "right to left": "مرحبا \u202eשלום\u202c",
    "control characters": "Hello\x00\x07 there\x1b[31m\u200b",
    "a lone surrogate": "\ud83d hello",
    "a byte order mark": "\ufeffHello",
    "signs": "x² + ½ = √2 €",
}
UNSPEAKABLE = {
    "punctuation": "?!... — ,;:",
    "emoji": "🎉👍👩‍👩‍👧",
    "white space": " \t\n\u00a0\u3000",
    "control characters": "\x00\x07\x1b\u200b\u202e",
    "nothing": "",
}
LONG = {
    "prose": (PROSE * 120)[:10_000],
    "a word": "x" * 10_000,
    "one word of Chinese": "王" * 10_000,
    "letters": "a " * 5000,
    "clauses": "a," * 5000,
    "emoji and a letter": "🎉" * 9999 + "a",
}


@pytest.fixture(scope="module")
def model(trained):
    return XTTS.from_preset(trained.preset)


@pytest.fixture(scope="module", params=["griffin_lim", "hifi"])
def synthesizer(request, model):
    settings = SynthesisConfig(vocoder=request.param, retries=0, seconds_per_character=0.01)
    return Synthesizer(model, settings)


@pytest.fixture(scope="module")
def voice(synthesizer, corpus):
    return synthesizer.condition([corpus / "clip_0.wav"])


@pytest.fixture(scope="module")
def listener(model):
    """Only conditions; what it speaks with does not matter."""
    return Synthesizer(model, SynthesisConfig(vocoder="griffin_lim"))


def assert_heard(voice):
    assert np.isfinite(voice.latents).all()
    assert np.isfinite(voice.speaker_embedding).all()
    assert np.linalg.norm(voice.speaker_embedding) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("text", SPOKEN.values(), ids=SPOKEN)
def test_odd_texts_are_spoken(synthesizer, voice, text):
    spoken = synthesizer.speak(text, voice)
    assert np.isfinite(spoken.waveform).all()
    assert 0 < spoken.duration < 3 * len(spoken.codes)
    streamed = np.concatenate(list(synthesizer.stream(text, voice)))
    np.testing.assert_allclose(streamed, spoken.waveform, atol=1e-3)


@pytest.mark.parametrize("text", UNSPEAKABLE.values(), ids=UNSPEAKABLE)
def test_texts_without_speech_are_refused(synthesizer, voice, text):
    with pytest.raises(TextError, match="nothing that can be spoken"):
        synthesizer.speak(text, voice)
    with pytest.raises(TextError, match="nothing that can be spoken"):
        next(iter(synthesizer.stream(text, voice)))


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_ten_thousand_characters_begin_to_speak_soon(synthesizer, voice, text, monkeypatch):
    request, asked = synthesizer._request, []
    monkeypatch.setattr(synthesizer, "_request", lambda *of: asked.append(of) or request(*of))
    first = list(itertools.islice(synthesizer.stream(text, voice), 2))
    assert len(asked) <= 2  # pieces, of dozens
    assert all(np.isfinite(chunk).all() for chunk in first)


def test_ten_thousand_characters_lose_nothing(synthesizer):
    pieces = {name: synthesizer._pieces(text, "en") for name, text in LONG.items()}
    for name, text in LONG.items():
        spoken = filter(str.isalnum, "".join(pieces[name]))
        assert "".join(spoken) == "".join(filter(str.isalnum, text)), name


def test_hindi_digits_are_spoken(listener, voice, monkeypatch):
    tokenizer = train_tokenizer([("मेरे पास पचास रुपये हैं", "hi")], 300)
    monkeypatch.setattr(listener, "reader", Reader(tokenizer))
    assert listener.speak("मेरे पास 50 हैं, १२ भी।", voice, "hi").duration > 0


def test_the_language_decides_how_long_a_piece_is(model):
    long = Synthesizer(model, SynthesisConfig(max_characters=12, vocoder="griffin_lim"))
    assert max(map(len, long._pieces(PROSE, "en"))) <= 12


def test_by_default_a_piece_is_as_long_as_suits_its_language(listener, monkeypatch):
    monkeypatch.setattr("myxtts.inference.synthesizer.piece_tokens", lambda *of: 400)
    assert max(map(len, listener._pieces(PROSE * 9, "en"))) in range(200, 251)
    tokenizer = train_tokenizer([("शहर नदी", "hi")], 300)
    monkeypatch.setattr(listener, "reader", Reader(tokenizer))
    assert max(map(len, listener._pieces("शहर नदी। " * 90, "hi"))) in range(120, 151)


@pytest.fixture(scope="module")
def speech():
    """Twelve seconds that sound like somebody."""
    return hum(12, 120, np.random.default_rng(3))


def unusual(speech: np.ndarray) -> dict[str, tuple[np.ndarray, int, str]]:
    """Samples, rate and subtype of files that can be conditioned on."""
    second = speech[:RATE]
    hush = np.zeros(RATE * 9, "float32")
    return {
        "just long enough": (second[: int(0.3 * RATE)], RATE, "PCM_16"),
        "just long enough at 11 kHz": (second[: int(0.3 * 11_025)], 11_025, "PCM_16"),
        "clipped": (np.clip(100 * speech, -1, 1), RATE, "PCM_16"),
        "square": (np.sign(speech), RATE, "PCM_16"),
        "of telephones": (speech[:24_000], 8000, "ULAW"),
        "stereo": (np.stack([second, 0 * second], axis=1), RATE, "PCM_16"),
        "of 8 bits": (second, RATE, "PCM_U8"),
        "of 192 kHz": (speech, 192_000, "PCM_24"),
        "quiet": (second * 0.02, RATE, "PCM_16"),
        "beyond full scale": (second * 1e6, RATE, "FLOAT"),
        "constant": (np.full(RATE, 0.3), RATE, "PCM_16"),
        "silent at first": (np.concatenate([hush, second]), RATE, "PCM_16"),
    }


@pytest.mark.parametrize("name", unusual(np.zeros(RATE)))
def test_unusual_references_are_heard(listener, speech, tmp_path, name):
    samples, rate, subtype = unusual(speech)[name]
    soundfile.write(tmp_path / "reference.wav", samples, rate, subtype=subtype)
    assert_heard(listener.condition([tmp_path / "reference.wav"]))


def test_silence_before_the_speech_does_not_dilute_the_latents(model, listener, speech):
    hush = np.zeros(8 * RATE, "float32")
    second = speech[:RATE]
    late = np.concatenate([hush, second])
    alone = listener.condition([second])
    np.testing.assert_array_equal(listener.condition([late]).latents, alone.latents)
    coqui = Synthesizer(model, SynthesisConfig(coqui_compatible=True, vocoder="griffin_lim"))
    assert np.abs(coqui.condition([late]).latents - alone.latents).max() > 1e-3


def unfit(speech: np.ndarray) -> dict[str, tuple[np.ndarray, str]]:
    """Samples at 22.05 kHz and what is wrong with them."""
    spoilt = {value: np.where(np.arange(RATE) == 7, value, 0.1) for value in (np.nan, np.inf)}
    return {
        "too short": (
            speech[: int(0.29 * RATE)],
            r"lasts 0\.29 s; a reference needs at least 0\.3",
        ),
        "one sample": (speech[:1], "needs at least 0.3 s"),
        "no samples": (speech[:0], "no samples"),
        "silent": (np.zeros(RATE), "is silent"),
        "a click too quiet to hear": (1e-4 * (np.arange(RATE) == 7), "is silent"),
        "silent for longer than is used": (
            np.concatenate([np.zeros(31 * RATE), speech]),
            "is silent in its first 30 s",
        ),
        "not a number": (spoilt[np.nan], "NaN or infinite"),
        "infinite": (spoilt[np.inf], "NaN or infinite"),
    }


@pytest.mark.parametrize("name", unfit(np.zeros(RATE)))
def test_unfit_files_are_named_and_refused(listener, speech, tmp_path, name):
    samples, message = unfit(speech)[name]
    soundfile.write(tmp_path / "reference.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=rf"reference\.wav .*{message}"):
        listener.condition([tmp_path / "reference.wav"])


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((2, RATE), "float32"),
        np.ones(RATE, "int16"),
        np.full(RATE, np.nan, "float32"),
        np.zeros(0, "float32"),
        np.float32(0.5),
    ],
)
def test_unfit_arrays_are_refused(listener, samples):
    with pytest.raises(AudioError, match="the reference array"):
        listener.condition([samples])


def test_an_empty_file_is_refused(listener, tmp_path):
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"empty\.wav is empty"):
        listener.condition([tmp_path / "empty.wav"])


def test_ten_minutes_cost_what_their_beginning_costs(listener, speech, tmp_path):
    path, short = tmp_path / "long.wav", tmp_path / "short.wav"
    minutes = np.tile(speech, 50)
    soundfile.write(path, minutes, RATE)
    soundfile.write(short, minutes[: 40 * RATE], RATE)
    listener.condition([short])
    voice = listener.condition([path])
    np.testing.assert_array_equal(voice.latents, listener.condition([short]).latents)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_the_beginning_of_a_file_is_that_of_the_whole(tmp_path, suffix, rate):
    path = tmp_path / f"noise.{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (6 * rate, 2))
    soundfile.write(path, noise, rate)
    whole, _ = read_audio(path, RATE)
    for seconds in (0.3, 2.5, 60):
        start, read_rate = read_audio(path, RATE, seconds)
        assert read_rate == RATE
        np.testing.assert_array_equal(start, whole[: int(seconds * RATE)])


def test_what_follows_the_beginning_is_not_looked_at(tmp_path):
    samples = np.full(8000 * 9, 0.1, "float32")
    samples[-1] = np.nan
    soundfile.write(tmp_path / "late.wav", samples, 8000, subtype="FLOAT")
    assert len(read_audio(tmp_path / "late.wav", None, 2)[0]) == 16_000
    with pytest.raises(AudioError, match="NaN"):
        read_audio(tmp_path / "late.wav")


def speak(preset: Path, folder: Path, text: str, reference: Path, *more) -> subprocess.Popen:
    """Start ``inference_main.py``."""
    root = Path(__file__).parents[2]
    words = ["--checkpoint", preset, "--text", text, "--reference-audio", reference]
    return subprocess.Popen(
        [sys.executable, "inference_main.py", *words, "--output", folder / "out.wav", *more],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_the_program_says_what_is_wrong_in_one_sentence(trained, corpus, tmp_path):
    soundfile.write(tmp_path / "hush.wav", np.zeros(RATE), RATE)
    good = corpus / "clip_0.wav"
    calls = {
        "nothing that can be spoken": ("🎉", good),
        "hush.wav is silent": ("Hello", tmp_path / "hush.wav"),
    }
    started = {message: speak(trained.preset, tmp_path, *words) for message, words in calls.items()}
    for message, process in started.items():
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 1
        assert not output
        assert "Traceback" not in errors
        (line,) = [line for line in errors.splitlines() if "error:" in line]
        assert message in line
    assert not (tmp_path / "out.wav").exists()
