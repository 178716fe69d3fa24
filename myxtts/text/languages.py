"""Tables of what each language reads aloud: one entry a language, no logic.

A language without an entry is only lower-cased and has its spaces collapsed.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Language:
    """Spoken forms of a language.

    Attributes:
        abbreviations: what stands before a full stop, in lower case, and its reading.
        symbols: a character and its reading.
        ordinal: pattern of an ordinal whose first group is the number; None for none.
        thousands: character between groups of three digits.
        cents_join: what stands between whole and fractional currency units when spoken.
    """

    abbreviations: dict[str, str] = field(default_factory=dict)
    symbols: dict[str, str] = field(default_factory=dict)
    ordinal: str | None = None
    thousands: str = ","
    cents_join: str = ", "


LANGUAGES: dict[str, Language] = {
    # The readings are those XTTS-v2 was trained on, odd ones ("misess") included.
    "en": Language(
        abbreviations={
            "mrs": "misess",
            "mr": "mister",
            "dr": "doctor",
            "st": "saint",
            "co": "company",
            "jr": "junior",
            "maj": "major",
            "gen": "general",
            "drs": "doctors",
            "rev": "reverend",
            "lt": "lieutenant",
            "hon": "honorable",
            "sgt": "sergeant",
            "capt": "captain",
            "esq": "esquire",
            "ltd": "limited",
            "col": "colonel",
            "ft": "fort",
        },
        symbols={
            "&": "and",
            "@": "at",
            "%": "percent",
            "#": "hash",
            "$": "dollar",
            "£": "pound",
            "°": "degree",
        },
        ordinal=r"([0-9]+)(?:st|nd|rd|th)",
    ),
}
