"""Requests that an export is checked with: sensible ones, and ones it must survive."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from myxtts.audio.io import hum, padded, wav_bytes
from myxtts.text.languages import SIGNS, base_language, table_of
from myxtts.timing import MODEL_RATE

# A sentence for each language; the others are asked in English.
SENTENCES = {
    "ar": "صباح الخير للجميع.",
    "cs": "Dobré ráno vám všem.",
    "de": "Guten Morgen, schöne Welt.",
    "en": "Good morning to you all.",
    "es": "Buenos días a todos.",
    "fr": "Bonjour à vous tous.",
    "hi": "आप सभी को नमस्ते।",
    "hu": "Jó reggelt mindenkinek.",
    "it": "Buongiorno a tutti voi.",
    "nl": "Goedemorgen allemaal.",
    "pl": "Dzień dobry wam wszystkim.",
    "pt": "Bom dia a todos vocês.",
    "ru": "Доброе утро всем вам.",
    "tr": "Hepinize günaydın.",
}
CURRENCIES = "$€£"
# Endings after a number, in one language or another an ordinal's.
ENDINGS = ("st", "nd", "rd", "th", "º", "ª", "er", "e", "ème", ".", "o", "-й", "'inci")
# What may stand in brackets beside phonemes.
MARKS = " .,!?-;:—…“”()"
# Ends of the ranges of characters that random texts are of: letters of Europe, of the rest of
# the first plane below its surrogates, and of the others.
PLANES = ((0x20, 0x250), (0x250, 0xD800), (0xE000, 0x110000))
CODES = 6
# What greedy and sampled requests differ in.
GREEDY = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 2.0, "seed": 0}
SAMPLED = {"temperature": 0.8, "top_k": 30, "top_p": 0.9, "repetition_penalty": 2.0, "seed": 11}

Inputs = dict[str, np.ndarray]


def sentence_of(language: str) -> str:
    """A short sentence of ``language``, or an English one."""
    return SENTENCES.get(base_language(language), SENTENCES["en"])


def every_language(about: Mapping) -> Inputs:
    """Inputs by name that need no model: a greedy and a sampled row for each language.

    Args:
        about: the export's ``serving.json``.
    """
    names = about.get("languages") or ["en"]
    rows = [(sentence_of(name), name, way) for name in names for way in (GREEDY, SAMPLED)]
    return _inputs(*zip(*rows, strict=True))


def some_texts(sizes: Sequence[int], language: str, seed: int = 0) -> Inputs:
    """The same for texts of so many characters, greedy and sampled in turn."""
    rng = np.random.default_rng(seed)
    texts = [random_words(language, size, rng) for size in sizes]
    ways = [(GREEDY, SAMPLED)[row % 2] for row in range(len(sizes))]
    return _inputs(texts, [language] * len(texts), ways)


def _inputs(texts: Sequence[str], languages: Sequence[str], options: Sequence[dict]) -> Inputs:
    # The longer the text, the longer the reference.
    sizes = [len(text) for text in texts]
    clips = [hum(0.8 + 0.02 * size, 110 + 17 * (size % 9), MODEL_RATE) for size in sizes]
    audio, lengths = padded(clips)
    settings = {name: np.array([row[name] for row in options]) for name in GREEDY}
    return settings | {
        "text": np.array(texts, object),
        "language": np.array(languages, object),
        "audio": audio,
        "lengths": lengths,
        "wav_bytes": np.array([wav_bytes(clip, MODEL_RATE) for clip in clips], object),
        "count": np.full(len(texts), CODES),
    }


def filler(described: Mapping, rows: int) -> np.ndarray:
    """Ones for an input that nothing else gives; the letter a for a string.

    Args:
        described: of ``signatures.json``.
        rows: of the batch.
    """
    shape = [rows, *(axis or 3 for axis in described["shape"][1:])]
    if described["dtype"] == "string":
        return np.full(shape, "a", object)
    return np.ones(shape, described["dtype"])


def as_kind(value: np.ndarray, kind: str) -> np.ndarray:
    """``value`` in the kind of an input; strings are objects."""
    return value if kind == "string" else value.astype(kind)


def rows_of(inputs: Mapping[str, np.ndarray], rows: slice | list[int]) -> Inputs:
    """Some rows of every input."""
    return {name: value[rows] for name, value in inputs.items()}


def random_words(language: str, characters: int, rng: np.random.Generator) -> str:
    """A text of at most so many characters, made of the words of a sentence."""
    words, text = sentence_of(language).split(), ""
    while len(text) < characters:
        text += f"{rng.choice(words)} "
    return text[:characters].strip() or words[0][:characters]


def random_sentences(
    language: str, count: int, rng: np.random.Generator, phonemes: str = ""
) -> Iterator[str]:
    """Texts to read out: words, numbers, money, ordinals, short forms and signs.

    One in four is of random characters, behind a letter that can be spoken.

    Args:
        language: of the texts.
        count: how many.
        rng: draws them.
        phonemes: that stand in brackets among the words; none for a vocabulary without.
    """
    pieces = (_word, _number, _money, _ordinal, _abbreviation, _sign)
    if phonemes:
        pieces += tuple(functools.partial(make, phonemes) for make in (_spelled, _misspelled))
    for number in range(count):
        if number % 4 == 3:
            yield f"a{_random_characters(rng)}"
        else:
            order = rng.integers(len(pieces), size=rng.integers(2, 6))
            # With a word, since signs alone cannot be spoken.
            words = [_word(language, rng), *(pieces[which](language, rng) for which in order)]
            yield " ".join(rng.permutation(words)) + "."


def _word(language: str, rng: np.random.Generator) -> str:
    return str(rng.choice(sentence_of(language).split()))


def _spelled(phonemes: str, language: str, rng: np.random.Generator) -> str:
    """Phonemes in brackets, marks and blanks among them."""
    signs = list(phonemes + MARKS)
    return f"[{''.join(rng.choice(signs, size=rng.integers(1, 9)))}]{rng.choice(['', '.'])}"


def _misspelled(phonemes: str, language: str, rng: np.random.Generator) -> str:
    """Brackets that are not closed, or within others."""
    inside = "".join(rng.choice(list(phonemes), size=3))
    return str(rng.choice(["[{}", "{}]", "[[{}]"])).format(inside)


def _number(language: str, rng: np.random.Generator) -> str:
    """A whole number, one in groups, or one with a fraction."""
    mark = table_of(language).thousands
    number = int(10 ** rng.uniform(0, 7))
    fraction = {",": ".", ".": ","}.get(mark, ".") + str(rng.integers(1, 1000))
    grouped = f"{number:,}".replace(",", mark)
    return str(rng.choice([f"{number}", grouped, f"{number % 1000}{fraction}"]))


def _money(language: str, rng: np.random.Generator) -> str:
    sign = rng.choice(list(CURRENCIES))
    amount = f"{rng.uniform(0, 2000):.{rng.choice([0, 2])}f}"
    return f"{sign}{amount}" if rng.integers(2) else f"{amount}{sign}"


def _ordinal(language: str, rng: np.random.Generator) -> str:
    return f"{rng.integers(1, 120)}{rng.choice(ENDINGS)}"


def _abbreviation(language: str, rng: np.random.Generator) -> str:
    short = str(rng.choice([*table_of(language).abbreviations, "dr"]))
    return f"{short.capitalize() if rng.integers(2) else short}."


def _sign(language: str, rng: np.random.Generator) -> str:
    return str(rng.choice(list(SIGNS)))


def _random_characters(rng: np.random.Generator) -> str:
    first, last = PLANES[rng.integers(len(PLANES))]
    return "".join(map(chr, rng.integers(first, last, size=rng.integers(1, 12))))


def _objects(*values: object) -> np.ndarray:
    return np.array(values, object)


# What is wrong, the input it concerns, and what becomes of the input of one row.
Wrong = tuple[str, str, Callable[[np.ndarray], np.ndarray]]
BAD: tuple[Wrong, ...] = (
    ("an empty text", "text", lambda _: _objects("")),
    ("100,000 characters", "text", lambda _: _objects("word " * 20_000)),
    ("bytes that are no text", "text", lambda _: _objects(b"\xff\xfe")),
    ("a text of another rank", "text", lambda value: value[None]),
    ("an unknown language", "language", lambda _: _objects("xx")),
    ("audio that is not a number", "audio", lambda value: np.full_like(value, np.nan)),
    ("infinite audio", "audio", lambda value: np.full_like(value, np.inf)),
    ("empty audio", "audio", lambda value: value[:, :0]),
    ("audio of another rank", "audio", lambda value: value[0]),
    ("audio without a length", "lengths", np.zeros_like),
    ("more samples than there are", "lengths", lambda value: value + 10**9),
    ("a file without content", "wav_bytes", lambda _: _objects(b"")),
    ("a file that is no recording", "wav_bytes", lambda _: _objects(b"RIFF" * 20)),
    ("an id that is none", "ids", lambda value: value + 10**6),
    ("a negative id", "ids", lambda value: value - 10**6),
    ("a negative temperature", "temperature", lambda value: value - 9),
)


def bad_requests(inputs: Mapping[str, np.ndarray]) -> Iterator[tuple[str, Inputs]]:
    """What is wrong, and the request, of everything that can be wrong with one of one row."""
    yield "a batch of no rows", rows_of(inputs, slice(0))
    for what, name, change in BAD:
        if name in inputs:
            yield what, dict(inputs) | {name: change(inputs[name])}
