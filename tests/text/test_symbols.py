"""Texts as RTVC's ids: the symbols, the cleaner and its readings of numbers."""

import json
import random

import pytest

from myxtts.errors import ConfigError, TextError
from myxtts.text.english_numbers import cardinal, expand_numbers, ordinal
from myxtts.text.symbols import (
    PHONEME_SYMBOLS,
    SYMBOLS,
    SymbolTokenizer,
    english_cleaners,
    read_symbols,
)
from myxtts.text.transliteration import to_ascii


@pytest.fixture(scope="module")
def golden(sv2tts_fixtures) -> dict:
    return json.loads((sv2tts_fixtures / "text.json").read_text(encoding="utf-8"))


def test_ids_are_the_originals(golden):
    tokenizer = SymbolTokenizer()
    assert list(tokenizer.symbols) == golden["symbols"] and len(tokenizer) == 66
    for item in golden["sentences"]:
        assert english_cleaners(item["text"]) == item["cleaned"]
        assert tokenizer.encode(item["text"]) == item["ids"]


def test_numbers_are_read_as_inflect_does():
    inflect = pytest.importorskip("inflect", reason="the original's reader of numbers")
    engine, rng = inflect.engine(), random.Random(5)
    numbers = [*range(1200), *(rng.randrange(10 ** rng.randint(3, 20)) for _ in range(200))]
    for number in numbers:
        assert cardinal(number) == engine.number_to_words(number, andword="")
        assert ordinal(number) == engine.number_to_words(engine.ordinal(number))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1999 2000 2005 1900 3000 1001", "nineteen ninety-nine two thousand two thousand five "
         "nineteen hundred three thousand ten oh one"),
        ("$1 $0.01 $3.50 $0", "one dollar one cent three dollars, fifty cents zero dollars"),
        ("the 22nd", "the twenty-second"),
        ("1" * 40, " ".join(["one"] * 40)),
    ],
)  # fmt: skip
def test_numbers(text, read):
    assert expand_numbers(text) == read


def test_letters_of_other_scripts():
    assert to_ascii("naïve café — “Привет”") == 'naive cafe -- "Privet"'
    assert SymbolTokenizer().decode(SymbolTokenizer().encode("Straße № 5")) == "strasse no. five~"


def test_other_symbols():
    symbols = read_symbols("_\n~\na\nb\n \n@HH\n")
    tokenizer = SymbolTokenizer(symbols, ["basic_cleaners"])
    assert tokenizer.encode(" AB_ ~ba{HH XX} ") == [2, 3, 4, 3, 2, 5, 1]
    assert SYMBOLS[0] == "_"


@pytest.mark.parametrize(
    ("symbols", "cleaners", "said"),
    [
        ("_~aa", (), "'a' twice"),
        ("_ab", (), "end mark"),
        ("_~a", ("english_cleaner",), "did you mean 'english_cleaners'"),
    ],
)
def test_what_cannot_be_a_tokenizer(symbols, cleaners, said):
    with pytest.raises(ConfigError, match=said):
        SymbolTokenizer(symbols, cleaners)


def test_a_text_without_symbols_is_refused():
    with pytest.raises(TextError, match="among the symbols"):
        SymbolTokenizer(cleaners=["basic_cleaners"]).encode("привет")
    assert SymbolTokenizer().encode("") == [1]


def test_phonemes_in_brackets_where_the_symbols_have_them():
    tokenizer = SymbolTokenizer(PHONEME_SYMBOLS)
    ids = tokenizer.encode("[hˈɛɹiət]! You")
    assert ids == tokenizer.encode("[hˈɛɹiət!] you") and len(ids) == 7 + 1 + 1 + 3 + 1
    assert tokenizer.decode(ids[7:]) == "! you~" and ids[0] != tokenizer.ids["h"]
    with pytest.raises(TextError, match="is no phoneme"):
        tokenizer.encode("[hé]")
    # The original's symbols have none: brackets are left out, as ever.
    assert SymbolTokenizer().encode("[hat] you") == SymbolTokenizer().encode("hat you")
