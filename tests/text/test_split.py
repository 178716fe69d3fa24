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


# Characters beyond which Coqui warns of cut speech, and to which it splits.
LIMITS = {
    "en": 250,
    "es": 239,
    "fr": 273,
    "de": 253,
    "it": 213,
    "pt": 203,
    "pl": 224,
    "tr": 226,
    "ru": 182,
    "nl": 251,
    "cs": 186,
    "ar": 166,
    "zh-cn": 82,
    "ja": 71,
    "hu": 224,
    "ko": 95,
    "hi": 150,
}
SHORT = "The sun rose. A dog barked! Who was there? Nobody knew. The old man slept, and it rained. "
# What Coqui's splitter makes of a text: language, most characters, text, pieces.
COQUIS = [
    ("en", 250, SHORT.strip(), [SHORT.strip()]),
    ("en", 28, "The sun rose. A dog barked! So?", ["The sun rose. A dog barked!", "So?"]),
    ("en", 27, "The sun rose. A dog barked!", ["The sun rose. A dog barked!"]),
    ("en", 20, "The sun rose. A dog barked!", ["The sun rose.", "A dog barked!"]),
    ("en", 13, "one two three four five six", ["one two three", "four five six"]),
    ("zh-cn", 8, "今天天气很好。我们去公园吧！", ["今天天气很好。", "我们去公园吧！"]),
    ("hi", 20, "यह एक वाक्य है। यह दूसरा है।", ["यह एक वाक्य है।", "यह दूसरा है।"]),
    ("ar", 20, "كان هناك جندي؟ لا أحد.", ["كان هناك جندي؟", "لا أحد."]),
]


@pytest.mark.parametrize("language", LIMITS)
def test_the_limits_are_coquis(language):
    assert table_of(language).max_characters == LIMITS[language]


def splits(text: str, language: str, limit: int) -> list[str]:
    """Pieces that only their characters limit."""
    # Any vocabulary will do; that of Chinese would want the package which reads it.
    code = "en" if language == "zh-cn" else language
    tokenizer = train_tokenizer([("ab cd", code)], 300)
    return split_text(text, tokenizer, code, 10**6, max_characters=limit)


@pytest.mark.parametrize(("language", "limit", "text", "pieces"), COQUIS)
def test_sentences_are_packed_as_coqui_packs_them(language, limit, text, pieces):
    assert splits(text, language, limit) == pieces


@pytest.mark.parametrize("limit", [1, 7, 25, 40, 82, 250])
def test_no_piece_is_above_the_limit_and_nothing_is_lost(limit):
    text = SHORT * 4 + "x" * 600 + ". " + SENTENCE * 4
    pieces = splits(text, "en", limit)
    assert max(map(len, pieces)) <= limit
    spoken = "".join(filter(str.isalnum, "".join(pieces)))
    assert spoken == "".join(filter(str.isalnum, text))
    if limit >= len(SENTENCE):
        assert all(piece[-1] in ".!?x" for piece in pieces)


def test_a_tie_between_clauses_and_words_goes_to_the_clause():
    # Coqui fills every piece with words instead, and so cuts inside of clauses.
    text = "This sentence has a comma, and it goes on and on until it ends."
    pieces = splits(text, "en", 40)
    assert pieces == ["This sentence has a comma,", "and it goes on and on until it ends."]


def test_a_limit_beyond_all_texts_is_no_limit():
    assert splits(SHORT.strip(), "en", 10**9) == [SHORT.strip()]


def coqui_splitter():
    """Coqui's ``split_sentence``, where it and what it needs are installed."""
    pytest.importorskip("spacy", reason="spacy is not installed, which Coqui splits with")
    module = pytest.importorskip(
        "TTS.tts.layers.xtts.tokenizer", reason="coqui-tts is not installed (make reference)"
    )
    return module.split_sentence


@pytest.mark.parametrize(("language", "limit", "text", "pieces"), COQUIS)
def test_the_facts_are_coquis(language, limit, text, pieces):
    split = coqui_splitter()
    assert [piece.strip() for piece in split(text, language.split("-")[0], limit)] == pieces


@pytest.mark.parametrize("repeats", [1, 3, 7])
def test_short_sentences_are_split_as_by_coqui(repeats):
    split, text = coqui_splitter(), (SHORT * repeats).strip()
    for limit in range(34, 260, 15):
        theirs = [piece.strip() for piece in split(text, "en", limit)]
        # Coqui forgets the space between two sentences when it counts.
        if max(map(len, theirs)) <= limit:
            assert splits(text, "en", limit) == theirs
