"""Long text is split by counted tokens and loses no word."""

import pytest

from myxtts.errors import TextError
from myxtts.text.languages import table_of
from myxtts.text.split import split_text
from myxtts.text.tokenizer import train_tokenizer

SENTENCE = "The old man, who had seen the sea, walked home slowly; nobody spoke to him. "


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([(SENTENCE, "en")], 300)


@pytest.mark.parametrize("limit", [12, 30, 80, 400])
@pytest.mark.parametrize("text", [SENTENCE * 5, "word " * 200, "a, " * 100])
def test_pieces_fit_and_lose_no_word(tokenizer, text, limit):
    pieces = split_text(text, tokenizer, "en", limit)
    assert all(len(tokenizer.encode(piece, "en")) <= limit for piece in pieces)
    assert " ".join(pieces).split() == text.split()


def test_sentences_are_preferred_to_clauses(tokenizer):
    size = len(tokenizer.encode(SENTENCE, "en"))
    assert split_text(SENTENCE * 3, tokenizer, "en", size) == [SENTENCE.strip()] * 3


def test_short_sentences_are_joined_while_they_fit(tokenizer):
    assert split_text("Go. Run. Stop.", tokenizer, "en", 100) == ["Go. Run. Stop."]


def test_one_endless_word_is_cut(tokenizer):
    pieces = split_text("x" * 10_000, tokenizer, "en", 50)
    assert "".join(pieces) == "x" * 10_000


@pytest.mark.parametrize("text", ["", "  \n", "...", "🎉 🎉"])
def test_nothing_to_say_gives_no_piece(tokenizer, text):
    assert split_text(text, tokenizer, "en", 50) == []


def test_unknown_language_is_refused_even_for_empty_text(tokenizer):
    with pytest.raises(TextError):
        split_text("", tokenizer, "xx", 50)


def test_ten_thousand_characters_are_quick_to_split(tokenizer):
    assert split_text(SENTENCE * 130, tokenizer, "en", 60)


def test_characters_are_limited_too(tokenizer):
    limit = table_of("zh-cn").max_characters
    assert limit == 82
    pieces = split_text(SENTENCE * 5, tokenizer, "en", 400, max_characters=limit)
    assert max(map(len, pieces)) <= limit
    assert " ".join(pieces).split() == (SENTENCE * 5).split()


def test_an_unknown_language_has_the_usual_limit():
    assert table_of("sv").max_characters == 250


def test_an_abbreviation_ends_no_sentence(tokenizer):
    text = "We all saw Mr. Smith. He saw us too."
    pieces = split_text(text, tokenizer, "en", 400, max_characters=21)
    assert pieces == ["We all saw Mr. Smith.", "He saw us too."]


@pytest.mark.parametrize(
    ("language", "text", "pieces"),
    [
        ("zh-cn", "ab cd。ef gh！ij", ["ab cd。", "ef gh！", "ij"]),
        ("zh-cn", "「ab。」cd。", ["「ab。」", "cd。"]),
        ("hi", "ab cd। ef gh", ["ab cd।", "ef gh"]),
        ("ar", "ab cd؟ ef gh", ["ab cd؟", "ef gh"]),
        ("ar", "ab cd، ef gh", ["ab cd،", "ef gh"]),
    ],
)
def test_sentences_end_by_the_marks_of_every_script(language, text, pieces):
    tokenizer = train_tokenizer([("ab cd", language)], 300)
    found = split_text(text, tokenizer, language, 400, max_characters=7)
    assert found == pieces


def test_pieces_without_spaces_are_joined_without_one():
    tokenizer = train_tokenizer([("ab cd", "hi")], 300)
    assert split_text("甲乙。丙。丁戊己。", tokenizer, "hi", 400, max_characters=6) == [
        "甲乙。丙。",
        "丁戊己。",
    ]
