"""Corpora as people have them: the right recordings with the right words, or one sentence."""

import logging
from types import SimpleNamespace

import pytest

from myxtts.config import XTTSConfig
from myxtts.data.formats import find_utterances, is_file, recognise
from myxtts.errors import DataError
from myxtts.text.split import split_text
from myxtts.text.tokenizer import train_tokenizer
from myxtts.training.start import open_corpora
from myxtts.verification.trials import read_trials


@pytest.fixture
def corpus(tmp_path):
    """Makes a corpus ``anna`` of empty recordings and one metadata file."""

    def make(recordings, content=None, name="metadata.csv", **texts):
        folder = tmp_path / "anna"
        for item in (*recordings, *texts):
            (folder / item).parent.mkdir(parents=True, exist_ok=True)
            (folder / item).write_text(texts.get(item, ""))
        if content is not None:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return make


def rows(folder) -> list[tuple]:
    found = find_utterances(folder)
    assert all(is_file(item.path) for item in found)
    top = folder if folder.is_dir() else folder.parent
    return [(str(item.path.relative_to(top)), item.text, item.speaker) for item in found]


TWO = ("wavs/a.wav", "wavs/b.wav")
GOOD = [("wavs/a.wav", "Good morning.", "anna"), ("wavs/b.wav", "See you.", "ben")]


@pytest.mark.parametrize(
    "content",
    [
        "audio_file|text|speaker_name\nwavs/a.wav|Good morning.|anna\nwavs/b.wav|See you.|ben\n",
        "\ufeffaudio_file|text|speaker_name\r\nwavs/a.wav|Good morning.|anna\r\n"
        "wavs/b.wav|See you.|ben\r\n",
        'text|audio_file|emotion_name|speaker_name\n"Good morning."|wavs/a|x|anna\n'
        "See you.|wavs\\b.wav|y|ben\n",
    ],
)
@pytest.mark.parametrize("name", ["metadata_train.csv", "metadata.csv"])
def test_coquis_layout_is_read(corpus, name, content):
    folder = corpus(TWO, content, name)
    assert rows(folder) == GOOD
    assert rows(folder / name) == GOOD
    assert recognise(folder) == ("coqui" if name == "metadata_train.csv" else "ljspeech")


def test_coquis_second_file_is_for_validation(corpus, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = corpus(TWO, "audio_file|text\nwavs/a.wav|Good morning.\n", "metadata_train.csv")
    corpus(TWO, "audio_file|text\nwavs/b.wav|See you.\n", "metadata_eval.csv")
    assert opened(folder, tmp_path) == (["Good morning."], ["See you."])
    assert f"it is {folder / 'metadata_eval.csv'}" in caplog.text


def opened(folder, run_dir) -> tuple:
    """Texts that a training is made with and validated with."""
    config = XTTSConfig().merged({"data": {"train_data": str(folder)}})

    def open_one(place):
        texts = [item.text for item in find_utterances(place)]
        found = _Texts(texts)
        return found, SimpleNamespace(write=lambda path: None)

    return tuple(map(list, open_corpora(config, run_dir, open_one)))


class _Texts(list):
    def split(self, every):
        return (self, self) if len(self) < 2 else (self[:-1], self[-1:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a|Good morning.\n", "the only utterance cannot be held out"),
        ("a|Good morning.\nb|See you.\n", "2 utterances are few: one of them is held out"),
    ],
)
def test_a_validation_of_little_worth_is_said(corpus, tmp_path, caplog, content, message):
    opened(corpus(TWO, content), tmp_path)
    assert message in caplog.text


@pytest.mark.parametrize(
    ("content", "culprit"),
    [
        ("a|Good morning.|anna\nb|See you.|ben\n", "'anna'.*'Good morning.'"),
        ("a|anna|Good morning.\nb|ben|See you.\n", "'Good morning.'.*'anna'"),
        ("a|Good morning.|happy\nb|See you.|sad\n", "'happy'"),
        ("".join(f"a|Добрый день номер {n} сегодня.|anna\n" for n in range(9)), "'anna'"),
    ],
)
def test_a_third_column_that_is_no_reading_is_asked_about(corpus, content, culprit):
    folder = corpus(TWO, content)
    with pytest.raises(DataError, match=rf"line 1: the third column, {culprit}.*id\|text\|speaker"):
        find_utterances(folder)
    if culprit == "'anna'.*'Good morning.'":
        corpus(TWO, f"id|text|speaker\n{content}")
        assert rows(folder) == GOOD


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("a|Dr. Who, 1990|Doctor Who, nineteen ninety\nb|42|forty two\n", 2),
        ("a|10 km|ten kilometres\nb|See you.|See you.\n", 2),
        ("a|你好|ni hao\nb|再见|zai jian\n", 2),
        ("id|text|normalised\na|x|y\n", 1),
    ],
)
def test_readings_are_taken(corpus, content, texts):
    last = [line.split("|")[-1] for line in content.splitlines()][-texts:]
    assert [text for _, text, _ in rows(corpus(TWO, content))] == last


@pytest.mark.parametrize("name", ["a.WAV", "a.Wav", "A.wav", "a.Flac"])
@pytest.mark.parametrize("stem", ["a", "wavs/a"])
def test_capitals_in_names_of_recordings_are_no_hindrance(corpus, name, stem):
    folder = corpus([f"wavs/{name}"], f"{stem}|Good morning.\n")
    assert rows(folder) == [(f"wavs/{name}", "Good morning.", "anna")]


