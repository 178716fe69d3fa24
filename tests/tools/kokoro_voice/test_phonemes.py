"""Text to Kokoro's phonemes."""

import subprocess
import sys
from pathlib import Path

import pytest

from myxtts.errors import TextError
from tools.kokoro_voice import phonemes

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("ipa", "language", "expected"),
    [
        ("dˈe^ɪ", "en-us", "dˈA"),
        ("t^ʃˈɜːt^ʃ", "en-us", "ʧˈɜɹʧ"),
        ("wˈɔːɾɚ", "en-us", "wˈɔTəɹ"),
        ("bˈɑːɾə^l", "en-us", "bˈɑTᵊl"),
        ("bˈo^ʊt", "en-us", "bˈOt"),
        ("bˈə^ʊt", "en-gb", "bˈQt"),
        ("ðˈe^ə", "en-gb", "ðˈɛː"),
        ("t^sˈi", "it", "ʦˈi"),
    ],
)
def test_espeaks_ipa_becomes_kokoros(ipa, language, expected):
    assert phonemes.from_espeak(ipa, language) == expected


@pytest.mark.parametrize("text", ["", "  ", "?!", "—"])
def test_text_without_words_is_refused(text):
    with pytest.raises(TextError, match="nothing that can be spoken"):
        phonemes.phonemize(text)


def test_unknown_language_is_refused():
    with pytest.raises(TextError, match="'xx' is unknown"):
        phonemes.phonemize("Hello.", "xx")


def test_sentence_keeps_its_punctuation():
    pytest.importorskip("phonemizer", reason="eSpeak gives the phonemes")
    pytest.importorskip("espeakng_loader", reason="eSpeak gives the phonemes")
    spoken = phonemes.phonemize("Hello,  this is\na test.")
    assert "," in spoken and spoken.endswith(".")
    assert "həlˈO" in spoken and "\n" not in spoken


def test_import_is_light():
    code = (
        "import sys, tools.kokoro_voice.backends, tools.kokoro_voice.phonemes;"
        "print({'torch', 'tensorflow', 'keras', 'spacy', 'misaki'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
