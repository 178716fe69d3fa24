"""Tables learned from a reader read as it does, or are not made."""

import random

import pytest
from num2words import num2words

from myxtts.errors import TextError
from myxtts.serving.graph.text.readings import learn, learn_readings


@pytest.mark.parametrize("language", ["es", "ru", "pl", "hu", "cs"])
def test_numbers_that_no_table_was_made_from_are_read_as_the_reader_reads_them(language):
    table = learn_readings(language).cardinal
    rng = random.Random(5)
    numbers = [rng.randrange(10 ** rng.randint(1, 9)) for _ in range(2000)]
    assert [table.read(n) for n in numbers] == [num2words(n, lang=language) for n in numbers]


def test_a_language_that_is_irregular_above_a_million_is_read_below_it():
    assert learn_readings("it").cardinal.limit == 10**6


def test_a_reading_that_no_table_holds_is_noticed():
    with pytest.raises(TextError, match="tables cannot hold"):
        learn(lambda number: f"{number} is {'even' if number % 2 else 'odd' * (number % 1009)}")


def test_indian_numbers_are_grouped_by_hundreds():
    assert learn_readings("hi").cardinal.read(1_234_567).startswith("बारह लाख चौंतीस हज़ार")