def test_every_release_of_vctk_is_looked_into(corpus):
    texts = {f"txt/{s}/{s}_{n}.txt": "Please wait." for s in ("p1", "p2") for n in ("001", "002")}
    recordings = [
        "wav48/p1/p1_001.wav",
        "wav48/p2/p2_001.wav",
        "wav48_silence_trimmed/p1/p1_001_mic2.flac",
        "wav48_silence_trimmed/p1/p1_002_mic1.FLAC",
        "wav48/p2/p2_002.wav",
    ]
    folder = corpus(recordings, **texts)
    assert [path for path, *_ in rows(folder)] == [
        "wav48_silence_trimmed/p1/p1_001_mic2.flac",
        "wav48_silence_trimmed/p1/p1_002_mic1.FLAC",
        "wav48/p2/p2_001.wav",
        "wav48/p2/p2_002.wav",
    ]
    with pytest.raises(DataError, match="anna is one: name that"):
        find_utterances(folder.parent)


def test_an_empty_file_of_a_broken_download_hides_no_whole_one(corpus):
    folder = corpus(
        ["wav48_silence_trimmed/p1/p1_001_mic1.flac", "wav48/p1/p1_002.wav"],
        **{"txt/p1/p1_001.TXT": "Please wait.", "txt/p1/p1_002.txt": "See you."},
        **{"wav48/p1/p1_001.wav": "whole"},
    )
    assert rows(folder) == [
        ("wav48/p1/p1_001.wav", "Please wait.", "p1"),
        ("wav48/p1/p1_002.wav", "See you.", "p1"),
    ]


@pytest.mark.parametrize("name", ["wavs/A.wav", "wavs\\\\a.WAV", "wavs/a"])
def test_lines_of_json_name_recordings_as_loosely_as_tables(corpus, name):
    line = f'{{"file_name": "{name}", "text": "Good morning."}}\n'
    folder = corpus(["wavs/a.WAV"], f"\ufeff{line}", "metadata.jsonl")
    assert rows(folder) == [("wavs/a.WAV", "Good morning.", "anna")]


@pytest.mark.parametrize(("encoding", "works"), [("utf-16", True), ("cp1252", False)])
def test_other_encodings_are_read_or_named(corpus, encoding, works):
    folder = corpus(TWO, "a|Hello.|Hello.\nb|Café.|Café.\n".encode(encoding))
    if works:
        assert [text for _, text, _ in rows(folder)] == ["Hello.", "Café."]
    else:
        with pytest.raises(DataError, match=r"line 2 is not UTF-8.*iconv -f WINDOWS-1252"):
            find_utterances(folder)


@pytest.mark.parametrize(
    "line",
    ['{} "my clips/a 1.wav" b.wav', "{}\tmy clips/a 1.wav\tb.wav", '{}\t"my clips/a 1.wav"\tb.wav'],
)
def test_trial_lists_hold_paths_with_blanks(tmp_path, line):
    (tmp_path / "my clips").mkdir()
    for name in ("my clips/a 1.wav", "b.wav"):
        (tmp_path / name).touch()
    text = "\r\n".join(["\ufeff# trials", line.format(1), line.format("nontarget"), ""])
    (tmp_path / "trials.txt").write_bytes(text.encode())
    found = [(item.target, item.enrol, item.test) for item in read_trials(tmp_path / "trials.txt")]
    assert found == [(True, "my clips/a 1.wav", "b.wav"), (False, "my clips/a 1.wav", "b.wav")]
    (tmp_path / "trials.txt").write_text("1 my clips/a 1.wav b.wav\n")
    with pytest.raises(DataError, match="paths with blanks stand in double quotes"):
        read_trials(tmp_path / "trials.txt")


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "The book was written by J. R. R. Tolkien a long time ago."),
        ("en", "He paid No. 5 for all of the oil they had burned."),
        ("en", "The case of Smith vs. Jones was heard in the U.S. Court today."),
        ("en", "It was 3.5 miles, approx. five hours, to the next town."),
        ("en", "Ask Prof. Green or Mr. Brown, e.g. Tuesday, about Fig. 3 of it."),
        ("en", "A Ph.D. Student of Apple Inc. Germany came at 5 p.m. Monday."),
        ("es", "Vive en la Av. Central, núm. 5, y trabaja con la Sra. López."),
        ("de", "Die Univ. Bonn nahm ggf. Gäste auf, sog. Hörer, bspw. Peter."),
        ("de", "Am 3. Oktober kamen z. B. Hr. Braun und Nr. 5 in die Stadt."),
        ("ru", "Он жил на ул. Ленина, где бывал А. С. Пушкин и все другие."),
    ],
)
def test_short_forms_end_no_sentence(language, sentence):
    tokenizer = train_tokenizer([("ab cd", language)], 300)
    text = f"{sentence} Then came the end. {sentence}"
    pieces = split_text(text, tokenizer, language, 10**6, max_characters=len(sentence) + 2)
    assert pieces == [sentence, "Then came the end.", sentence]


def test_those_who_write_no_capitals_have_sentences_too():
    tokenizer = train_tokenizer([("ab cd", "en")], 300)
    text = "hello there. how are you. it was 1990. then came rain."
    pieces = split_text(text, tokenizer, "en", 10**6, max_characters=26)
    assert pieces == ["hello there. how are you.", "it was 1990.", "then came rain."]
