"""Hindi numbers, which ``num2words`` (and so Coqui) does not know."""

from __future__ import annotations

import re

_ZERO_TO_NINETY_NINE = (
    "शून्य एक दो तीन चार पाँच छह सात आठ नौ "
    "दस ग्यारह बारह तेरह चौदह पंद्रह सोलह सत्रह अठारह उन्नीस "
    "बीस इक्कीस बाईस तेईस चौबीस पच्चीस छब्बीस सत्ताईस अट्ठाईस उनतीस "
    "तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस सैंतीस अड़तीस उनतालीस "
    "चालीस इकतालीस बयालीस तैंतालीस चवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास "
    "पचास इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ "
    "साठ इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर "
    "सत्तर इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर उनासी "
    "अस्सी इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी "
    "नब्बे इक्यानवे बानवे तिरानवे चौरानवे पचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे"
)
_UNDER_HUNDRED = _ZERO_TO_NINETY_NINE.split()
_UNITS = {10**11: "खरब", 10**9: "अरब", 10**7: "करोड़", 10**5: "लाख", 10**3: "हज़ार", 100: "सौ"}
LARGEST_DIGITS = 13
POINT = "दशमलव"
# Indian grouping: 1,00,000 beside 100,000.
_GROUPED = re.compile(r"\b[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}\b")
_DECIMAL = re.compile(r"(?<![0-9])([0-9]+)[.,]([0-9]+)")


def expand_numbers(text: str) -> str:
    """Spell out the numbers of ``text`` that are written in ASCII digits."""
    text = _GROUPED.sub(lambda match: match[0].replace(",", ""), text)
    text = _DECIMAL.sub(
        lambda match: f"{read_cardinal(match[1])} {POINT} {read_digits(match[2])}", text
    )
    return re.sub(r"[0-9]+", lambda match: read_cardinal(match[0]), text)


def read_cardinal(digits: str) -> str:
    if len(digits) > LARGEST_DIGITS:
        return read_digits(digits)
    return _speak_number(int(digits))


def read_digits(digits: str) -> str:
    return " ".join(_UNDER_HUNDRED[int(digit)] for digit in digits)


def _speak_number(number: int) -> str:
    if number < 100:
        return _UNDER_HUNDRED[number]
    unit = next(size for size in _UNITS if size <= number)
    count, rest = divmod(number, unit)
    words = [_speak_number(count), _UNITS[unit]]
    return " ".join([*words, _speak_number(rest)] if rest else words)
