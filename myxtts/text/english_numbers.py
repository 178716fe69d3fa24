"""English numbers as the Tacotron recipes read them, without "and".

"1,234" is "one thousand, two hundred thirty-four", 1999 is "nineteen ninety-nine", and the
digits behind a point are a number of their own. The readings are those of RTVC's text side.
"""

from __future__ import annotations

import re

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = [
    "_",
    "thousand",
    "million",
    "billion",
    "trillion",
    "quadrillion",
    "quintillion",
    "sextillion",
    "septillion",
    "octillion",
    "nonillion",
    "decillion",
]
# Where an ordinal is not the number with "th".
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
# Between these, numbers are read as years are.
YEARS = range(1001, 3000)


def expand_numbers(text: str) -> str:
    """Put words for the numbers, the dollars and the ordinals of ``text``."""
    text = re.sub(r"([0-9][0-9,]+[0-9])", lambda match: match[1].replace(",", ""), text)
    text = re.sub(r"£([0-9,]*[0-9]+)", r"\1 pounds", text)
    text = re.sub(r"\$([0-9.,]*[0-9]+)", lambda match: _dollars(match[1]), text)
    text = re.sub(r"([0-9]+\.[0-9]+)", lambda match: match[1].replace(".", " point "), text)
    text = re.sub(r"([0-9]+)(?:st|nd|rd|th)", lambda match: ordinal(int(match[1])), text)
    return re.sub(r"[0-9]+", lambda match: _plain(match[0]), text)


def cardinal(number: int, joined: str = "") -> str:
    """Words of a number of at most 36 digits; longer ones digit by digit.

    Args:
        number: not negative.
        joined: the word before the last two digits of three, "and" in ordinals.
    """
    groups = []
    rest = number
    while rest:
        rest, group = divmod(rest, 1000)
        groups.append(group)
    if len(groups) > len(SCALES):
        return " ".join(ONES[int(digit)] for digit in str(number))
    if not groups:
        return ONES[0]
    words = [
        (place, _below_thousand(group, joined) + _scale(place))
        for place, group in reversed(list(enumerate(groups)))
        if group
    ]
    spoken = ", ".join(word for _, word in words)
    # A last group without hundreds follows without a comma.
    if len(words) > 1 and words[-1][0] == 0 and groups[0] < 100:
        front = ", ".join(word for _, word in words[:-1])
        return " ".join(filter(None, [front, joined, words[-1][1]]))
    return spoken


def ordinal(number: int) -> str:
    """Words of an ordinal: "one hundred and third"."""
    front, mark, last = re.fullmatch(r"(.*?)([ -]?)([a-z]+)", cardinal(number, "and")).groups()
    if last in ORDINALS:
        last = ORDINALS[last]
    else:
        last = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return f"{front}{mark}{last}"


def _scale(place: int) -> str:
    return f" {SCALES[place]}" if place else ""


def _below_hundred(number: int) -> str:
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    return f"{TENS[tens]}-{ONES[ones]}" if ones else TENS[tens]


def _below_thousand(number: int, joined: str) -> str:
    hundreds, rest = divmod(number, 100)
    front = f"{ONES[hundreds]} hundred" if hundreds else ""
    between = joined if front and rest else ""
    return " ".join(filter(None, [front, between, _below_hundred(rest) if rest else ""]))


def _plain(digits: str) -> str:
    number = int(digits)
    if number not in YEARS:
        return cardinal(number)
    if number == 2000:
        return "two thousand"
    century, year = divmod(number, 100)
    if 2000 < number < 2010:
        return f"two thousand {ONES[year]}"
    if not year:
        return f"{_below_hundred(century)} hundred"
    return f"{_below_hundred(century)} {'oh ' if year < 10 else ''}{_below_hundred(year)}"


def _dollars(amount: str) -> str:
    parts = amount.split(".")
    if len(parts) > 2:
        return f"{amount} dollars"
    whole = int(parts[0].replace(",", "") or 0)
    cents = int(parts[1].replace(",", "") or 0) if len(parts) > 1 else 0
    spoken = [
        f"{count} {unit}{'s' * (count != 1)}"
        for count, unit in ((whole, "dollar"), (cents, "cent"))
        if count
    ]
    return ", ".join(spoken) or "zero dollars"
