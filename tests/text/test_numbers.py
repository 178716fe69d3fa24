"""Numbers are read even where num2words gives up."""

import pytest

from myxtts.text.cleaners import clean_text
from myxtts.text.languages import LANGUAGES
from myxtts.text.numbers import expand_numbers

HINDI = {
    "0": "शून्य",
    "12.5 सेकंड": "बारह दशमलव पाँच सेकंड",
    "100": "एक सौ",
    "250": "दो सौ पचास",
    "1,00,000 लोग": "एक लाख लोग",
    "100,000": "एक लाख",
    "12345678": "एक करोड़ तेईस लाख पैंतालीस हज़ार छह सौ अठहत्तर",
    "3.05": "तीन दशमलव शून्य पाँच",
    "5, 6": "पाँच, छह",
}


@pytest.mark.parametrize("text", HINDI)
def test_hindi_is_read_by_its_own_table(text):
    assert expand_numbers(text, "hi") == HINDI[text]


def test_hindi_numbers_too_long_for_their_units_are_read_digit_by_digit():
    assert expand_numbers("9" * 14, "hi") == " ".join(["नौ"] * 14)


def test_hindi_words_are_a_hundred_different_ones():
    assert len({expand_numbers(str(number), "hi") for number in range(100)}) == 100


def test_an_ordinal_that_is_lacking_is_read_as_a_cardinal():
    assert clean_text("Dne 1. května", "cs") == "dne jedna května"


def test_a_number_too_long_is_read_digit_by_digit():
    assert expand_numbers("7" * 50, "es") == " ".join(["siete"] * 50)


def test_a_currency_that_is_lacking_leaves_number_and_sign():
    assert clean_text("Cena je $20.", "cs") == "cena je dolar dvacet."


def test_a_dot_at_the_end_stays_where_the_ordinal_is_lacking():
    assert clean_text("Je mu 20.", "cs") == "je mu dvacet."


def test_portuguese_amounts_without_cents_lose_their_units_as_in_coqui():
    assert clean_text("São 21€", "pt") == "são vinte"


def test_a_decimal_too_long_is_read_in_parts():
    digits = "1" * 400
    assert expand_numbers(f"{digits}.5", "fr").endswith(".cinq")


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"zh", "ja"}))
@pytest.mark.parametrize("text", ["1" * 30, "9.9.9", "$1.2.3", "5€5", "0,0", "00", "1e400", "٣,٥"])
def test_odd_numbers_leave_no_ascii_digit(language, text):
    spoken = expand_numbers(text, language)
    assert not any(digit in spoken for digit in "0123456789")
