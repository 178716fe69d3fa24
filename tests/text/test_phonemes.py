"""Phonemes in brackets, in a vocabulary that has them."""

import numpy as np
import pytest

from myxtts.errors import TextError
from myxtts.text.phonemes import ALPHABET, TOKENS, has_phonemes, with_brackets, without_brackets
from myxtts.text.tokenizer import SPACE_ID, character_tokenizer, train_tokenizer

TEXTS = [("She said it twice, did she not?", "en")]


@pytest.fixture(scope="module")
def tokenizer():
    return character_tokenizer(TEXTS, 400)


def test_every_phoneme_has_a_character_of_its_own():
    assert len(set(TOKENS.values())) == len(ALPHABET) == len(set(ALPHABET))
    assert not set(TOKENS.values()) & set(ALPHABET)
    assert not any(sign.isalnum() or sign.isspace() for sign in TOKENS.values())


def test_letters_and_phonemes_have_other_ids(tokenizer):
    letter, phoneme = tokenizer.encode("b", "en")[1:], tokenizer.encode("[b]", "en")[1:]
    assert len(letter) == len(phoneme) == 1
    assert letter != phoneme


def test_words_may_be_in_either(tokenizer):
    mixed = tokenizer.encode("Did [ʃˈi, sˈɛd] it 2 times?", "en")
    plain = tokenizer.encode("did", "en")
    assert mixed[: len(plain)] == plain
    assert mixed.count(SPACE_ID) == 5
    assert tokenizer.decode(mixed) == "[en]did [ʃˈi], [sˈɛd] it two times?"


def test_punctuation_in_brackets_is_that_outside(tokenizer):
    assert tokenizer.encode("[ɪt, nɑt?]", "en")[3] == tokenizer.encode("it, not?", "en")[3]
    assert tokenizer.encode("[“ɪt”…]", "en") == tokenizer.encode("[ɪt].", "en")


def test_unknown_symbols_are_named(tokenizer):
    with pytest.raises(TextError, match="'ж' in brackets is no phoneme"):
        tokenizer.encode("say [ж]", "en")


def test_brackets_come_and_go():
    text = "did [ʃˈi] say [nO]?"
    assert has_phonemes(text)
    assert not has_phonemes("did she?")
    assert with_brackets(without_brackets(text)) == text


def test_vocabularies_without_phonemes_take_brackets_as_ever():
    learned = train_tokenizer(TEXTS, 300)
    assert not learned.has_phonemes
    assert learned.encode("it [nɑt", "en")  # no sentence, whatever it reads


def test_spans_of_characters_are_their_places(tokenizer):
    ids, spans = tokenizer.pieces(tokenizer.clean("did [ʃi] it", "en"))
    assert len(ids) == len(spans) == 9
    np.testing.assert_array_equal(spans, [(place, place + 1) for place in range(9)])
