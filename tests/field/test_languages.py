"""Languages of a corpus: what is no code is refused with its line, what is unknown is told."""

import json
import logging
from pathlib import Path

import pytest

from myxtts.data.formats import find_utterances
from myxtts.data.languages import require_codes, tell_languages
from myxtts.data.xtts import open_corpus, open_store
from myxtts.errors import DataError
from myxtts.text.tokenizer import VoiceBpeTokenizer, train_tokenizer
from tests.conftest import write_corpus


def learn(found) -> VoiceBpeTokenizer:
    return train_tokenizer([(item.text, item.language) for item in found], 300)


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_corpus(tmp_path, clips=4)


def as_jsonl(folder: Path, languages: dict[int, object]) -> None:
    path = folder / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for number, language in languages.items():
        rows[number]["language"] = language
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_table(folder: Path, languages: dict[int, object]) -> None:
    path = folder / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    told = [
        "|".join((row["file_name"], row["text"], "ann", str(languages.get(number, ""))))
        for number, row in enumerate(rows)
    ]
    path.unlink()
    lines = ["audio_file|text|speaker_name|language", *told]
    (folder / "metadata_train.csv").write_text("\n".join(lines) + "\n")


# How a corpus is written, its file, and the line of its first utterance.
LAYOUTS = [(as_jsonl, "metadata.jsonl", 1), (as_table, "metadata_train.csv", 2)]


def opened(folder: Path, config, make=learn, language="en"):
    config = config.merged({"data": {"language": language}})
    return open_corpus(folder, config, open_store(config.data, folder / "cache"), make)


@pytest.mark.parametrize(("write", "name", "first"), LAYOUTS)
@pytest.mark.parametrize("language", ["english", "EN US", "e", "[en]", "sad", "5", "en/de"])
def test_what_is_no_code_is_refused_with_its_line(
    folder, micro_config, write, name, first, language
):
    write(folder, {2: language})
    with pytest.raises(DataError) as caught:
        opened(folder, micro_config)
    line = f"{folder / name}, line {first + 2}: {language!r} is no language code, such as en or"
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("language", [5, ["en"], True, {"a": "b"}, ""])
def test_what_is_no_text_is_no_code_either(folder, micro_config, language):
    as_jsonl(folder, {1: language})
    with pytest.raises(DataError, match=r"metadata\.jsonl, line 2: .* is no language code"):
        opened(folder, micro_config)


@pytest.mark.parametrize("language", ["english", "", "xxxx", "?"])
def test_the_setting_is_held_to_the_same(folder, micro_config, language):
    with pytest.raises(DataError, match=r"--language \(data\.language\): .* is no language code"):
        opened(folder, micro_config, language=language)


@pytest.mark.parametrize(("write", "name", "first"), LAYOUTS)
@pytest.mark.parametrize("language", ["xx", "sv", "eng"])
def test_a_language_without_rules_is_told_with_its_line(
    folder, micro_config, caplog, write, name, first, language
):
    write(folder, {2: language, 3: language})
    corpus, report = opened(folder, micro_config)
    assert report.kept == 4
    assert corpus.tokenizer.languages == sorted(("en", language))
    (told,) = [item.message for item in caplog.records if "no rules" in item.message]
    assert told.startswith(f"{folder / name}, line {first + 2}: language {language!r}")
    assert "2 utterances are trained on as they are written" in told


def test_a_setting_without_rules_is_told(folder, micro_config, caplog):
    opened(folder, micro_config, language="xx")
    assert "--language (data.language): language 'xx' has no rules" in caplog.text


@pytest.mark.parametrize(("write", "name", "first"), LAYOUTS)
@pytest.mark.parametrize("language", ["xx", "fr", "zh"])
def test_a_language_that_a_vocabulary_lacks_is_left_out_as_speaking_refuses_it(
    folder, micro_config, caplog, write, name, first, language
):
    known = train_tokenizer([("this is clip number", "en")], 300)
    write(folder, {1: language, 3: language})
    _, report = opened(folder, micro_config, lambda found: known)
    assert report.kept == 2
    (told,) = [item.message for item in caplog.records if item.levelno == logging.WARNING]
    place = f"{folder / name}, line {first + 1}"
    sentence = f"unknown language {language!r}; this model speaks en."
    assert told == f"{place}: {sentence} Left out: 2 utterances."


def test_a_setting_that_a_vocabulary_lacks_ends_the_training(folder, micro_config, caplog):
    known = train_tokenizer([("this is clip number", "en")], 300)
    with pytest.raises(DataError, match="no usable utterance: 4 unknown language 'xx'"):
        opened(folder, micro_config, lambda found: known, language="xx")
    assert "--language (data.language): unknown language 'xx'" in caplog.text


@pytest.mark.parametrize("language", ["en", "EN", "pt-BR", "zh", "zh-cn", "en_US", "ja"])
def test_known_codes_are_not_spoken_of(tmp_path, caplog, language):
    folder = write_corpus(tmp_path, clips=1)
    as_jsonl(folder, {0: language})
    found = find_utterances(folder)
    require_codes(found, "en")
    known = train_tokenizer([("a", "en"), ("a", "pt"), ("a", "de")], 300)
    known.languages += ["ja", "zh-cn"]
    tell_languages(found, "en", known)
    assert caplog.text == ""


def test_a_column_of_languages_is_read(folder, micro_config):
    as_table(folder, {1: "de", 3: "pt-BR"})
    corpus, _ = opened(folder, micro_config)
    assert [item.language for item in corpus.utterances] == ["en", "de", "en", "pt-BR"]
