"""Durations of words or phonemes find the text id that is spoken during each audio code."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from myxtts.config import DataConfig, XTTSConfig
from myxtts.data.alignment import (
    check_durations,
    code_tokens,
    letter_ends,
    token_ends,
    word_seconds,
)
from myxtts.data.batches import make_dataset, make_validation
from myxtts.data.formats import Utterance, find_utterances
from myxtts.data.plan import BatchPlan
from myxtts.data.xtts import BatchOptions, dvae_batch, gpt_batch, open_corpus, open_store
from myxtts.errors import AudioError, DataError
from myxtts.text.cleaners import clean_text
from myxtts.text.tokenizer import train_tokenizer
from myxtts.timing import SECONDS_PER_CODE
from myxtts.training.stages.dvae import require_durations
from tests.conftest import hum
from tests.data.test_formats import write_jsonl

RATE = 22_050


def spoken(text, durations=(), phonemes=()):
    return Utterance(Path("a.wav"), text, "ann", "en", tuple(durations), tuple(phonemes))


def english(words):
    return clean_text(" ".join(words), "en")


def learned(*texts):
    return train_tokenizer([(text, "en") for text in texts], 300)


def test_the_letters_of_a_word_share_its_time_and_spaces_have_none():
    ends = letter_ends(["So", "it", "is."], [0.4, 0.2, 0.9], english)
    np.testing.assert_allclose(ends, [0.2, 0.4, 0.4, 0.5, 0.6, 0.6, 0.9, 1.2, 1.5])


def test_a_word_that_is_read_as_several_keeps_its_time():
    ends = letter_ends(["Say", "25", "now"], [0.3, 1.0, 0.6], english)
    text = english(["Say", "25", "now"])
    assert text == "say twenty-five now"
    assert ends[text.index(" t")] == pytest.approx(0.3)
    assert ends[text.index(" n")] == pytest.approx(1.3)
    assert ends[-1] == pytest.approx(1.9)
    steps = np.diff(ends)[3 : text.index(" n") - 1]
    np.testing.assert_allclose(steps[1:], 1.0 / len("twenty-five"), atol=1e-9)


def test_words_that_change_together_are_one_with_their_neighbours():
    """``a b`` is read as one word, and the dash has no letter."""

    def clean(words):
        text = " ".join(words).lower().replace("a b", "c").replace("-", "")
        return " ".join(text.split())

    ends = letter_ends(["x", "a", "b", "-", "y"], [1.0, 2.0, 3.0, 4.0, 5.0], clean)
    assert clean(["x", "a", "b", "-", "y"]) == "x c y"
    np.testing.assert_allclose(ends, [1.0, 1.0, 6.0, 6.0, 15.0])
    ends = letter_ends(["x", "y", "-"], [1.0, 2.0, 4.0], clean)
    np.testing.assert_allclose(ends, [1.0, 1.0, 7.0])


def test_phonemes_are_added_up_word_by_word():
    item = spoken("hi you", [0.1, 0.2, 0.05, 0.3, 0.4, 0.1], "ha ju.")
    assert word_seconds(item) == pytest.approx([0.35, 0.8])
    assert word_seconds(spoken("one two", [1.0, 2.0])) == [1.0, 2.0]
    assert word_seconds(spoken("one two", [1.0, 2.0], "wan tu")) == [1.0, 2.0]
    assert word_seconds(spoken("2 5", [0.1] * 12, "tu ænd faiv.")) is None
    assert word_seconds(spoken("one two")) is None


def test_ids_end_with_their_last_letter():
    tokenizer = learned("abab cd", "abab")
    item = spoken("Abab cd", [0.4, 0.6])
    ids = tokenizer.encode("Abab cd", "en")
    spans = tokenizer.spans("Abab cd", "en")
    cleaned = tokenizer.clean("Abab cd", "en")
    assert len(spans) == len(ids)
    assert spans[0] == (0, 0)
    assert "".join(cleaned[first:end] for first, end in spans) == cleaned
    names = {number: token for token, number in tokenizer.vocabulary.items()}
    for number, (first, end) in list(zip(ids, spans, strict=True))[1:]:
        assert names[number].replace("[SPACE]", " ") == cleaned[first:end]
    ends = token_ends(item, tokenizer)
    behind = dict(zip([end for _, end in spans], ends, strict=True))
    assert behind[0] == 0
    assert behind[4] == behind[5] == pytest.approx(0.4)
    assert behind[7] == pytest.approx(1.0)


def test_a_code_belongs_to_what_is_spoken_in_its_middle():
    # Middles of the first codes: 0.017, 0.064, 0.110, 0.157, 0.203 s.
    ends = np.array([0.0, 0.05, 0.05, 0.12, 0.16])
    assert code_tokens(ends, 5, 0.0).tolist() == [1, 3, 3, 4, 4]
    assert code_tokens(ends, 3, 0.04).tolist() == [3, 3, 4]
    # What lies behind the last word is the last id that has a time.
    assert code_tokens(np.array([0.0, 0.05, 0.05]), 3, 0.0).tolist() == [1, 1, 1]
    assert code_tokens(None, 2, 0.0).tolist() == [-1, -1]


def test_durations_must_add_up_to_the_clip():
    check_durations(spoken("one two", [0.5, 0.6]), 1.0)
    check_durations(spoken("one two"), 1.0)
    with pytest.raises(AudioError, match=r"durations off: they add up to 0.50 s.* has 1.00 s"):
        check_durations(spoken("one two", [0.2, 0.3]), 1.0)


def timed_corpus(folder, silence: float = 0.5, factor: float = 1.0):
    """One second of humming behind silence, in four words, and a clip that is not timed."""
    folder.mkdir()
    tone = hum(1.0, 120, np.random.default_rng(0))
    audio = np.concatenate([np.zeros(int(silence * RATE), "float32"), tone])
    for name in ("a", "b"):
        soundfile.write(folder / f"{name}.wav", audio, RATE)
    durations = [silence + 0.25, 0.25, 0.25, 0.25]
    timed = {"file_name": "a.wav", "text": "Go to the sea"}
    return write_jsonl(
        folder,
        timed | {"durations": [factor * value for value in durations]},
        {"file_name": "b.wav", "text": "Go to the sea"},
    )


def opened(folder, cache, config=None):
    config = config or XTTSConfig()
    found = open_store(config.data, cache)

    def make(items):
        return learned(*(item.text for item in items))

    return open_corpus(folder, config, found, make)


@pytest.mark.parametrize("trim", [True, False])
def test_what_is_trimmed_at_the_start_shifts_the_words(tmp_path, trim):
    config = XTTSConfig().merged({"data": {"trim_silence": trim}})
    corpus, _ = opened(timed_corpus(tmp_path / "corpus"), tmp_path / "cache", config)
    trimmed, whole = corpus.feature(0, "trim")
    assert whole == pytest.approx(1.5, abs=0.01)
    assert trimmed == (pytest.approx(0.5, abs=0.05) if trim else 0.0)
    batch = gpt_batch(corpus, np.arange(2), 0, BatchOptions(seed=0))
    codes = -(-batch["mel_lengths"][0] // 4)
    assert batch["code_tokens"].shape == (2, batch["mel"].shape[1] // 4)
    assert (batch["code_tokens"][1] == -1).all()
    assert (batch["code_tokens"][0, codes:] == -1).all()
    row = batch["code_tokens"][0, :codes]
    assert (np.diff(row) >= 0).all()
    spans = corpus.tokenizer.spans("Go to the sea", "en")
    middles = trimmed + (np.arange(codes) + 0.375) * SECONDS_PER_CODE
    expected = np.clip(((middles - 0.5) / 0.25).astype(int), 0, 3)
    starts = np.array([0, 3, 6, 10])
    found = [int(np.searchsorted(starts, spans[token][0], side="right")) - 1 for token in row]
    assert found == expected.tolist()


def test_durations_that_lag_are_looked_up_later(tmp_path):
    """Half a second of silence, then four words of 0.25 s: a lag of one makes each the next."""
    corpus, _ = opened(timed_corpus(tmp_path / "corpus"), tmp_path / "cache")
    late = DataConfig(duration_lag=0.25)
    batch = gpt_batch(corpus, np.arange(1), 0, BatchOptions(0, late))
    plain = gpt_batch(corpus, np.arange(1), 0, BatchOptions(0))
    codes = -(-plain["mel_lengths"][0] // 4)
    trimmed = float(corpus.feature(0, "trim")[0])
    expected = code_tokens(corpus.readings[0].ends, codes, trimmed + 0.25)
    assert batch["code_tokens"][0, :codes].tolist() == expected.tolist()
    assert (batch["code_tokens"] != plain["code_tokens"]).any()


def test_a_corpus_without_phonemes_by_word_is_refused(tmp_path):
    config = XTTSConfig().merged({"data": {"phoneme_share": 0.5}})
    with pytest.raises(DataError, match="needs 'word_phonemes' in metadata.jsonl, and no line"):
        opened(timed_corpus(tmp_path / "corpus"), tmp_path / "cache", config)


def test_durations_of_another_length_are_left_out_and_counted(tmp_path):
    corpus, report = opened(timed_corpus(tmp_path / "corpus", factor=2.0), tmp_path / "cache")
    assert report.counts() == {"durations off": 1}
    assert len(corpus) == 1


def test_batches_hold_the_tokens_whether_or_not_a_corpus_is_timed(tmp_path):
    """The two corpora of a run share one graph."""
    corpus, _ = opened(timed_corpus(tmp_path / "corpus"), tmp_path / "cache")
    train, held = corpus.split(2)
    assert [item.ends for item in held.readings] == [None]
    plan = BatchPlan(train.lengths, train.speakers, 2, 0)
    options = BatchOptions(seed=0)
    one = make_dataset(plan, lambda rows, epoch: gpt_batch(train, rows, epoch, options))
    other = make_validation(
        held.lengths, 2, lambda rows, epoch: gpt_batch(held, rows, epoch, options)
    )
    assert one.element_spec == other.element_spec


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"durations": [1.0]}, "line 1: 1 'durations' for 2 words of 'text' and 0 'phonemes'"),
        ({"durations": [1.0] * 3, "phonemes": "wan tu"}, "3 'durations' for 2 words .* 6"),
        ({"durations": [1.0, -0.1]}, "line 1: 'durations' is no list of seconds"),
        ({"durations": [1.0, float("nan")]}, "'durations' is no list of seconds"),
        ({"durations": [1.0, "2"]}, "'durations' is no list of seconds"),
        ({"durations": [1.0, True]}, "'durations' is no list of seconds"),
        ({"durations": "12"}, "'durations' is no list of seconds"),
        ({"phonemes": 3}, "'phonemes' is neither"),
        ({"phonemes": ["a", 1]}, "'phonemes' is neither"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, keys, message):
    write_jsonl(tmp_path, {"file_name": "1.wav", "text": "one two"} | keys)
    with pytest.raises(DataError, match=message):
        find_utterances(tmp_path)


def test_lines_may_leave_out_either(tmp_path):
    line = {"file_name": "1.wav", "text": " one two "}
    write_jsonl(
        tmp_path,
        line | {"durations": [1, 0.5], "phonemes": "wan tu"},
        line | {"durations": [0.1] * 3, "phonemes": ["a", " ", "b"]},
        line | {"durations": None, "phonemes": None},
        line | {"durations": []},
    )
    words, phonemes, none, empty = find_utterances(tmp_path)
    assert (words.durations, words.phonemes, words.timed_phonemes) == (
        (1.0, 0.5),
        tuple("wan tu"),
        False,
    )
    assert phonemes.timed_phonemes
    assert none.durations == none.phonemes == empty.durations == ()


def test_each_half_of_a_code_of_a_crop_has_the_id_it_speaks(tmp_path):
    """Half a second of silence, then four words of 0.25 s; of the other clip nothing is known."""
    corpus, _ = opened(timed_corpus(tmp_path / "corpus"), tmp_path / "cache")
    plain = dvae_batch(corpus, np.arange(2), 0, BatchOptions(0))
    batch = dvae_batch(corpus, np.arange(2), 0, BatchOptions(0, tokens=True))
    assert "tokens" not in plain
    assert batch["tokens"].shape == (2, batch["mel"].shape[1] // 2)
    assert (batch["tokens"][1] == -1).all()
    whole, mel = corpus.feature(0, "dvae_mel"), batch["mel"][0][batch["mel_mask"][0]]
    frames = len(mel)
    starts = [s for s in range(len(whole) - frames + 1) if np.allclose(whole[s : s + frames], mel)]
    ids, ends = corpus.readings[0].spoken()
    trimmed = float(corpus.feature(0, "trim")[0])
    times = trimmed + (starts[0] + 2 * np.arange(frames // 2) + 0.5) * SECONDS_PER_CODE / 4
    places = np.minimum(np.searchsorted(ends, times, side="right"), len(ids) - 1)
    assert batch["tokens"][0, : frames // 2].tolist() == ids[places].tolist()
    assert (batch["tokens"][0, frames // 2 :] == -1).all()


def test_codes_cannot_learn_phonemes_of_a_corpus_without_times(tmp_path):
    folder = tmp_path / "corpus"
    timed_corpus(folder)
    write_jsonl(folder, {"file_name": "a.wav", "text": "Go to the sea"})
    corpus, _ = opened(folder, tmp_path / "cache")
    config = XTTSConfig().merged({"training": {"code_token_loss_weight": 0.1}})
    with pytest.raises(DataError, match="code_token_loss_weight needs 'durations'"):
        require_durations(corpus, config)
    assert require_durations(corpus, XTTSConfig()) == 0
