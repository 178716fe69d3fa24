"""Corpora with phonemes and durations in the layout of RTVC's synthesizer."""

import json

import numpy as np
import pytest

from myxtts.audio.io import hum, write_audio
from myxtts.data.formats import find_utterances
from myxtts.data.rtvc_corpus import Selection, choose, preprocess_corpus
from myxtts.data.synthesizer import open_synthesizer_data, read_table
from myxtts.errors import DataError
from myxtts.synthesizer_config import SynthesizerDataConfig
from myxtts.text.symbols import PHONEME_SYMBOLS, SymbolTokenizer

DURATIONS = [0.3, 0.1, 0.2, 0.2, 0.1, 0.3]


def write(folder, seconds=(1.2, 1.2, 3.0)):
    rows = []
    for number, length in enumerate(seconds):
        write_audio(folder / "a" / f"{number}.wav", hum(length, 120.0, 24_000), 24_000)
        row = {"file_name": f"a/{number}.wav", "text": "Ha hm.", "speaker": "s"}
        row |= {"phonemes": "hˈɑ m.", "word_phonemes": ["hˈɑ", "m."]}
        row["durations"] = [part * length / 1.2 for part in DURATIONS]
        rows.append(row)
    rows[1] = {key: rows[1][key] for key in ("file_name", "text", "speaker")}
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return folder


def test_phonemes_are_the_text_and_durations_the_path(tmp_path):
    corpus, out = write(tmp_path / "corpus"), tmp_path / "syn"
    assert preprocess_corpus(corpus, out, Selection(longest=2.0), processes=1) == 2
    first, second = read_table(out / "train.txt")
    assert (first.text, second.text) == ("[hˈɑ] [m].", "Ha hm.")
    assert not (out / "durations" / second.duration).exists()
    (out / "embeds").mkdir()
    for line in (first, second):
        np.save(out / "embeds" / line.embed, np.ones(4, "float32"))
    tokenizer = SymbolTokenizer(PHONEME_SYMBOLS)
    made, _ = open_synthesizer_data(out, SynthesizerDataConfig(), tokenizer)
    path = made.path(0, 4) * len(made.ids(0))
    # Of 1.2 s, the first sound takes 0.3: 24 frames, 6 steps.
    assert path[:6].tolist() == [0] * 6 and path[6] == 1 and np.all(np.diff(path) >= 0)
    assert path[-2] == 5 and np.all(made.path(1, 4) == -1)
    # What is there stays; the rest comes beside it.
    before = (out / "mels" / first.mel).stat().st_mtime_ns
    assert preprocess_corpus(corpus, out, processes=1) == 3
    assert (out / "mels" / first.mel).stat().st_mtime_ns == before


def test_letters_where_they_are_asked_for(tmp_path):
    out = tmp_path / "syn"
    preprocess_corpus(write(tmp_path / "corpus"), out, Selection(letters=True), processes=1)
    lines = read_table(out / "train.txt")
    assert {line.text for line in lines} == {"Ha hm."}
    # The durations are of the phonemes, which are no ids here.
    assert not list((out / "durations").iterdir())


def test_a_draw_and_what_is_too_short(tmp_path):
    corpus = write(tmp_path / "corpus")
    every = find_utterances(corpus)
    assert len(choose(every, Selection(most=2))) == 2
    with pytest.raises(DataError, match="gave no utterance"):
        preprocess_corpus(corpus, tmp_path / "syn", Selection(5.0, 6.0), processes=1)


def test_corpora_with_files_of_one_name_stay_apart(tmp_path):
    first, second = write(tmp_path / "one", (1.2, 1.25)), write(tmp_path / "two", (1.3, 1.4))
    out = tmp_path / "syn"
    for corpus, count in ((first, 2), (second, 4), (first, 4), (second, 4)):
        assert preprocess_corpus(corpus, out, processes=1) == count
    lengths = {line.audio: line.samples for line in read_table(out / "train.txt")}
    assert set(lengths) == {f"audio-a_{name}.npy" for name in ("0", "1", "0-2", "1-2")}
    # Those without durations were trimmed.
    assert (lengths["audio-a_0.npy"], lengths["audio-a_0-2.npy"]) == (19_200, 20_800)
    for name, samples in lengths.items():
        assert len(np.load(out / "audio" / name)) == samples
