"""Texts read in letters and phonemes, each word in one or the other."""

from pathlib import Path

import numpy as np
import pytest

from myxtts.data.formats import Utterance, find_utterances
from myxtts.data.readings import Readings
from myxtts.errors import DataError, TextError
from myxtts.text.phonemes import with_brackets
from myxtts.text.tokenizer import character_tokenizer
from tests.data.test_formats import write_jsonl

WORDS = ("tˈu", "ænd", "ə “hˈæf”.")
PHONEMES = " ".join(WORDS)
SECONDS = tuple(np.round(np.random.default_rng(0).uniform(0.02, 0.2, len(PHONEMES)), 3).tolist())
ITEM = Utterance(Path("a.wav"), "Two and 1/2.", "ann", "en", SECONDS, tuple(PHONEMES), WORDS)
PLAIN = Utterance(Path("a.wav"), "Two and a half.", "ann", "en")


@pytest.fixture(scope="module")
def tokenizer():
    return character_tokenizer([("Two and a half, or not.", "en")], 400)


def readings(tokenizer, share, item=ITEM):
    return Readings(item, tokenizer, share)


def text_of(tokenizer, ids):
    return tokenizer.decode(ids.tolist()).removeprefix("[en]")


def test_without_a_share_all_is_letters(tokenizer):
    ids, ends = readings(tokenizer, 0.0).draw(np.random.default_rng(0))
    assert ids.tolist() == tokenizer.encode(ITEM.text, "en")
    assert ends[-1] == pytest.approx(sum(SECONDS))


def test_a_share_of_one_is_all_phonemes_with_their_own_durations(tokenizer):
    ids, ends = readings(tokenizer, 1.0).draw(np.random.default_rng(0))
    assert text_of(tokenizer, ids) == with_brackets(tokenizer.clean(f"[{PHONEMES}]", "en"))
    kept = np.array([symbol not in "“”" for symbol in PHONEMES])
    assert len(ids) == 1 + kept.sum()
    # A mark without a token leaves its time to what comes after it, the last one to nobody.
    times = np.cumsum(SECONDS)[kept]
    np.testing.assert_allclose(ends, [0.0, *times])


def test_a_mixture_keeps_every_word_in_its_time(tokenizer):
    item = readings(tokenizer, 0.5)
    seen = set()
    for seed in range(40):
        ids, ends = item.draw(np.random.default_rng(seed))
        assert len(ids) == len(ends) <= item.longest
        assert (np.diff(ends) >= 0).all()
        words = text_of(tokenizer, ids).split()
        seen |= set(words)
        first = len(words[0].strip("[]"))
        # The first word has its time, and in letters that of the space behind it too.
        known = sum(SECONDS[: len(WORDS[0]) + (words[0] == "two")])
        assert ends[first] == pytest.approx(known)
    assert {"two", "[tˈu]", "and", "[ænd]"} <= seen


def test_the_mean_share_is_the_wished_and_both_ends_are_common(tokenizer):
    text = "two and two and two and two and two and two"
    sounds = ("tˈu", "ænd") * 5 + ("tˈu",)
    item = Utterance(Path("a.wav"), text, "ann", "en", (), tuple(" ".join(sounds)), sounds)
    found = readings(tokenizer, 0.7, item)
    shares = []
    for seed in range(800):
        words = text_of(tokenizer, found.draw(np.random.default_rng(seed))[0]).split()
        shares.append(np.mean([word.startswith("[") for word in words]))
    assert np.mean(shares) == pytest.approx(0.7, abs=0.05)
    assert np.mean(np.array(shares) == 1) > 0.3
    assert np.mean(np.array(shares) == 0) > 0.05


def test_durations_may_be_unknown(tokenizer):
    item = Utterance(Path("a.wav"), "two", "ann", "en", (), tuple("tˈu"), ("tˈu",))
    ids, ends = readings(tokenizer, 1.0, item).draw(np.random.default_rng(0))
    assert ends is None
    assert len(ids) == 4


def test_durations_of_words_are_shared_by_their_phonemes(tokenizer):
    sounds = ("tˈu", "nˈɑt")
    item = Utterance(Path("a.wav"), "two not", "ann", "en", (0.6, 0.8), tuple("tˈu nˈɑt"), sounds)
    _, ends = readings(tokenizer, 1.0, item).draw(np.random.default_rng(0))
    np.testing.assert_allclose(ends, [0, 0.2, 0.4, 0.6, 0.6, 0.8, 1.0, 1.2, 1.4])


def test_a_word_without_a_sound_and_a_text_without_phonemes_stay_letters(tokenizer):
    dashed = Utterance(Path("a.wav"), "two - two", "ann", "en", (), (), ("tˈu", "", "tˈu"))
    ids, _ = readings(tokenizer, 1.0, dashed).draw(np.random.default_rng(0))
    assert text_of(tokenizer, ids) == "[tˈu] - [tˈu]"
    ids, _ = readings(tokenizer, 1.0, PLAIN).draw(np.random.default_rng(0))
    assert ids.tolist() == tokenizer.encode(PLAIN.text, "en")


def test_letters_drawn_are_the_letters(tokenizer):
    found = readings(tokenizer, 1e-9)
    ids, ends = found.draw(np.random.default_rng(0))
    plain = readings(tokenizer, 0.0)
    assert ids.tolist() == plain.ids.tolist() == found.ids.tolist()
    np.testing.assert_allclose(ends, plain.ends, atol=1e-12)


def test_a_phoneme_that_nobody_knows_is_named(tokenizer):
    item = Utterance(Path("a.wav"), "two", "ann", "en", (), tuple("tж"), ("tж",))
    with pytest.raises(TextError, match="'ж' in brackets is no phoneme"):
        readings(tokenizer, 0.5, item)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tu"], "'word_phonemes' are not the 'phonemes' of the 2 words"),
        (["tu", "fo"], "'word_phonemes' are not the 'phonemes' of the 2 words"),
        ("tu fɔ", "'word_phonemes' is no list of strings"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, words, message):
    line = {"file_name": "1.wav", "text": "two four", "phonemes": "tu fɔ", "word_phonemes": words}
    write_jsonl(tmp_path, line)
    with pytest.raises(DataError, match=f"line 1: {message}"):
        find_utterances(tmp_path)
