"""Letters and bracketed phonemes get the ids in a graph that they get in Python."""

import random

import pytest
import tensorflow as tf

from myxtts.errors import TextError
from myxtts.serving.graph.text.tokenizer import GraphTokenizer
from myxtts.text.cleaners import is_speakable
from myxtts.text.phonemes import ALPHABET
from myxtts.text.tokenizer import character_tokenizer

TEXTS = [("The year's 1st of 3 cats, Mr. Smith? No - 5% & $2; so: there!", "en"), ("hej å", "sv")]
MARKS = '.,!?-;:—…"“”() '
WORDS = ("Mr.", "Smith's", "cats,", "3", "21st", "$3.50", "5%", "[", "]", "St.", "&", "x2", "][")
# Of brackets that do not close.
LETTERS = "abz,. "


@pytest.fixture(scope="module")
def python():
    return character_tokenizer(TEXTS, 400)


@pytest.fixture(scope="module")
def ids(python):
    """Function from a text and its language to its ids, or None where they are refused."""
    strings = tf.TensorSpec((None,), "string")
    graph = GraphTokenizer(python, 300)
    call = tf.function(graph, input_signature=(strings, strings), autograph=False)

    def encode(text, language="en"):
        try:
            return call(tf.constant([text]), tf.constant([language]))["ids"][0].numpy().tolist()
        except tf.errors.InvalidArgumentError as error:
            assert "in brackets is no phoneme" in error.message
            return None

    encode.graph = graph
    return encode


def mixed(rng):
    """Words, phonemes in brackets with and without blanks and marks, and brackets gone wrong."""
    parts = []
    for _ in range(rng.randint(1, 8)):
        kind = rng.random()
        size = rng.randint(0, 9)
        if kind < 0.5:
            parts.append(f"[{''.join(rng.choices(ALPHABET + MARKS, k=size))}]")
        elif kind < 0.6:
            broken = rng.choice(["[{}", "{}]", "[[{}]"])
            parts.append(broken.format("".join(rng.choices(LETTERS, k=size))))
        else:
            parts.append(rng.choice(WORDS))
        parts.append(rng.choice([" ", " ", " ", "", "  ", "\n", "\t"]))
    return "".join(parts)


def test_ids_of_mixed_texts_are_those_of_python(python, ids):
    rng, wrong, phonemes = random.Random(0), [], 0
    for _ in range(400):
        text, language = mixed(rng), rng.choice(["en", "en", "sv"])
        if not is_speakable(text):
            continue
        try:
            expected = python.encode(text, language)
        except TextError:
            expected = None
        phonemes += "[" in python.decode(expected or []).removeprefix(f"[{language}]")
        if ids(text, language) != expected:
            wrong.append(text)
    assert wrong == []
    assert phonemes > 150


def test_the_whole_alphabet_has_its_ids(python, ids):
    text = " ".join(f"[{symbol}]" for symbol in ALPHABET)
    assert ids(text) == python.encode(text, "en")
    assert len(set(python.encode(f"[{ALPHABET}]", "en"))) == len(ALPHABET) + 1


@pytest.mark.parametrize("text", ["say [ж]", "[hɛ1]", "a [b&] c", "[ɛ] [STOP]"])
def test_unknown_symbols_are_refused_in_both(python, ids, text):
    with pytest.raises(TextError, match="in brackets is no phoneme"):
        python.encode(text, "en")
    assert ids(text) is None


def test_the_length_of_a_text_is_that_of_what_was_sent(ids):
    told = ids.graph(tf.constant(["Say [hˈɛɹiət]."]), tf.constant(["en"]))
    assert told["characters"].numpy().tolist() == [len("Say [hˈɛɹiət].")]


def test_a_vocabulary_of_letters_has_no_phonemes_in_its_graph():
    letters = character_tokenizer([("hej a", "sv")], 400, phonemes=False)
    graph = GraphTokenizer(letters, 100)
    assert graph.phonemes is None
    found = graph(tf.constant(["hej [a]"]), tf.constant(["sv"]))["ids"][0].numpy().tolist()
    assert found == letters.encode("hej [a]", "sv")
