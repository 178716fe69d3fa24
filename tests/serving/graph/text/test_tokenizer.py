"""Texts get the ids in a graph that they get in Python, and in Coqui's tokenizer."""

import json
import random
from pathlib import Path

import pytest
import tensorflow as tf
from tokenizers import Tokenizer

from myxtts.serving.graph.text.tokenizer import GraphTokenizer
from myxtts.text.cleaners import is_speakable
from myxtts.text.languages import LANGUAGES
from myxtts.text.tokenizer import VoiceBpeTokenizer

GOLDEN = json.loads(
    (Path(__file__).parents[3] / "golden" / "text.json").read_text(encoding="utf-8")
)
# Their tables are learned in a few seconds; those of the others take ten each.
QUICK = ["cs", "en", "es", "hi", "it", "ja", "pl", "ru", "tr"]
REFUSAL = "write it in words, or send the ids"


class Reader:
    """A tokenizer for some languages, in Python and in a graph."""

    def __init__(self, languages):
        self.python = VoiceBpeTokenizer(Tokenizer.from_str(json.dumps(GOLDEN["vocabulary"])))
        self.python.languages = languages
        self.graph = GraphTokenizer(self.python, 402)
        strings = tf.TensorSpec((None,), "string")
        self.call = tf.function(self.graph, input_signature=(strings, strings), autograph=False)

    def ids(self, *pairs):
        """Ids of texts and their languages, or the sentence by which they are refused."""
        texts, languages = zip(*pairs, strict=True)
        try:
            told = self.call(tf.constant(texts), tf.constant(languages))
        except tf.errors.InvalidArgumentError as error:
            return error.message
        rows = zip(told["ids"].numpy(), told["id_lengths"].numpy(), strict=True)
        return [list(row[:length]) for row, length in rows]

    def differing(self, pairs):
        """Texts whose ids differ from Python's, and how many were refused for a number."""
        wrong, refused = [], 0
        for text, language in pairs:
            found = self.ids((text, language))
            if isinstance(found, str) and REFUSAL in found:
                refused += 1
            elif found != [self.python.encode(text, language)]:
                wrong.append((text, language))
        return wrong, refused


@pytest.fixture(scope="module")
def reader():
    return Reader(QUICK)


@pytest.fixture(scope="module")
def reader_of_all():
    return Reader(sorted(GOLDEN["rows"]))


def golden_differences(reader):
    rows = [
        (text, language, ids)
        for language in reader.graph.languages
        for text, _, ids in GOLDEN["rows"][language]
    ]
    assert len(rows) > 100
    found = [(text, reader.ids((text, language)), ids) for text, language, ids in rows]
    return [
        (text, told)
        for text, told, ids in found
        if told != [ids] and not (isinstance(told, str) and REFUSAL in told)
    ]


def sentences(languages, count, seed=0):
    """Pairs of a text full of what is read aloud and its language."""
    rng = random.Random(seed)
    words = {
        language: [word for text, *_ in GOLDEN["rows"][language] for word in text.split()]
        for language in languages
    }
    pairs = []
    while len(pairs) < count:
        language = rng.choice(languages)
        text = " ".join(word_like(rng, words[language], language) for _ in range(rng.randint(2, 9)))
        if is_speakable(text):
            pairs.append((text, language))
    return pairs


def word_like(rng, words, language):
    table = LANGUAGES[language]
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(words)
    if kind < 0.6:
        return number_like(rng)
    if kind < 0.75:
        return rng.choice(["{}{}", "{1}{0}"]).format(rng.choice("$£€"), number_like(rng))
    if kind < 0.85:
        ends = ("st", "th", "º", ".", "-й", "e", "ste", "inci", "adik")
        return number_like(rng) + rng.choice(ends)
    if kind < 0.95 and table.abbreviations:
        short = rng.choice(list(table.abbreviations))
        return rng.choice([short, short.upper(), short.title()]) + rng.choice([".", "", ".x", "-"])
    return rng.choice("&@%#$£°!?,.;:'\"-—…“”\t\n")


