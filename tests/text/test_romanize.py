"""Chinese, Japanese and Korean come out in Latin letters, or one sentence says what is missing."""

import random
import sys
import time

import pytest

from myxtts.errors import TextError
from myxtts.text import romanize
from myxtts.text.cleaners import clean_text
from myxtts.text.split import split_text
from myxtts.text.tokenizer import train_tokenizer

CASES = [
    ("zh-cn", "pypinyin", "你好"),
    ("ja", "cutlet", "こんにちは"),
    ("ko", "hangul_romanize", "안녕"),
]


@pytest.fixture
def fresh(monkeypatch):
    """No library is kept from an earlier text."""
    for name in ("_cutlet", "_transliterator"):
        monkeypatch.setattr(romanize, name, getattr(romanize, name).__wrapped__)


@pytest.mark.parametrize(("language", "module", "text"), CASES)
def test_a_missing_package_is_named_with_its_command(language, module, text, fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TextError) as caught:
        clean_text(text, language)
    message = str(caught.value)
    assert f"({language})" in message
    assert f"package {module.replace('_', '-')}" in message
    assert f"pip install {module.replace('_', '-')}" in message
    assert "\n" not in message


def test_a_missing_dictionary_is_named(fresh, monkeypatch):
    cutlet = pytest.importorskip("cutlet", reason="cutlet is not installed, which reads Japanese")

    def fail():
        raise RuntimeError("Failed initializing MeCab")

    monkeypatch.setattr(cutlet, "Cutlet", fail)
    with pytest.raises(TextError, match="pip install unidic-lite"):
        clean_text("猫", "ja")


@pytest.mark.parametrize("language", ["zh", "ko"])
def test_plain_letters_need_no_package(language, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypinyin", None)
    monkeypatch.setitem(sys.modules, "hangul_romanize", None)
    assert clean_text("Hello", language) == "hello"


@pytest.mark.parametrize(("language", "module", "text"), CASES)
def test_no_text_raises(language, module, text):
    pytest.importorskip(module, reason=f"{module} is not installed, which reads {language}")
    odd = ["", " ", "?!…", "🎉", "\udc80", "\x00", "\u3097", "a б ش हि" + text, "7" * 5000]
    for item in odd:
        clean_text(item, language).encode("utf-8")


@pytest.mark.parametrize(("language", "module", "text"), CASES)
def test_random_characters_never_raise(language, module, text):
    pytest.importorskip(module, reason=f"{module} is not installed, which reads {language}")
    rng = random.Random(0)
    for _ in range(300):
        clean_text("".join(chr(rng.randrange(0x20, 0xFFFF)) for _ in range(8)), language)


@pytest.mark.parametrize(("language", "module", "text"), CASES)
def test_ten_thousand_characters_are_split_quickly(language, module, text):
    pytest.importorskip(module, reason=f"{module} is not installed, which reads {language}")
    tokenizer = train_tokenizer([("a", language)], 320)
    start = time.monotonic()
    pieces = split_text(text * (10_000 // len(text)), tokenizer, language, 100)
    assert all(len(tokenizer.encode(piece, language)) <= 100 for piece in pieces)
    assert sum(map(len, pieces)) == 10_000 // len(text) * len(text)
    assert time.monotonic() - start < 60


def test_hangul_equals_what_coqui_calls():
    theirs = pytest.importorskip("ko_speech_tools", reason="coqui-tts is not installed")
    pytest.importorskip("hangul_romanize", reason="hangul-romanize is not installed")
    rng = random.Random(0)
    text = "".join(
        rng.choice([chr(rng.randrange(0xAC00, 0xD7A4)), " ", "a"]) for _ in range(20_000)
    )
    assert romanize.to_hangul_letters(text) == theirs.hangul_romanize(text)
