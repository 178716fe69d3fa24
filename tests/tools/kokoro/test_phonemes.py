"""Text to Kokoro's phonemes."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from myxtts.errors import TextError
from tools.kokoro import phonemes

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


@pytest.fixture
def misaki(monkeypatch):
    """A ``misaki`` whose lexicon has one word, with all that it needs."""

    class G2P:
        def __init__(self, trf, british, fallback, unk):
            self.british = british

        def __call__(self, text):
            words = [w.strip(".,!?") for w in text.split()]
            known = {"hello": "həlˈQ" if self.british else "həlˈO"}
            tokens = [SimpleNamespace(text=w, phonemes=known.get(w.lower(), "")) for w in words]
            return " ".join(token.phonemes for token in tokens), tokens

    english = SimpleNamespace(G2P=G2P)
    load = phonemes.importlib.import_module
    monkeypatch.setattr(phonemes, "find_spec", lambda name: object())
    monkeypatch.setattr(phonemes, "_is_installed", lambda name: True)
    monkeypatch.setattr(
        phonemes.importlib,
        "import_module",
        lambda name: english if name == "misaki.en" else load(name),
    )
    phonemes._front_end.cache_clear()
    yield english
    phonemes._front_end.cache_clear()


def test_misaki_reads_english_where_it_is_installed(misaki):
    assert phonemes.phonemize("Hello.") == "həlˈO"
    assert phonemes.phonemize("Hello.", "en-gb") == "həlˈQ"


def test_espeak_reads_a_sentence_with_a_word_that_misaki_lacks(misaki):
    pytest.importorskip("phonemizer", reason="eSpeak gives the phonemes")
    pytest.importorskip("espeakng_loader", reason="eSpeak gives the phonemes")
    assert "tˈɛst" in phonemes.phonemize("Hello test.")


def test_without_spacys_model_espeak_reads_and_says_so(misaki, monkeypatch, caplog):
    pytest.importorskip("phonemizer", reason="eSpeak gives the phonemes")
    pytest.importorskip("espeakng_loader", reason="eSpeak gives the phonemes")
    monkeypatch.setattr(phonemes, "_is_installed", lambda name: False)
    with caplog.at_level("INFO"):
        assert "həlˈO" in phonemes.phonemize("Hello.")
    assert "misaki would need en_core_web_sm" in caplog.text


def test_import_is_light():
    code = (
        "import sys, tools.kokoro.backends.interface, tools.kokoro.phonemes;"
        "print({'torch', 'tensorflow', 'keras', 'spacy', 'misaki'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
