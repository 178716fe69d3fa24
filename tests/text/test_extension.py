"""A vocabulary grows, and nothing it knew changes its id."""

import pytest

from myxtts.errors import TextError
from myxtts.text.extension import extend_tokenizer
from myxtts.text.tokenizer import VoiceBpeTokenizer, train_tokenizer

OLD = [("the cat sat on the mat.", "en"), ("hello there, hello!", "en")]
NEW = [("hej då, världen. hej världen!", "sv"), ("the hello world, the world", "en")] * 3


@pytest.fixture(scope="module")
def old() -> VoiceBpeTokenizer:
    return train_tokenizer(OLD, 300)


@pytest.fixture(scope="module")
def new(old) -> VoiceBpeTokenizer:
    return extend_tokenizer(old, NEW, 40)


def test_old_ids_stay_and_new_ones_follow(old, new):
    before, after = old.vocabulary, new.vocabulary
    assert before.items() <= after.items()
    added = sorted(set(after.values()) - set(before.values()))
    assert added == list(range(old.vocab_size, new.vocab_size))
    assert 0 < len(added) <= 40


def test_an_old_texts_ids_are_only_joined_further(old, new):
    spellings = {number: old.spell(token) for token, number in new.vocabulary.items()}
    for text, language in OLD:
        known = set(old.vocabulary.values())
        ids = new.encode(text, language)
        parts = [
            part for number in ids for part in ([number] if number in known else spellings[number])
        ]
        assert parts == old.encode(text, language)


def test_a_new_language_and_its_letters_can_be_written(old, new):
    assert "sv" in new.languages
    with pytest.raises(TextError, match="unknown language"):
        old.encode("hej", "sv")
    ids = new.encode("Hej då, världen!", "sv")
    assert new.decode(ids) == "[sv]hej då, världen!"


def test_frequent_words_take_fewer_ids(old, new):
    with_letters = extend_tokenizer(old, NEW, 3)
    assert len(new.encode("världen", "sv")) < len(with_letters.encode("världen", "sv"))


def test_words_are_not_joined_with_their_punctuation(new):
    assert not [token for token in new.vocabulary if "," in token and token != ","]


def test_room_is_a_bound_and_characters_come_before_pairs(old):
    small = extend_tokenizer(old, NEW, 3)
    assert set(small.vocabulary) - set(old.vocabulary) == {"[sv]", "ä", "å"}
    with pytest.raises(TextError, match="new languages"):
        extend_tokenizer(old, [("hej", "sv"), ("hei", "fi")], 1)


def test_an_extended_vocabulary_survives_its_file(new, tmp_path):
    new.save(tmp_path / "tokenizer.json")
    again = VoiceBpeTokenizer(tmp_path / "tokenizer.json")
    assert again.vocabulary == new.vocabulary
    assert again.encode("hej världen", "sv") == new.encode("hej världen", "sv")
