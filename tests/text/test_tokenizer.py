"""The tokenizer keeps XTTS's ids, equals Coqui's, and takes any text."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from myxtts.errors import ConfigError, TextError
from myxtts.text.tokenizer import START_ID, VoiceBpeTokenizer, train_tokenizer

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "Mr. Smith paid $20.50 for 3 cats, 2 dogs & a bird!",
    "On the 1st of May 1999 it was 36.6° in St. Louis.",
    'Don\'t you think so? "Maybe," she said; perhaps: never.',
    "naïve café — 100% #1",
    "",
    "a",
    "Hello   world\n new line",
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([(text, "en") for text in SENTENCES], 320)


def test_special_ids_are_xtts(tokenizer):
    assert (tokenizer.stop_id, tokenizer.start_id) == (0, START_ID)
    assert tokenizer.languages == ["en"]
    assert tokenizer.vocab_size <= 320


def test_training_is_deterministic(tokenizer, tmp_path):
    again = train_tokenizer([(text, "en") for text in SENTENCES], 320)
    tokenizer.save(tmp_path / "a.json")
    again.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


def test_file_gives_the_same_ids(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    again = VoiceBpeTokenizer(tmp_path / "tokenizer.json")
    for text in SENTENCES:
        assert again.encode(text, "en") == tokenizer.encode(text, "en")


def test_equals_coquis_tokenizer(tokenizer, tmp_path):
    module = pytest.importorskip(
        "TTS.tts.layers.xtts.tokenizer", reason="coqui-tts is not installed (make reference)"
    )
    tokenizer.save(tmp_path / "vocab.json")
    theirs = module.VoiceBpeTokenizer(tmp_path / "vocab.json")
    for text in SENTENCES:
        assert tokenizer.encode(text, "en") == theirs.encode(text, "en")


def test_decoding_gives_the_cleaned_text_back(tokenizer):
    ids = tokenizer.encode("The lazy dog, 3 cats!", "en")
    assert tokenizer.decode(ids) == "[en]the lazy dog, three cats!"


def test_ids_stay_within_the_vocabulary_for_any_text(tokenizer):
    rng = np.random.default_rng(0)
    for _ in range(200):
        points = rng.integers(1, 0x2FFFF, rng.integers(0, 30))
        text = "".join(chr(p) for p in points if not 0xD800 <= p <= 0xDFFF)
        ids = tokenizer.encode(text, "en")
        assert all(0 <= item < tokenizer.vocab_size for item in ids)


def test_languages_get_tokens_and_regions_are_dropped():
    tokenizer = train_tokenizer([("hello", "en"), ("ni hao", "zh"), ("hola", "es")], 320)
    assert tokenizer.languages == ["en", "es", "zh-cn"]
    assert tokenizer.encode("hello", "en-us") == tokenizer.encode("hello", "en")
    assert tokenizer.encode("a", "zh") == tokenizer.encode("a", "zh-cn")


def test_unknown_language_names_the_known(tokenizer):
    with pytest.raises(TextError, match="unknown language 'xx'; this model speaks en"):
        tokenizer.encode("hello", "xx")


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(ConfigError, match="too small"):
        train_tokenizer([("hello", "en")], 200)


def test_more_characters_than_ids_still_fit():
    text = "".join(chr(0x4E00 + number) for number in range(500))
    assert train_tokenizer([(text, "sv")], 300).vocab_size <= 300


def test_unfit_files_are_named(tmp_path):
    (tmp_path / "text.json").write_text("{}")
    with pytest.raises(TextError, match=r"absent\.json"):
        VoiceBpeTokenizer(tmp_path / "absent.json")
    with pytest.raises(TextError, match=r"text\.json"):
        VoiceBpeTokenizer(tmp_path / "text.json")


def test_a_vocabulary_without_start_is_refused():
    plain = Tokenizer(models.BPE(vocab={"[STOP]": 0, "[UNK]": 1, "[SPACE]": 2}, merges=[]))
    with pytest.raises(TextError, match=r"lacks the token \[START\]"):
        VoiceBpeTokenizer(plain)
