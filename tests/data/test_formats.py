"""Every layout is recognised, and a malformed one is named by file and line."""

import json

import pytest

from myxtts.data.formats import LAYOUTS, find_utterances, recognise
from myxtts.errors import DataError


def put(path, content=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def ljspeech(tmp_path):
    put(tmp_path / "metadata.csv", "LJ-1|Dr. Who|Doctor Who\nLJ-2|Only raw|\n\nLJ-3|Two columns\n")
    put(tmp_path / "wavs" / "LJ-2.flac")
    return tmp_path


@pytest.fixture
def vctk(tmp_path):
    for speaker, name in (("p225", "p225_001"), ("p225", "p225_002"), ("p226", "p226_001")):
        put(tmp_path / "txt" / speaker / f"{name}.txt", f"Words of {name}.\n")
    audio = tmp_path / "wav48_silence_trimmed"
    put(audio / "p225" / "p225_001_mic1.flac")
    put(audio / "p225" / "p225_001_mic2.flac")
    put(audio / "p225" / "p225_002_mic2.flac")
    put(audio / "p226" / "p226_001.wav")
    put(tmp_path / "wav48_zz.tar.gz")
    return tmp_path


@pytest.fixture
def libritts(tmp_path):
    for name in ("84/12/84_12_0", "84/12/84_12_1", "91/7/91_7_0"):
        put(tmp_path / f"{name}.wav")
        put(tmp_path / f"{name}.normalized.txt", f"Words of {name}.")
        put(tmp_path / f"{name}.original.txt", "not these")
    return tmp_path


def write_jsonl(folder, *items):
    lines = [item if isinstance(item, str) else json.dumps(item) for item in items]
    put(folder / "metadata.jsonl", "\n".join(lines))
    return folder


def test_ljspeech_prefers_the_normalised_text_and_the_file_that_exists(ljspeech):
    assert recognise(ljspeech) == "ljspeech"
    found = find_utterances(ljspeech, language="de")
    assert [item.text for item in found] == ["Doctor Who", "Only raw", "Two columns"]
    assert [item.path.name for item in found] == ["LJ-1.wav", "LJ-2.flac", "LJ-3.wav"]
    assert {(item.speaker, item.language) for item in found} == {(ljspeech.name, "de")}


def test_vctk_prefers_the_first_microphone(vctk):
    assert recognise(vctk) == "vctk"
    found = find_utterances(vctk)
    assert [item.path.name for item in found] == [
        "p225_001_mic1.flac",
        "p225_002_mic2.flac",
        "p226_001.wav",
    ]
    assert [item.speaker for item in found] == ["p225", "p225", "p226"]
    assert found[2].text == "Words of p226_001."


def test_libritts_takes_speaker_from_the_folder_and_the_normalised_text(libritts):
    assert recognise(libritts) == "libritts"
    found = find_utterances(libritts)
    assert [item.speaker for item in found] == ["84", "84", "91"]
    assert found[0].text == "Words of 84/12/84_12_0."


def test_jsonl_defaults_where_speaker_and_language_are_absent_or_null(tmp_path):
    write_jsonl(
        tmp_path,
        {"file_name": "a/1.wav", "text": " Hello ", "speaker": "ann", "language": "fr"},
        {"file_name": "2.wav", "text": "Hi", "speaker": None, "language": None},
        {"file_name": "3.wav", "text": "Hi", "speaker": 0},
    )
    assert recognise(tmp_path) == "jsonl"
    first, second, third = find_utterances(tmp_path, language="es")
    assert (first.path, first.text) == (tmp_path / "a" / "1.wav", "Hello")
    assert (first.speaker, first.language) == ("ann", "fr")
    assert (second.speaker, second.language) == (tmp_path.name, "es")
    assert third.speaker == "0"


def test_a_text_may_hold_unicode_line_separators_and_the_file_a_byte_order_mark(tmp_path):
    line = '{"file_name": "1.wav", "text": "one\u2028two\u0085three"}'
    put(tmp_path / "metadata.jsonl", "\ufeff" + line + "\r\n")
    (found,) = find_utterances(tmp_path)
    assert found.text == "one\u2028two\u0085three"


def test_hidden_files_are_no_utterances(vctk):
    hidden = vctk / "txt" / "p225" / "._p225_001.txt"
    hidden.write_bytes(b"\x00\x05\x16\x07\xff")
    assert len(find_utterances(vctk)) == 3


def test_an_unreadable_transcript_costs_one_utterance(libritts):
    (libritts / "84/12/84_12_0.normalized.txt").write_bytes(b"\xff\xfe\xff")
    assert [bool(item.text) for item in find_utterances(libritts)] == [False, True, True]


def test_the_order_is_fixed(libritts):
    assert find_utterances(libritts) == find_utterances(libritts)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", "a|b|c\na|b|c|d\n", "line 2: 4 columns"),
        ("metadata.csv", "a|b\n\njust words\n", "line 3: 1 columns"),
        ("metadata.csv", "a|b\n|b|c\n", "line 2: '' is no id"),
        ("metadata.jsonl", '{"file_name": "a", "text": "b"}\n{"file_name"', "line 2: not valid"),
        ("metadata.jsonl", "[1, 2]", "line 1: expected a JSON object"),
        ("metadata.jsonl", '{"text": "b"}', "line 1: 'file_name' is missing"),
        ("metadata.jsonl", '{"file_name": "a", "text": 3}', "line 1: 'text' is missing"),
        ("metadata.jsonl", "1" * 5000, "line 1: not valid JSON"),
        ("metadata.jsonl", "[" * 100_000, "line 1: not valid JSON"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, name, content, message):
    metadata = put(tmp_path / name, content)
    with pytest.raises(DataError) as caught:
        find_utterances(tmp_path)
    assert f"{metadata}, {message}" in str(caught.value)


def test_metadata_that_is_no_text_is_named(tmp_path):
    (tmp_path / "metadata.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"cannot read .*metadata\.csv"):
        find_utterances(tmp_path)


def test_missing_empty_and_unknown_folders_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        find_utterances(tmp_path / "absent")
    with pytest.raises(DataError, match="is empty"):
        find_utterances(tmp_path)
    put(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="no corpus of a known layout"):
        find_utterances(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_named_layout_that_does_not_fit_is_one_sentence(tmp_path, layout):
    put(tmp_path / "notes.txt")
    with pytest.raises(DataError):
        find_utterances(tmp_path, layout)


def test_a_named_layout_beats_recognition(ljspeech):
    write_jsonl(ljspeech, {"file_name": "x.wav", "text": "x"})
    assert len(find_utterances(ljspeech)) == 1
    assert len(find_utterances(ljspeech, "ljspeech")) == 3


@pytest.mark.parametrize(
    ("folder", "layout", "speakers"),
    [
        ("libritts_mini/dev", "libritts", 3),
        ("ljspeech_mini", "ljspeech", 1),
        ("kokoro54", "jsonl", 54),
    ],
)
def test_real_corpora_are_recognised_and_complete(shared_data, folder, layout, speakers):
    root = shared_data / folder
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    assert recognise(root) == layout
    found = find_utterances(root)
    assert all(item.path.is_file() and item.text for item in found)
    assert len({item.speaker for item in found}) == speakers
