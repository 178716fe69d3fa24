"""English text is read aloud as XTTS reads it."""

import pytest

from myxtts.text.cleaners import STEPS, clean_text, is_speakable
from myxtts.text.languages import LANGUAGES

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


def test_a_language_without_a_table_is_lower_cased_only():
    assert clean_text("Hur MÅR  du 3 & 4", "sv") == "hur mår du 3 & 4"


# What Coqui's tests of its own cleaners ask of the other languages.
SPELT_OUT = {
    "es": {
        "En 12,5 segundos.": "en doce punto cinco segundos.",
        "Eso le costará 20,15€ señor.": "eso le costará veinte euros con quince céntimos señor.",
        "La Dra. Martinez es muy buena.": "la doctora martinez es muy buena.",
        "Te veo @ la fiesta": "te veo arroba la fiesta",
        "Este es un 1er test": "este es un primero test",
        "Hola Sr. Garcia.": "hola señor garcia.",
    },
    "fr": {
        "Ceci est un 1er test": "ceci est un premier test",
        "Ce sera 100.000,5.": "ce sera cent mille virgule cinq.",
        "Mme. Moreau est absente aujourd'hui.": "madame moreau est absente aujourd'hui.",
        "J'ai 14° de fièvre": "j'ai quatorze degrés de fièvre",
        "Bonjour Mr. Dupond.": "bonjour monsieur dupond.",
    },
    "de": {
        "Dies ist ein 1. Test": "dies ist ein erste test",
        "Das macht 20,15€ Herr.": "das macht zwanzig Euro und fünfzehn Cent herr.",
        "Frau Dr. Müller ist sehr klug.": "frau doktor müller ist sehr klug.",
        "Die Rechnung beträgt £ 20": "die rechnung beträgt pfund zwanzig",
    },
    "it": {
        "Questo è un 1° test": "questo è un primo test",
        "Buongiorno, Sig. Rossi.": "buongiorno, signore rossi.",
        "linguaggio di programmazione C#": "linguaggio di programmazione c cancelletto",
    },
    "pt": {
        "Isso custará $20 senhor.": "isso custará vinte dólares senhor.",
        "Dra. Costa, você está disponível?": "doutora costa, você está disponível?",
        "Olá Sr. Silva.": "olá senhor silva.",
        "O meu email é ana&joao@gmail.com": "o meu email é ana e joao arroba gmail.com",
    },
    "pl": {
        "To będzie kosztować 20€ panie.": "to będzie kosztować dwadzieścia euro panie.",
        "Dzień dobry, P. Kowalski.": "dzień dobry, pani kowalski.",
    },
    "tr": {"Bu 1. test": "bu birinci test", "Pilim %14 dolu.": "pilim yüzde ondört dolu."},
    "ru": {
        "Это будет 20.15€ сэр.": "это будет двадцать евро, пятнадцать центов сэр.",
        "Здравствуйте Г-н Иванов.": "здравствуйте господин иванов.",
        "Д-р Смирнов здесь, чтобы увидеть вас.": "доктор смирнов здесь, чтобы увидеть вас.",
    },
    "nl": {
        "Dat wordt dan $20 meneer.": "dat wordt dan twintig dollar meneer.",
        "Dhr. Jansen": "de heer jansen",
        "Mevr. de Vries": "mevrouw de vries",
    },
    "cs": {
        "Za 12,5 vteřiny.": "za dvanáct celá pět vteřiny.",
        "P. Novák": "pan novák",
        "Mám 14% baterie": "mám čtrnáct procento baterie",
    },
    "ar": {"كان هناك 50 جنديًا.": "كان هناك خمسون جنديًا."},
    "hu": {
        "12,5 másodperc alatt.": "tizenkettő egész öt tized másodperc alatt.",
        "Ez az 1. teszt": "ez az első teszt",
    },
    "hi": {
        "50 सैनिक थे।": "पचास सैनिक थे।",
        "मेरे पास 14% बैटरी है।": "मेरे पास चौदह प्रतिशत बैटरी है।",
    },
}
CASES = [(language, text) for language, facts in SPELT_OUT.items() for text in facts]


@pytest.mark.parametrize(("language", "text"), CASES)
def test_other_languages_are_spelt_out(language, text):
    assert clean_text(text, language) == SPELT_OUT[language][text]


def test_regions_and_capitals_of_the_code_are_dropped():
    assert clean_text("3 cats", "EN-us") == "three cats"


def test_turkish_capital_i_with_dot_loses_no_dot():
    assert clean_text("İZMİR", "tr") == "izmir"


def test_steps_have_an_order():
    names = [step.__name__ for step in STEPS]
    assert names == ["expand_numbers", "expand_abbreviations", "expand_symbols"]


ODD = ["", " ", "?!…", "🎉🎉", "\udc80 a", "a 你 б ش हि 안 カ 3", "7" * 5000, "1.5" * 3000, "\x00"]


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"zh", "ja", "ko"}))
@pytest.mark.parametrize("text", [*ODD, "12 cats, $3.50 & 1st; " * 450])
def test_no_text_raises(language, text):
    clean_text(text, language).encode("utf-8")


@pytest.mark.parametrize("text", ["a", "7", "é", "你"])
def test_letters_and_digits_can_be_spoken(text):
    assert is_speakable(text)


@pytest.mark.parametrize("text", ["", " ", "...", "?!", "🎉", "—"])
def test_punctuation_alone_cannot(text):
    assert not is_speakable(text)