def number_like(rng):
    digits = "".join(rng.choice("000123456789") for _ in range(rng.randint(1, 4)))
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        digits += rng.choice(".,") + f"{rng.randrange(1000):0{rng.randint(1, 3)}}"
    return digits


def unicode_texts(languages, count, seed=0):
    rng = random.Random(seed)
    pairs = []
    while len(pairs) < count:
        top = rng.choice([0x250, 0x3000, 0x10000, 0x110000])
        points = (rng.randrange(1, top) for _ in range(rng.randint(1, 40)))
        text = "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)
        if is_speakable(text):
            pairs.append((text, rng.choice(languages)))
    return pairs


def test_ids_are_those_of_coqui(reader):
    assert golden_differences(reader) == []


@pytest.mark.slow
def test_ids_of_a_thousand_sentences_are_those_of_python(reader):
    wrong, refused = reader.differing(sentences(reader.graph.languages, 1000))
    assert wrong == []
    assert refused < 100


def test_ids_of_random_unicode_are_those_of_python(reader):
    assert reader.differing(unicode_texts(reader.graph.languages, 500)) == ([], 0)


@pytest.mark.slow
def test_all_languages_are_read_as_in_python(reader_of_all):
    reader = reader_of_all
    assert reader.graph.ids_only == ["ja", "ko", "zh-cn"]
    assert golden_differences(reader) == []
    wrong, refused = reader.differing(sentences(reader.graph.languages, 3000, seed=1))
    assert wrong == []
    # Half of the words are numbers, of which Arabic and Italian tables hold the fewest.
    assert refused < 600
    assert reader.differing(unicode_texts(reader.graph.languages, 1000, seed=1)) == ([], 0)


@pytest.mark.parametrize(
    "text",
    [
        "mr.mr. x dr.st.",  # what follows an abbreviation directly
        "$1.005 $1.999 $1.125 $1.115 1.5$",  # halves of a cent, as floats have them
        "$1.2.3 and £4",  # an amount that is none leaves the rest unread
        "1,2345 1,234.567,890 007",
        "ΌΔΟΣ ΣΑΣ Σ. İstanbul",
        "[en] [STOP] [stop] [es]",
        "\x01\x02 a\u3000b\u00a0c \U00100001\U000f0000",
        "\ufeffa\u200db _c_ x²",
    ],
)
def test_odd_texts_are_read_as_in_python(reader, text):
    assert reader.differing([(text, "en"), (text, "es"), (text, "tr")]) == ([], 0)


def test_a_batch_of_languages_is_read_as_each_alone(reader):
    pairs = [("Hello 5 there", "en"), ("Hola.", "es-MX"), ("Привет 21 раз", "RU"), ("a", "tr")]
    assert reader.ids(*pairs) == [reader.ids(pair)[0] for pair in pairs]


def test_bytes_that_are_no_text_are_left_out(reader):
    assert reader.ids((b"He\xffllo", "en")) == reader.ids(("Hello", "en"))


@pytest.mark.parametrize(
    ("text", "language", "sentence"),
    [
        ("", "en", "nothing that can be spoken"),
        ("🎉 ...", "en", "nothing that can be spoken"),
        ("a" * 100_000, "en", "characters: send it in pieces"),
        ("ab " * 900, "en", "more than 402 tokens: send it in pieces"),
        ("hello", "xx", "unknown language; texts here are cs, en, es"),
        ("こんにちは", "ja", "Of ja send ids to synthesize_ids"),
        ("call 123456789012", "en", "9 digits at most: write it in words"),
        ("1234567 lire", "it", "6 digits at most: write it in words"),
        ("3,1415", "pl", "a fraction here may have 3 digits at most"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(reader, text, language, sentence):
    assert sentence in reader.ids((text, language))


def test_characters_are_counted_as_the_text_was_given(reader):
    told = reader.call(tf.constant(["  Año \t 1999 \n"]), tf.constant(["es"]))
    assert told["characters"].numpy().tolist() == [8]
