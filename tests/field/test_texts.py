"""Texts as people have them: ids of what they mean, and a warning for what nobody can say."""

import json
import logging
import unicodedata

import pytest
import tensorflow as tf
from tokenizers import Tokenizer

from myxtts.errors import TextError
from myxtts.serving.graph.text.tokenizer import GraphTokenizer
from myxtts.text.tokenizer import VoiceBpeTokenizer, train_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyzßäöüœïêâÿèàëùîçæôûáéíóúñńśęążćãşğıòìõøčōšžðħňźłăđţýďěřťůű"
SIGNS = "!'(),-./:;?¿…\"’“”&=0123456789"
# The last ones look like languages, or stand in the same brackets.
NAMES = ["en", "fr", "de", "pl", "vi", "fil", "pt", "pt-br", "en_in", "zh-cn", "laughter", "sad"]


@pytest.fixture(scope="module")
def tokenizer() -> VoiceBpeTokenizer:
    """A vocabulary of single characters in the layout of XTTS-v2's."""
    tokens = ["[STOP]", "[UNK]", "[SPACE]", *LETTERS, *SIGNS]
    tokens += [f"[FILLER{number}]" for number in range(len(tokens), 261)] + ["[START]"]
    tokens += [f"[{name}]" for name in NAMES]
    ids = {token: number for number, token in enumerate(tokens)}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    special = [
        {"id": ids[token], "content": token, "special": True, **flags}
        for token in tokens
        if len(token) > 1 and "FILLER" not in token
    ]
    model = {"type": "BPE", "unk_token": "[UNK]", "vocab": ids, "merges": []}
    state = {"version": "1.0", "added_tokens": special, "model": model}
    state["pre_tokenizer"] = {"type": "Whitespace"}
    return VoiceBpeTokenizer(Tokenizer.from_str(json.dumps(state)))


@pytest.fixture(scope="module")
def graph(tokenizer):
    quick = VoiceBpeTokenizer(Tokenizer.from_str(tokenizer.to_json()))
    # Their tables of numbers are learned in a moment.
    quick.languages = ["en", "pl", "pt", "pt-br", "vi"]
    made = GraphTokenizer(quick, 402)
    strings = tf.TensorSpec((None,), "string")
    return tf.function(made, input_signature=(strings, strings), autograph=False)


def graph_ids(graph, text, language) -> list[int]:
    told = graph(tf.constant([text]), tf.constant([language]))
    return list(told["ids"].numpy()[0])


MENDED = [
    (
        "fr",
        unicodedata.normalize("NFD", "Le café est près du théâtre."),
        "Le café est près du théâtre.",
    ),
    ("pl", unicodedata.normalize("NFD", "Zażółć gęślą jaźń."), "Zażółć gęślą jaźń."),
    ("en", "The oﬃce ﬁle.", "The office file."),
    ("en", "ＨＥＬＬＯ １２", "HELLO 12"),
    ("en", "non\u00adstop\u200b, \ufeffhe said", "nonstop, he said"),
    ("en", "x² and ½", "x2 and 1/2"),
    ("en", "‚a‘ – „b„ — c‑d", "'a' - b - c-d"),
    ("en", "a + b", "a plus b"),
    ("pl", "2+2=4", "2 plus 2=4"),
]


@pytest.mark.parametrize(("language", "text", "same"), MENDED)
def test_what_can_be_mended_is(tokenizer, graph, caplog, language, text, same):
    expected = tokenizer.encode(same, language)
    assert tokenizer.encode(text, language) == expected
    assert tokenizer.vocabulary["[UNK]"] not in expected
    assert caplog.text == ""
    if language in ("en", "pl"):
        assert graph_ids(graph, text, language) == expected


@pytest.mark.parametrize(
    ("text", "characters", "place"),
    [
        ("The sign said 你好.", "你好", "'你' (U+4F60) at 15, '好' (U+597D) at 16"),
        ("A 🎉 party", "🎉", "'🎉' (U+1F389) at 3"),
        ("Привет, he said", "привет", "'п' (U+043F) at 1"),
    ],
)
def test_the_rest_is_told(tokenizer, graph, caplog, text, characters, place):
    ids = tokenizer.encode(text, "en")
    assert ids.count(tokenizer.vocabulary["[UNK]"]) == len(characters)
    assert tokenizer.unknown(text, "en") == list(characters)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"lacks {len(characters)} of the characters of {text!r}" in record.getMessage()
    assert place in record.getMessage()
    assert graph_ids(graph, text, "en") == ids
    caplog.clear()
    tokenizer.count(text, "en")
    tokenizer.encode(text, "en")
    assert caplog.text == ""


def test_what_a_vocabulary_knows_is_left_alone(tokenizer):
    assert tokenizer.clean("“…’ æ œ ß =", "en") == "“…’ æ œ ß ="
    # An English vocabulary spells the letters of others.
    small = train_tokenizer([("ab cd", "de")], 300)
    assert small.clean("Über Straße", "de") == "ueber strasse"


def test_vocabularies_of_letters_in_two_parts_are_of_whole_ones():
    text = unicodedata.normalize("NFD", "Zażółć gęślą jaźń.")
    trained = train_tokenizer([(text, "pl")], 320)
    assert "ż" in trained.vocabulary
    assert "\u0307" not in trained.vocabulary
    assert trained.encode(text, "pl") == trained.encode(unicodedata.normalize("NFC", text), "pl")


def test_korean_in_parts_is_whole():
    pytest.importorskip("hangul_romanize", reason="hangul-romanize is not installed")
    trained = train_tokenizer([("안녕 세상", "ko")], 320)
    parts = unicodedata.normalize("NFD", "안녕 세상")
    assert trained.encode(parts, "ko") == trained.encode("안녕 세상", "ko")
    assert trained.unknown(parts, "ko") == []


def test_only_languages_are_listed(tokenizer):
    assert tokenizer.languages == sorted(set(NAMES) - {"laughter", "sad"})


@pytest.mark.parametrize(
    ("code", "token"),
    [
        ("pt-br", "pt-br"),
        ("pt-BR", "pt-br"),
        ("pt_BR", "pt-br"),
        ("pt-PT", "pt"),
        ("en-IN", "en_in"),
        ("en_US", "en"),
        ("zh_CN", "zh-cn"),
        ("zh", "zh-cn"),
        ("fil", "fil"),
    ],
)
def test_a_code_has_its_own_token_or_its_languages(tokenizer, graph, code, token):
    assert tokenizer.language_token(code) == token
    assert tokenizer.encode("a", code)[0] == tokenizer.vocabulary[f"[{token}]"]
    if code.startswith("pt"):
        assert graph_ids(graph, "a", code)[0] == tokenizer.vocabulary[f"[{token}]"]


@pytest.mark.parametrize("code", ["laughter", "sad", "Vietnamese", "", "xx"])
def test_what_is_no_language_is_refused(tokenizer, code):
    with pytest.raises(TextError, match="unknown language .*this model speaks de, en, en_in, fil"):
        tokenizer.encode("a", code)
