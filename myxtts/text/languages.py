"""Tables of what each language reads aloud: one entry a language, no logic.

Entries and readings are those XTTS-v2 was trained on (Coqui's tokenizer), odd ones
included, because the model knows no others: "mrs" is "misess", every Polish "p." is
a woman, and Turkish "I" becomes a dotted "i". A language without an entry is only
lower-cased and has its spaces collapsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SIGNS = "&@%#$£°"

_LATIN_ORDINALS = r"([0-9]+)(?:º|ª|st|nd|rd|th)"
# A dot is an ordinal's only before a space or the end, otherwise a date's or a decimal's.
_DOTTED_ORDINALS = r"([0-9]+)\.(?=\s|$)"


def _read_as(readings: str) -> dict[str, str]:
    return dict(zip(SIGNS, readings.split("|"), strict=True))


@dataclass(frozen=True)
class Language:
    """Spoken forms of a language.

    Attributes:
        abbreviations: a short form in lower case, without its full stop, and its reading.
        abbreviation_end: pattern of what must follow a short form.
        symbols: a character and its reading.
        ordinal: pattern of an ordinal whose first group is the number; None for none.
        thousands: character between groups of three digits.
        cents_join: what stands between whole and fractional currency units when spoken.
        speaks_decimals: whether "1.5" is read as one number.
        capitals: capital letters whose lower case is another one than Unicode's.
        max_characters: longest piece of text that XTTS speaks well at once.
    """

    abbreviations: dict[str, str] = field(default_factory=dict)
    abbreviation_end: str = r"\."
    symbols: dict[str, str] = field(default_factory=dict)
    ordinal: str | None = None
    thousands: str = "."
    cents_join: str = ", "
    speaks_decimals: bool = True
    capitals: dict[str, str] = field(default_factory=dict)
    max_characters: int = 250


LANGUAGES: dict[str, Language] = {
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
        symbols=_read_as("and|at|percent|hash|dollar|pound|degree"),
        ordinal=r"([0-9]+)(?:st|nd|rd|th)",
        thousands=",",
        max_characters=250,
    ),
    "es": Language(
        abbreviations={
            "sra": "señora",
            "sr": "señor",
            "dr": "doctor",
            "dra": "doctora",
            "st": "santo",
            "co": "compañía",
            "jr": "junior",
            "ltd": "limitada",
        },
        symbols=_read_as("y|arroba|por ciento|numeral|dolar|libra|grados"),
        ordinal=r"([0-9]+)(?:º|ª|er|o|a|os|as)",
        cents_join=" con ",
        max_characters=239,
    ),
    "fr": Language(
        abbreviations={
            "mme": "madame",
            "mr": "monsieur",
            "dr": "docteur",
            "st": "saint",
            "co": "compagnie",
            "jr": "junior",
            "ltd": "limitée",
        },
        symbols=_read_as("et|arobase|pour cent|dièse|dollar|livre|degrés"),
        ordinal=r"([0-9]+)(?:º|ª|er|re|e|ème)",
        cents_join=" et ",
        max_characters=273,
    ),
    "de": Language(
        abbreviations={
            "fr": "frau",
            "dr": "doktor",
            "st": "sankt",
            "co": "firma",
            "jr": "junior",
        },
        symbols=_read_as("und|at|prozent|raute|dollar|pfund|grad"),
        ordinal=r"([0-9]+)(?:st|nd|rd|th|º|ª|\.(?=\s|$))",
        cents_join=" und ",
        max_characters=253,
    ),
    "it": Language(
        abbreviations={
            "sig": "signore",
            "dr": "dottore",
            "st": "santo",
            "co": "compagnia",
            "jr": "junior",
            "ltd": "limitata",
        },
        symbols=_read_as("e|chiocciola|per cento|cancelletto|dollaro|sterlina|gradi"),
        ordinal=r"([0-9]+)(?:º|°|ª|o|a|i|e)",
        cents_join=" e ",
        max_characters=213,
    ),
    "pt": Language(
        abbreviations={
            "sra": "senhora",
            "sr": "senhor",
            "dr": "doutor",
            "dra": "doutora",
            "st": "santo",
            "co": "companhia",
            "jr": "júnior",
            "ltd": "limitada",
        },
        symbols=_read_as("e|arroba|por cento|cardinal|dólar|libra|graus"),
        ordinal=r"([0-9]+)(?:º|ª|o|a|os|as)",
        cents_join=" e ",
        max_characters=203,
    ),
    "pl": Language(
        abbreviations={"p": "pani", "m": "pan", "dr": "doktor", "sw": "święty", "jr": "junior"},
        symbols=_read_as("i|małpa|procent|krzyżyk|dolar|funt|stopnie"),
        ordinal=_LATIN_ORDINALS,
        max_characters=224,
    ),
    "tr": Language(
        abbreviations={"b": "bay", "byk": "büyük", "dr": "doktor"},
        symbols=_read_as("ve|at|yüzde|diyez|dolar|sterlin|derece"),
        ordinal=r"([0-9]+)(?:\.|inci|nci|uncu|üncü)",
        speaks_decimals=False,
        capitals={"İ": "i"},
        max_characters=226,
    ),
    "ru": Language(
        abbreviations={"г-жа": "госпожа", "г-н": "господин", "д-р": "доктор"},
        abbreviation_end=r"\b",
        symbols=_read_as("и|собака|процентов|номер|доллар|фунт|градус"),
        ordinal=r"([0-9]+)(?:-й|-я|-е|-ое|-ье|-го)",
        thousands=",",
        max_characters=182,
    ),
    "nl": Language(
        abbreviations={"dhr": "de heer", "mevr": "mevrouw", "dr": "dokter", "jhr": "jonkheer"},
        symbols=_read_as("en|bij|procent|hekje|dollar|pond|graden"),
        ordinal=r"([0-9]+)(?:de|ste|e)",
        max_characters=251,
    ),
    "cs": Language(
        abbreviations={"dr": "doktor", "ing": "inženýr", "p": "pan"},
        symbols=_read_as("a|na|procento|křížek|dolar|libra|stupně"),
        ordinal=_DOTTED_ORDINALS,
        max_characters=186,
    ),
    "ar": Language(
        symbols=_read_as("و|على|في المئة|رقم|دولار|جنيه|درجة"),
        ordinal=r"([0-9]+)(?:ون|ين|ث|ر|ى)",
        max_characters=166,
    ),
    "zh": Language(symbols=_read_as("和|在|百分之|号|美元|英镑|度"), max_characters=82),
    "ja": Language(max_characters=71),
    "hu": Language(
        abbreviations={"dr": "doktor", "b": "bácsi", "nőv": "nővér"},
        symbols=_read_as("és|kukac|százalék|kettőskereszt|dollár|font|fok"),
        ordinal=r"([0-9]+)(?:\.|adik|edik|odik|ödik|ödike|ik)",
        max_characters=224,
    ),
    "ko": Language(
        symbols=_read_as("그리고|에|퍼센트|번호|달러|파운드|도"),
        ordinal=r"([0-9]+)(?:번째|번|차|째)",
        max_characters=95,
    ),
    "hi": Language(
        symbols=_read_as("और|ऐट दी रेट|प्रतिशत|हैश|डॉलर|पाउंड|डिग्री"),
        max_characters=150,
    ),
}


# Short forms without a reading of their own, whose dot ends no sentence; without it.
SHORT_FORMS = {
    "en": "vs cf no nos vol fig figs sec eq prof gov sen rep pres supt cmdr adm mt mts messrs "
    "mme mlle approx ca viz dept inc ltd corp bros univ assn al ave blvd jan feb apr aug sept oct "
    "nov dec e.g i.e",
    "es": "ud uds prof núm pág ing lic av avda art cap vol fig gral ej",
    "fr": "m mm mlle mlles prof env vol fig av bd chap art",
    "de": "bzw ca nr prof vgl hr hrn dipl ing abs bd geb inkl zzgl evtl ggf univ fa sog vs "
    "bspw allg",
    "it": "sigg sig.ra prof ing avv dott pag fig art cap vol geom",
    "pt": "prof eng pág núm exmo av art cap vol fig ex",
    "pl": "prof inż mgr ul nr np al św tzw gen płk",
    "tr": "prof doç sok cad av mah apt alb gen",
    "ru": "проф ул им стр рис см напр акад пер пл обл просп",
    "nl": "nr prof ir mr drs ing blz bijv mej",
    "cs": "prof mgr ul tj např str tzv",
    "hu": "prof ifj id sz pl kb ún",
}


# What is put for a character that a vocabulary lacks; where it knows it, nothing is.
_UMLAUTS = {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"}
MENDS = {
    "en": {"+": " plus ", "=": " equals "},
    "es": {"+": " más ", "=": " igual a "},
    "fr": {"+": " plus ", "=": " égale "},
    "de": {"+": " plus ", "=": " gleich "} | _UMLAUTS,
    "it": {"+": " più ", "=": " uguale a "},
    "pt": {"+": " mais ", "=": " igual a "},
    "pl": {"+": " plus ", "=": " równa się "},
    "nl": {"+": " plus ", "=": " is "},
}

# Short tokens in brackets that are sounds and marks, and no languages.
_NO_LANGUAGES = """
    ah aw eh er hm mm oh ok ow uh um aah aha bgm bos cls cry eos gag hah hey hmm huh hum joy mad
    mmm nsn ooh pad pau sad sep sfx shh shy sil sob spk spn tsk ugh uhh uhm umm unk wow yay
