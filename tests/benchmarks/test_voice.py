"""What ``benchmarks/voice.py`` has said by whom, how it counts, and that it goes on."""

import json

import numpy as np
import pytest
import soundfile

from benchmarks import voice_tables as tables
from benchmarks.voice_material import (
    KINDS,
    KOKORO,
    ReferenceVoice,
    Sentence,
    kokoro_references,
    pairs,
    read_sentences,
    real_voices,
    spread,
)
from myxtts.errors import DataError
from tests.conftest import hum
from tools.voice_corpus.kokoro_speech import HELD_OUT

KIND_OF = {"a": "real", "b": "real", "k": "kokoro"}


def voices(count: int) -> list[ReferenceVoice]:
    return [ReferenceVoice(f"v{n:02d}", "real", None, ()) for n in range(count)]


def row(voice="a", errors=0, words=4, cosines=None, **facts) -> dict:
    made = {"attempts": [1], "flags": [[]], "finished": True, "compute": 1.0, "seconds": 2.0}
    said = {"kind": "statement", "text": "One two three four.", "heard": "one", "dnsmos": 3.5}
    cosines = cosines or {"a": 0.9, "b": 0.1, "k": 0.0}
    heard = {"voice": voice, "errors": errors, "words": words, "cosines": cosines}
    return made | said | heard | facts


def test_the_shipped_sentences_are_of_every_kind():
    from benchmarks.voice import HELD_OUT as path

    sentences = read_sentences(path)
    assert len(sentences) >= 100
    assert {sentence.kind for sentence in sentences} == set(KINDS)
    assert {sentence.kind for sentence in spread(sentences, 40)} == set(KINDS)


def test_kokoros_voices_are_in_no_corpus():
    assert set(KOKORO) <= set(HELD_OUT)


def test_every_voice_says_about_as_much_and_nobody_says_a_sentence_twice():
    sentences = [Sentence(n, "A.") for n in range(109)]
    said = pairs(sentences, voices(12), each=3)
    counts = np.unique([voice.name for _, voice in said], return_counts=True)[1]
    assert len(counts) == 12
    assert counts.max() - counts.min() <= 1
    assert len({(sentence.number, voice.name) for sentence, voice in said}) == 3 * 109


def test_real_speakers_with_several_recordings_come_first(tmp_path):
    rng = np.random.default_rng(0)
    for name, lengths in {"a": [6.0], "b": [1.0, 7.0, 6.0], "c": [1.0, 2.0]}.items():
        (tmp_path / name).mkdir()
        for number, seconds in enumerate(lengths):
            audio = hum(seconds, 120, rng)
            soundfile.write(tmp_path / name / f"{number}.wav", audio, 22_050)
    found = real_voices(tmp_path, 3)
    assert [voice.name for voice in found] == ["b", "c", "a"]
    assert [voice.reference.name for voice in found] == ["1.wav", "1.wav", "0.wav"]
    assert [path.name for path in found[0].others] == ["0.wav", "2.wav"]
    with pytest.raises(DataError, match="does not exist"):
        real_voices(tmp_path / "nowhere")


def test_references_of_kokoro_are_spoken_once(tmp_path):
    said = []

    def speak(text, name):
        said.append((name, text))
        return hum(6, 120, np.random.default_rng(0), 24_000)

    first = kokoro_references(tmp_path, speak)
    count = len(said)
    assert {name for name, _ in said} == set(KOKORO)
    assert kokoro_references(tmp_path, speak) == first
    assert len(said) == count


def test_errors_are_counted_by_words_and_identity_by_the_nearest():
    wrong = {"a": 0.2, "b": 0.3, "k": 0.0}
    rows = [
        row(errors=3, words=3),
        row(words=27, cosines=wrong, attempts=[1, 2], flags=[[], []]),
        row("k", words=10, finished=False, flags=[["unfinished"]]),
    ]
    found = tables.figures(rows, KIND_OF)
    assert found["wer"] == found["wer_statement"] == 0.075
    assert (found["nearest_real"], found["nearest_kokoro"]) == (0.5, 0.0)
    assert found["secs_real"] == 0.55
    assert found["guarded"] == 0.5
    assert (found["retries"], found["never_ended"]) == (1, 1)
    assert found["rtf_all"] == 0.5


def test_gates_are_held_or_missed():
    speed = {"rtf": {"ours": 0.4, "hibari": 0.02}, "first_chunk": {"ours": 0.31}}
    rows = {"ours": [row(), row("b", errors=1)], "hibari": [{"errors": 0, "words": 4}]}
    found = tables.summary(rows, KIND_OF, speed, {"a": ["af_heart", 0.3]})
    gates = tables.judged(found["ours"])
    passed = {name: gate["passed"] for name, gate in gates.items()}
    assert passed == {
        "wer": False,
        "nearest_real": False,
        "dnsmos": True,
        "rtf": True,
        "first_chunk": False,
        "guarded": True,
        "never_ended": True,
    }
    table = tables.gate_table(found, 12)
    assert "| WER, % | ≤ 8.0 | 12.5 (missed) | 0.0 |" in table
    assert "nearest of the 12, real speakers" in table
    assert found["kokoro"] == {"stock_real": 0.3}


def test_the_worst_clips_say_what_was_heard():
    rows = [row(errors=1), row("b", errors=3, flags=[["repeats"]]), row()]
    lines = tables.worst(rows, 5).splitlines()
    assert lines[0] == "3 of 4  b [repeats]"
    assert len(lines) == 6


def test_what_is_done_is_not_done_again(tmp_path):
    bench = pytest.importorskip("benchmarks.voice")
    calls = []

    def work(number, path):
        calls.append(number)
        return {"number": number, "path": path.name}

    jobs = [("one", 1), ("two", 2)]
    kept = bench.kept_rows
    first = kept(tmp_path, "x", jobs[:1], work)
    rows = kept(tmp_path, "x", jobs, work)
    assert calls == [1, 2]
    assert rows == [*first, {"number": 2, "path": "two.json"}]
    assert json.loads((tmp_path / "one.json").read_text()) == first[0]
