"""Texts: Austen's sentences, the grammar's, and those that are held out."""

import bz2
import lzma
import random
import subprocess
import zlib

import pytest

from myxtts.errors import DataError
from tools.voice_corpus import austen, grammar, texts
from tools.voice_corpus.settings import VoiceCorpusConfig


def serialised(*lines: str) -> bytes:
    """What R's serialisation holds of some lines."""
    head = b"\x00\x04\x00\x09"
    return b"X\n" + b"".join(head + len(x).to_bytes(4, "big") + x.encode() for x in lines)


def block(data: bytes, kind: str) -> bytes:
    packed = {
        "zlib": lambda: zlib.compress(data),
        "bzip2": lambda: b"2" + bz2.compress(data),
        "lzma": lambda: b"Z" + lzma.compress(data, lzma.FORMAT_RAW, filters=austen._XZ),
    }
    return len(data).to_bytes(4, "big") + packed[kind]()


def test_a_database_of_all_three_compressions_is_read():
    data = [serialised(f"line {kind}", "", "end") for kind in ("zlib", "bzip2", "lzma")]
    kinds = ("zlib", "bzip2", "lzma")
    row = b"".join(block(part, kind) for part, kind in zip(data, kinds, strict=True))
    assert list(austen.blocks(row)) == data
    assert list(austen.strings(data[0])) == ["line zlib", "", "end"]


def test_a_damaged_database_is_refused():
    row = block(serialised("line"), "zlib")
    with pytest.raises(DataError, match="damaged"):
        list(austen.blocks(row[:4] + b"\xff" + row[5:]))
    with pytest.raises(DataError, match="another length"):
        list(austen.blocks(b"\x00\x00\x00\x01" + row[4:]))


@pytest.mark.parametrize(
    ("paragraph", "sentences"),
    [
        ("It was _quite_ dark.  She\nwent home.", ["It was quite dark.", "She went home."]),
        ("Mr. Elton met Mrs. Long there.", ["Mr. Elton met Mrs. Long there."]),
        ('"You are late!" said he--"and wet."', ["You are late! said he, and wet."]),
        ("She's gone, isn't she?", ["She's gone, isn't she?"]),
        ("No.", []),
        ("In 1811 they left the house.", []),
        (
            "x" * 20 + "; " + "Then nobody came; and so " + "very " * 20 + "late it was",
            ["Xxxxxxxxxxxxxxxxxxxx.", "Then nobody came."],
        ),
    ],
)
def test_sentences_are_clean(paragraph, sentences):
    assert list(austen.split(paragraph)) == sentences


def test_a_missing_package_is_said_with_its_remedy(tmp_path, monkeypatch):
    def fails(*args, **options):
        raise subprocess.CalledProcessError(100, "apt-get")

    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    monkeypatch.setattr(austen.subprocess, "run", fails)
    with pytest.raises(DataError, match="--austen-package, or do without by --no-austen"):
        austen.package()
    with pytest.raises(DataError, match="there is no file"):
        austen.package(tmp_path / "none.deb")


def test_a_file_that_is_no_package_is_refused(tmp_path):
    (tmp_path / "no.deb").write_bytes(b"text")
    with pytest.raises(DataError, match="cannot be unpacked|dpkg-deb"):
        austen.sentences(tmp_path / "no.deb")


def test_the_grammar_gives_the_same_distinct_sentences_for_a_seed():
    first, again, other = (grammar.sentences(500, seed) for seed in (3, 3, 4))
    assert first == again != other
    assert len(set(first)) == 500


def test_the_grammar_reaches_every_rule_and_leaves_no_sign_of_one():
    found = grammar.sentences(10_000, 0)
    assert not [text for text in found if set(text) & set("{}<>|_")]
    assert all(text[0] == text[0].upper() and text[-1] in ".?!" for text in found)
    bodies = [part for body in grammar.rules().values() for part in body]
    used = {name for part in bodies for name in grammar._NAME.findall(part)}
    assert used | {grammar.START} == grammar.rules().keys()


def test_the_grammar_has_dates_money_times_questions_lists_and_one_word():
    found = grammar.sentences(3_000, 0)
    for sign in ("$", ":", "?", "!", ", and ", "19", "o'clock", "Dr.", "percent"):
        assert any(sign in text for text in found), sign
    assert sum(" " not in text for text in found) > 50
    assert sum(len(text.split()) > 20 for text in found) > 50


def test_articles_go_by_sound():
    text = "a old man, a useful dog, a 8 hour drive, a umbrella, a 80 and a 18 and a 81"
    right = "an old man, a useful dog, an 8 hour drive, an umbrella, an 80 and an 18 and an 81"
    assert grammar.with_articles(text) == right


def test_numbers_keep_their_zeros_and_commas():
    rng = random.Random(0)
    assert grammar.expand("<07-07> <1234-1234,>", rng) == "07 1,234"


def test_too_many_sentences_and_an_unknown_rule_are_refused(monkeypatch):
    monkeypatch.setattr(grammar, "rules", lambda: {"sentence": ("yes.", "no.")})
    with pytest.raises(DataError, match="only about 2 sentences, not 3"):
        grammar.sentences(3, 0)
    with pytest.raises(DataError, match="names the rule b,"):
        grammar.read_rules("a: {b} | c")


def made(**settings) -> texts.Texts:
    return texts.corpus_texts(VoiceCorpusConfig(austen=False, **settings))


def test_no_held_out_sentence_is_in_the_texts(tmp_path):
    free = made(grammar_sentences=2_000)
    word = next(text for text in free.parts["train"] if " " not in text)
    (tmp_path / "more.txt").write_text(f"# a comment\n{word.upper()}\n")
    config = VoiceCorpusConfig(austen=False, grammar_sentences=2_000)
    kept = texts.corpus_texts(config, held_out_file=tmp_path / "more.txt")
    everything = [text for part in kept.parts.values() for text in part]
    assert word not in everything
    assert kept.counts["grammar_held_out"] >= 1
    assert not {texts.key(text) for text in texts.held_out()} & set(map(texts.key, everything))
    assert kept.digest != free.digest


def test_validation_has_other_sentences_even_without_punctuation():
    parts = made(grammar_sentences=3_000, val_share=0.1).parts
    train, val = ({texts.key(text) for text in parts[part]} for part in texts.PARTS)
    assert not train & val
    assert 0.05 < len(val) / (len(train) + len(val)) < 0.15


def test_held_out_sentences_are_of_many_kinds():
    found = texts.held_out()
    assert len(found) == len(set(found)) >= 100
    assert sum(text.endswith("?") for text in found) >= 20
    assert sum(any(map(str.isdigit, text)) for text in found) >= 20
    assert sum(" " not in text for text in found) >= 10
    assert sum(len(text.split()) >= 28 for text in found) >= 8