"""
_CODE = re.compile(r"[a-z]{2,3}([-_][a-z0-9]{2,8})*")


def is_language(name: str) -> bool:
    """Whether a vocabulary's token in brackets, without these, is that of a language.

    >>> [name for name in ("en", "fil", "pt-br", "laughter", "sad") if is_language(name)]
    ['en', 'fil', 'pt-br']
    """
    return _CODE.fullmatch(name) is not None and name not in _NO_LANGUAGES.split()


def language_names(language: str) -> list[str]:
    """Names that a vocabulary's token may have for a code, the best first.

    >>> language_names("pt_BR")
    ['pt_br', 'pt-br', 'pt']
    """
    code = language.lower()
    exact = [code, code.replace("_", "-"), code.replace("-", "_")]
    return list(dict.fromkeys([*exact, vocabulary_language(code), base_language(code)]))


def base_language(language: str) -> str:
    """The language of a code without its region: ``zh`` of ``zh-CN`` and ``zh_CN``."""
    return language.replace("_", "-").split("-")[0].lower()


def vocabulary_language(language: str) -> str:
    """The name that a vocabulary's token has for a code: ``zh-cn`` for all Chinese."""
    base = base_language(language)
    return "zh-cn" if base == "zh" else base


def table_of(language: str) -> Language:
    """The table of a code such as ``en`` or ``zh-cn``; an empty one for a language without."""
    return LANGUAGES.get(base_language(language), Language())
