"""Recordings of real people: which are found, how they are cut, what the corpus has of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from myxtts.data.formats import find_utterances
from myxtts.errors import ConfigError, DataError, UnreadableError
from tests.tools.voice_corpus.test_corpus import TEXTS, Teacher, here, lines, texts
from tools import make_voice_corpus as tool
from tools.voice_corpus import corpus, recorded_clips, shards
from tools.voice_corpus.checks import Check
from tools.voice_corpus.front_end import Reading
from tools.voice_corpus.kokoro_speech import KokoroSpeaker
from tools.voice_corpus.plan import Plan
from tools.voice_corpus.recorded_clips import LONGEST, cut
from tools.voice_corpus.recordings import Recordings, check_names, find_recordings
from tools.voice_corpus.settings import VoiceCorpusConfig
from tools.voice_corpus.speakers import pseudo_speakers
from tools.voice_corpus.speech import SAMPLE_RATE
from tools.voice_corpus.texts import key

RATE = 16_000


def record(path: Path, seconds: float, level: float = 0.02) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).standard_normal(int(seconds * RATE))
    soundfile.write(path, level * noise, RATE)


def heard_words(audio, rate) -> list:
    """A word every half second, and a longer pause after every tenth."""
    count = int(2 * len(audio) / rate)
    return [(f"word{k}", k / 2, k / 2 + (0.1 if k % 10 == 9 else 0.45)) for k in range(count)]


@pytest.fixture(autouse=True)
def hearing(monkeypatch) -> list:
    """Nothing here speaks or hears; the lengths of what Whisper would have heard."""
    calls = []
    monkeypatch.setattr(
        recorded_clips,
        "heard_words",
        lambda *clip: calls.append(len(clip[0])) or heard_words(*clip),
    )
    monkeypatch.setattr(shards, "read", lambda text: Reading(text, tuple(text.lower().split())))
    monkeypatch.setattr(corpus, "pool", here)
    return calls


@pytest.fixture
def speakers(tmp_path) -> Path:
    """Two speakers without transcripts; one recording is long, one is broken, one is silent."""
    folder = tmp_path / "speakers"
    record(folder / "ann" / "a.wav", 3)
    record(folder / "ann" / "chapter" / "b.flac", 30)
    record(folder / "bob" / "c.wav", 4, level=0.2)
    record(folder / "bob" / "d.wav", 4, level=0)
    (folder / "bob" / "e.wav").write_bytes(b"RIFF and no more")
    (folder / "bob" / ".hidden.wav").write_bytes(b"")
    return folder


@pytest.fixture
def told(tmp_path) -> Path:
    """A corpus with transcripts, in two languages."""
    folder = tmp_path / "told"
    rows = [
        {"file_name": "a.wav", "text": "Good  day to you.", "speaker": "cid"},
        {"file_name": "b.wav", "text": "Guten Tag.", "speaker": "cid", "language": "de"},
        {"file_name": "c.wav", "text": "Sentence 3, of many!", "speaker": "dee"},
        {"file_name": "none.wav", "text": "Never recorded.", "speaker": "dee"},
    ]
    for row in rows[:3]:
        record(folder / row["file_name"], 2)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def found(*folders: Path, leave_out=(), val_share: float = 0.2) -> Recordings:
    return find_recordings(folders, leave_out, val_share, 0)


def plan(recordings: Recordings, **settings) -> Plan:
    config = VoiceCorpusConfig(
        **{"hours": 0, "shard_clips": 2, "check_every": 0, "val_share": 0.2} | settings
    )
    speakers = {"hibari": pseudo_speakers(8, 0), "recordings": recordings.speakers}
    return Plan(config, TEXTS, speakers, recordings=recordings, held_out=texts().held_out)


def made(recordings: Recordings, output: Path, **settings) -> dict:
    return corpus.make(plan(recordings, **settings), texts(), output, 2)


def test_folders_of_speakers_are_found(speakers):
    recordings = found(speakers)
    names = [(item.speaker, item.path.name, item.text) for item in recordings.parts["train"]]
    assert names == [("ann", "a.wav", ""), ("ann", "b.flac", "")] + [
        ("bob", f"{name}.wav", "") for name in "cde"
    ]
    assert recordings.counts == {"found": 5, "left_out": 0, "other_language": 0}
    assert recordings and not Recordings() and Recordings().digest is None


def test_corpora_are_found_without_other_languages(told, speakers):
    recordings = found(told, speakers, told)
    assert recordings.counts == {"found": 9, "left_out": 0, "other_language": 1}
    assert recordings.parts["train"][0].text == "Good day to you."
    assert [speaker.name for speaker in recordings.speakers] == ["ann", "bob", "cid", "dee"]


def test_speakers_are_left_out_by_name_and_by_file(told, speakers, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("# of a test\nbob\nsomebody else\n")
    record(speakers / "af_kore" / "a.wav", 2)
    recordings = found(told, speakers, leave_out=("cid", str(names)))
    assert {item.speaker for item in recordings.parts["train"]} == {"ann", "dee"}
    assert recordings.counts == {"found": 10, "left_out": 6, "other_language": 0}
    with pytest.raises(DataError, match="--leave-out Bob: no recording"):
        found(speakers, leave_out=("Bob",))
    with pytest.raises(DataError, match="none of the 6 recordings may be heard"):
        found(speakers, leave_out=("ann", "bob"))
    with pytest.raises(DataError, match="there are none"):
        found(leave_out=("ann",))


def test_folders_without_recordings_are_named(told, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts" / "ann").mkdir(parents=True)
    (tmp_path / "flat").mkdir()
    record(tmp_path / "flat" / "a.wav", 1)
    for name, sentence in {
        "none": "none does not exist",
        "empty": "empty is empty",
        "texts": "none of its folders holds audio files",
        "flat": "no corpus of a known layout",
        ".": "told is one: name that",
    }.items():
        with pytest.raises(DataError, match=sentence):
            found(tmp_path / name)
    (told / "metadata.jsonl").write_text("no JSON\n")
    with pytest.raises(DataError, match="line 1: not valid JSON"):
        found(told)


def test_validation_has_speakers_of_its_own(tmp_path):
    for number in range(12):
        for name in ("a", "b"):
            record(tmp_path / "speakers" / f"s{number}" / f"{name}.wav", 2)
    recordings = found(tmp_path / "speakers", val_share=0.2)
    heard = {part: {item.speaker for item in recordings.parts[part]} for part in ("train", "val")}
    assert len(heard["val"]) == 3 and len(heard["train"]) == 9
    assert not heard["val"] & heard["train"]
    assert recordings.parts == found(tmp_path / "speakers", val_share=0.2).parts
    result = made(recordings, tmp_path / "out", recording_tempos=[])
    assert result["clips"] == {"train": 18, "val": 6}
    assert {row["speaker"] for row in lines(tmp_path / "out" / "val")} == heard["val"]


def test_names_of_other_speakers_are_refused(tmp_path):
    record(tmp_path / "h0001" / "a.wav", 2)
    with pytest.raises(DataError, match="called h0001"):
        check_names(found(tmp_path).speakers, pseudo_speakers(3, 0))
    check_names(found(tmp_path).speakers, pseudo_speakers(1, 0))


def test_long_recordings_are_cut_at_pauses():
    words = heard_words(np.zeros(60 * RATE), RATE)
    parts = list(cut(words, 0.0, 60.0))
    assert [word for said, _, _ in parts for word in said] == words
    assert parts[0][1] == 0.0 and parts[-1][2] == 60.0
    for (_, start, end), (_, following, _) in zip(parts, parts[1:], strict=False):
        assert 0 < end - start <= LONGEST and end == following
    # The pauses lie between 4.6 s and 5 s and every five seconds from there.
    assert all(end % 5 == pytest.approx(4.8) for _, _, end in parts[:-1])


def test_the_longest_pause_beats_the_middle_unless_it_is_far():
    words = [(str(k), float(k), k + 0.9) for k in range(16)]
    words[10] = ("10", 10.3, 10.9)  # 0.4 s of pause at 10.1 s, else 0.1 s; the middle is 8 s
    assert len(next(cut(words, 0.0, 16.0))[0]) == 10
    words[10], words[14] = ("10", 10.0, 10.9), ("14", 14.1, 14.9)  # 0.2 s at 14 s
    assert len(next(cut(words, 0.0, 16.0))[0]) == 8
    few = [("one", 0.0, 1.0), ("two", 29.0, 30.0)]
    assert list(cut(few, 0.0, 30.0)) == [(few, 0.0, 30.0)]


def test_clips_of_recordings_are_a_corpus(speakers, told, tmp_path, hearing):
    result = made(found(speakers, told), tmp_path / "out", audio_format="flac")
    items, rows = find_utterances(tmp_path / "out" / "train"), lines(tmp_path / "out" / "train")
    assert len(items) == result["clips"]["train"] == len({item.path for item in items})
    assert result["unreadable"] == 2 and result["unusable"] == 1  # the silent one
    assert sorted(hearing) == [3 * RATE, 4 * RATE, 4 * RATE, 30 * RATE]
    for item, row in zip(items, rows, strict=True):
        audio, rate = soundfile.read(item.path)
        assert rate == SAMPLE_RATE and 1 <= len(audio) / rate <= 13.01
        assert np.sqrt(np.mean(audio**2)) == pytest.approx(0.06, rel=1e-3)
        assert not item.durations and len(item.word_phonemes) == len(item.text.split())
        assert "durations" not in row and "word_durations" not in row
    own = [row for row in rows if "@" not in row["speaker"]]
    assert {row["speaker"] for row in own} == {"ann", "bob", "cid", "dee"}
    long = [row["text"] for row in own if row["file_name"].split("/")[1].startswith("000001")]
    assert len(long) >= 3 and " ".join(long).split() == [f"word{k}" for k in range(60)]
    kinds = result["kinds"]["recordings"]
    assert kinds["clips"] == kinds["clips_with_phonemes"] == len(rows)
    assert kinds["hours"] == result["hours"]["train"] and result["hours"]["val"] == 0


def test_copies_are_played_faster_by_other_speakers(speakers, tmp_path):
    recordings = found(speakers, leave_out=("ann",))
    result = made(recordings, tmp_path / "out", recording_tempos=[0.88, 1.13])
    rows = lines(tmp_path / "out" / "train")
    assert [row["speaker"] for row in rows] == ["bob", "bob@0.88", "bob@1.13"]
    seconds = [
        soundfile.info(tmp_path / "out" / "train" / row["file_name"]).duration for row in rows
    ]
    assert seconds == pytest.approx([4, 4 / 0.88, 4 / 1.13], abs=1e-3)
    copied = result["kinds"]["recordings"]["copied_hours"]
    assert copied == pytest.approx((4 / 0.88 + 4 / 1.13) / 3600, abs=1e-4)
    made(recordings, tmp_path / "none", recording_tempos=[])
    assert [row["speaker"] for row in lines(tmp_path / "none" / "train")] == ["bob"]


@pytest.mark.parametrize("read", [lambda text: None, lambda text: Reading(text, ("one",))])
def test_a_text_that_cannot_be_read_word_by_word_stays_text(read, told, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "read", read)
    result = made(found(told), tmp_path / "out", recording_tempos=[])
    assert result["kinds"]["recordings"]["clips_with_phonemes"] == 0
    assert [row.keys() for row in lines(tmp_path / "out" / "train")] == [
        {"file_name", "text", "speaker", "language"}
    ] * 2


def test_sentences_of_tests_and_of_validation_are_left_out(told, tmp_path):
    place = plan(found(told))
    assert place.may_be_said(TEXTS["train"][0], "train")
    assert not place.may_be_said(TEXTS["val"][0], "train")
    config = VoiceCorpusConfig(hours=0, check_every=0, recording_tempos=())
    held_out = frozenset({key("sentence 3 of many")})
    recordings = found(told)
    speakers = {"recordings": recordings.speakers}
    tested = Plan(config, TEXTS, speakers, recordings=recordings, held_out=held_out)
    result = corpus.make(tested, texts(), tmp_path / "out", 1)
    assert result["held_out"] == 1
    assert [row["text"] for row in lines(tmp_path / "out" / "train")] == ["Good day to you."]


def test_given_texts_are_checked_and_heard_ones_are_not(told, speakers, tmp_path, monkeypatch):
    asked = []

    def check(text, speech):
        asked.append(text)
        return Check(4, 4.0 if "many" in text else 0.0)

    monkeypatch.setattr(shards, "check", check)
    result = made(found(told, speakers), tmp_path / "out", check_every=1)
    assert asked == ["Good day to you.", "Sentence 3, of many!"]
    assert (result["checked"], result["misheard"]) == (2, 1)


def test_noise_in_which_nothing_is_heard_is_left_out(speakers, tmp_path, monkeypatch):
    monkeypatch.setattr(recorded_clips, "heard_words", lambda *clip: [("you", 0.0, 0.3)])
    with pytest.raises(DataError, match="none of the recordings of .*speakers is usable"):
        made(found(speakers), tmp_path / "out")


def test_a_run_that_was_stopped_goes_on_to_the_same_clips(speakers, told, tmp_path, monkeypatch):
    recordings = found(speakers, told)
    whole = made(recordings, tmp_path / "whole")
    for last in (0, 2):
        left = iter(range(last))

        def stops(audio, rate, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return heard_words(audio, rate)

        monkeypatch.setattr(recorded_clips, "heard_words", stops)
        with pytest.raises(KeyboardInterrupt):
            made(recordings, tmp_path / "parts")
        folders = (tmp_path / "parts").rglob("recordings-*")
        assert all((folder / "shard.json").is_file() for folder in folders)
    monkeypatch.setattr(recorded_clips, "heard_words", heard_words)
    again = made(recordings, tmp_path / "parts")
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    assert lines(tmp_path / "parts" / "train") == lines(tmp_path / "whole" / "train")
    for path in (tmp_path / "whole").rglob("*.ogg"):
        other = tmp_path / "parts" / path.relative_to(tmp_path / "whole")
        np.testing.assert_array_equal(soundfile.read(path)[0], soundfile.read(other)[0])


def test_a_machine_that_fails_stops_the_run(told, tmp_path, monkeypatch):
    def fail(path):
        raise UnreadableError(f"{path} could not be read now.")

    monkeypatch.setattr(recorded_clips, "read_audio", fail)
    with pytest.raises(UnreadableError):
        made(found(told), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("shard.json"))


def test_recordings_may_be_added_and_must_stay(speakers, told, tmp_path, monkeypatch):
    monkeypatch.setattr(shards.Worker, "hibari", Teacher())
    out = tmp_path / "out"
    made(Recordings(), out, hours=0.002)
    record_file = out / "record.json"
    old = json.loads(record_file.read_text())
    for name in ("kokoro_tempos", "recordings_sha256", "recording_tempos"):
        del old["fixed"][name]  # as before there were any
    record_file.write_text(json.dumps(old))
    result = made(found(told), out, hours=0.002)
    assert result["kinds"]["hibari"]["clips"] and result["kinds"]["recordings"]["clips"] == 6
    assert len(lines(out / "train")) == result["clips"]["train"]
    for recordings in (Recordings(), found(speakers)):
        with pytest.raises(DataError, match="begun with recordings_sha256"):
            made(recordings, out, hours=0.002)
    with pytest.raises(DataError, match="begun with recording_tempos"):
        made(found(told), out, hours=0.002, recording_tempos=[])
    with pytest.raises(DataError, match="begun with kokoro_tempos"):
        made(found(told), out, hours=0.002, kokoro_tempos=[1.1])


def test_the_record_names_folders_and_the_unknown_licence(told, tmp_path):
    made(found(told), tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "record.json").read_text())
    assert {"recordings", "whisper"} <= kept["licences"].keys()
    assert kept["recordings"] == {
        "folders": [str(told)], "found": 4, "left_out": 0, "other_language": 1
    }  # fmt: skip
    assert kept["fixed"]["recording_tempos"] == [0.88, 1.13]
    speakers = json.loads((tmp_path / "out" / "speakers.json").read_text())
    assert speakers["dee"] == {
        "name": "dee",
        "part": "train",
        "recordings": 2,
        "kind": "recordings",
    }


def test_copies_of_kokoro_have_shorter_durations(tmp_path, monkeypatch):
    monkeypatch.setattr(shards.Worker, "kokoro", Teacher())
    config = VoiceCorpusConfig(
        hours=0, kokoro_hours=0.002, kokoro_tempos=[0.8], check_every=0, shard_clips=2,
        val_share=0.2,
    )  # fmt: skip
    voices = [KokoroSpeaker(f"k_{k}", ("af_a",)) for k in range(4)]
    result = corpus.make(Plan(config, TEXTS, {"kokoro": voices}), texts(), tmp_path, 1)
    rows = lines(tmp_path / "train")
    for own, copy in zip(rows[::2], rows[1::2], strict=True):
        assert copy["speaker"] == f"{own['speaker']}@0.8" and copy["text"] == own["text"]
        for name in ("durations", "word_durations", "silence"):
            np.testing.assert_allclose(copy[name], np.array(own[name]) / 0.8, atol=2e-4)
        seconds = soundfile.info(tmp_path / "train" / copy["file_name"]).duration
        assert sum(copy["durations"]) == pytest.approx(seconds, abs=5e-3)
    kinds = result["kinds"]["kokoro"]
    # The hours that are wanted are those that Kokoro speaks.
    assert kinds["hours"] - kinds["copied_hours"] >= 0.002
    assert find_utterances(tmp_path / "train")[1].timed_phonemes


@pytest.mark.parametrize("tempos", [[1.0], [0.9, 0.9], [3.0], [0.1]])
def test_tempos_that_are_none_are_refused(tempos):
    with pytest.raises(ConfigError, match="kokoro_tempos must be"):
        VoiceCorpusConfig(kokoro_tempos=tempos)


def command(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["make_voice_corpus.py", *map(str, words)])
    return tool.run(tool.main, tool.parser())


SMALL = ("--no-austen", "--grammar-sentences", "200", "--hours", "0")


def test_the_command_takes_recordings(speakers, told, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "HibariSpeech", lambda: None)
    monkeypatch.setattr(tool.checks, "require", lambda *_: None)
    flags = ("--recordings", speakers, "--recordings", told, "--leave-out", "ann", "cid")
    flags += ("--recording-tempos", "", "--output", tmp_path / "out", *SMALL)
    assert command(monkeypatch, *flags, "--dry-run", "--json") == 0
    outline = json.loads(capsys.readouterr().out)
    assert outline["recordings"] == {"found": 9, "left_out": 4, "other_language": 0}
    assert outline["settings"]["recording_tempos"] == []
    assert command(monkeypatch, *flags, "--check-every", "0") == 0
    assert "2 recordings could not be read" in capsys.readouterr().out
    assert {row["speaker"] for row in lines(tmp_path / "out" / "train")} == {"bob", "dee"}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--recordings", "no/such/folder"), "no/such/folder does not exist"),
        (("--hours", "1", "--leave-out", "ann"), "--leave-out is for --recordings"),
        ((), "no --recordings there is nothing to make"),
    ],
)
def test_mistakes_are_one_sentence(flags, sentence, tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "--output", tmp_path, *SMALL, *flags) != 0
    told = capsys.readouterr().err
    assert sentence in told and len(told.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_hearing_is_asked_for_before_the_first_clip(speakers, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "HibariSpeech", lambda: None)
    monkeypatch.setattr(tool.checks, "_PACKAGES", ("package_that_is_not_there",))
    flags = ("--recordings", speakers, "--check-every", "0", "--output", tmp_path / "out")
    assert command(monkeypatch, *SMALL, *flags) != 0
    assert "recordings need package_that_is_not_there; run: pip" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
