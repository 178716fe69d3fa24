"""Letters become phonemes before a model of phonemes reads them."""

import pytest

from myxtts.errors import ConfigError, WeightsError
from myxtts.text import front_end
from myxtts.text.front_end import FRONT_ENDS, Reader, in_phonemes
from myxtts.text.phonemes import words_apart
from myxtts.text.split import split_text
from myxtts.text.tokenizer import character_tokenizer, train_tokenizer

TEXTS = [("Say it.", "en"), ("Sag es.", "de")]


@pytest.fixture(scope="module")
def tokenizer():
    return character_tokenizer(TEXTS, 400)


@pytest.fixture
def shouting(monkeypatch):
    """A front-end that reads every letter as the phoneme written like it."""
    monkeypatch.setitem(FRONT_ENDS, "shouting", (str.lower, ("en",)))


def test_brackets_stay_and_the_rest_is_read(tokenizer, shouting):
    reader = Reader(tokenizer, "shouting")
    assert reader.in_phonemes("SAD [hˈɛɹiət] IS", "en") == "[sad] [hˈɛɹiət] [is]"
    assert reader.in_phonemes("  [hˈɛɹiət]  ", "en") == "  [hˈɛɹiət]  "
    assert reader.encode("SAD", "en") == tokenizer.encode("[sad]", "en")


def test_other_languages_are_read_in_letters(tokenizer, shouting):
    reader = Reader(tokenizer, "shouting")
    assert reader.encode("Sag es", "de") == tokenizer.encode("Sag es", "de")


def test_none_changes_nothing(tokenizer):
    assert Reader(tokenizer).encode("Say it", "en") == tokenizer.encode("Say it", "en")


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("[hˈɛɹiət. hˈW] are you", "[hˈɛɹiət]. [hˈW] are you"),
        ("[“hˈɛl-pɚ”, sˈɛd] he", "[hˈɛl-pɚ], [sˈɛd] he"),
        ("so[] [?] [ ɪt ]", "so [?]  [ɪt] "),
    ],
)
def test_words_of_phonemes_are_told_apart_and_keep_their_ids(tokenizer, text, apart):
    assert words_apart(text) == apart
    assert tokenizer.encode(words_apart(text), "en") == tokenizer.encode(text, "en")
    assert Reader(tokenizer).prepared(text) == apart
    letters = train_tokenizer(TEXTS, 300)
    assert Reader(letters).prepared(text) == text


def test_texts_are_not_cut_within_brackets(tokenizer, shouting):
    reader = Reader(tokenizer, "shouting")
    text = "[hˈɛɹiət, hˈɛɹiət. hˈɛɹiət hˈɛɹiət?] Say it. [ɪt]"
    pieces = split_text(reader.prepared(text), reader, "en", 20)
    assert len(pieces) > 2
    assert all(piece.count("[") == piece.count("]") for piece in pieces)
    joined = " ".join(reader.in_phonemes(piece, "en") for piece in pieces)
    assert tokenizer.encode(joined, "en") == reader.encode(text, "en")
    assert all(len(reader.encode(piece, "en")) <= 20 for piece in pieces)


def test_a_dash_is_a_pause(tokenizer, monkeypatch):
    monkeypatch.setitem(FRONT_ENDS, "echo", (lambda text: text, ("en",)))
    assert in_phonemes("ɪt — ɪz", "en", "echo") == "[ɪt, ɪz]"


def test_vocabularies_of_letters_alone_are_refused():
    with pytest.raises(ConfigError, match="vocabulary has letters only; give --front-end none"):
        Reader(train_tokenizer(TEXTS, 300), "hibari")


def test_a_missing_package_is_named_at_once(tokenizer, monkeypatch):
    monkeypatch.setattr(front_end, "HIBARI", "hibari-tts-that-is-not-there==1.0")
    front_end.hibari_g2p.cache_clear()
    with pytest.raises(WeightsError, match="pip install hibari-tts-that-is-not-there==1.0, or"):
        Reader(tokenizer, "hibari")


def test_another_version_of_hibari_is_refused(monkeypatch):
    monkeypatch.setattr(front_end.importlib.metadata, "version", lambda name: "0.1.0")
    with pytest.raises(WeightsError, match="needs hibari-tts==0.2.1 .this is version 0.1.0."):
        front_end.hibari()


def test_hibari_that_is_missing_is_named(monkeypatch):
    def missing(name):
        raise front_end.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(front_end.importlib.metadata, "version", missing)
    with pytest.raises(WeightsError, match="needs hibari-tts==0.2.1.*run: pip install hibari-tts"):
        front_end.hibari()


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("Say it now.", "[sˈA ɪt nˈW.]"),
        ("It costs $3.50!", "[ˌɪt kˈɔsts θɹˈi dˈɑləɹz ænd fˈɪfti sˈɛnts!]"),
        ("Henry [hˈɛɹiət]?", "[hˈɛnɹi] [hˈɛɹiət][?]"),
    ],
)
def test_hibari_reads_numbers_and_names(tokenizer, text, phonemes):
    pytest.importorskip("hibari", reason="hibari-tts, the front-end, is not installed")
    front_end.hibari_g2p.cache_clear()
    reader = Reader(tokenizer, "hibari")
    assert reader.in_phonemes(text, "en") == phonemes
    assert 1 not in reader.encode(text, "en")  # no unknown id
