"""English text is read aloud as XTTS reads it."""

import pytest

from myxtts.text.cleaners import clean_text, is_speakable

FACTS = {
    "In 12.5 seconds.": "in twelve point five seconds.",
    "There were 50 soldiers.": "there were fifty soldiers.",
    "This is a 1st test": "this is a first test",
    "the 22nd and the 103rd": "the twenty-second and the one hundred and third",
    "That will be $20 sir.": "that will be twenty dollars sir.",
    "That will be 20€ sir.": "that will be twenty euro sir.",
    "That will be 20.15€ sir.": "that will be twenty euro, fifteen cents sir.",
    "That's 100,000.5.": "that's one hundred thousand point five.",
    "£3 please": "three pounds sterling please",
    "Hello Mr. Smith.": "hello mister smith.",
    "Dr. Jones is here.": "doctor jones is here.",
    "I have 14% battery": "i have fourteen percent battery",
    "you & me @ home": "you and me at home",
    'She said "no".': "she said no.",
    "two\n\nlines \t here": "two lines here",
    "in 1999": "in one thousand, nine hundred and ninety-nine",
}


@pytest.mark.parametrize("text", FACTS)
def test_english_is_spelt_out(text):
    assert clean_text(text, "en") == FACTS[text]


@pytest.mark.parametrize("text", ["$1.2.3", "1" * 60, "£", "1,2,3", "$,", "0th", "٣", "½", "²"])
def test_odd_numbers_never_raise(text):
    assert isinstance(clean_text(text, "en"), str)


def test_another_language_is_lower_cased_only():
    assert clean_text("Ça  VA 3", "fr") == "ça va 3"


@pytest.mark.parametrize("text", ["a", "7", "é", "你"])
def test_letters_and_digits_can_be_spoken(text):
    assert is_speakable(text)


@pytest.mark.parametrize("text", ["", " ", "...", "?!", "🎉", "—"])
def test_punctuation_alone_cannot(text):
    assert not is_speakable(text)
