"""One damaged array of SV2TTS's folders is left out and told; the corpus goes on without it."""

import errno
import logging

import numpy as np
import pytest

from myxtts.data import rtvc_folders
from myxtts.data.rtvc_mels import mel_batches, open_mels
from myxtts.data.substitutes import Substitutes
from myxtts.data.synthesizer import batches, open_synthesizer_data
from myxtts.data.vocoder import crops, open_vocoder_data
from myxtts.errors import DataError
from myxtts.synthesizer_config import SynthesizerConfig
from myxtts.text.symbols import SymbolTokenizer
from tests.vocoder_data import make_vocoder_data, small_config

DIMS = 256
CONFIG = SynthesizerConfig()
BAD = {
    "NaN": lambda shape: np.full(shape, np.nan, "float32"),
    "infinity": lambda shape: np.full(shape, -np.inf, "float32"),
    "1e30": lambda shape: np.full(shape, 1e30, "float32"),
}


def draw(*shape):
    return np.random.default_rng(shape[0]).random(shape).astype("float32")


@pytest.fixture
def folder(tmp_path):
    """Utterances ``a`` to ``d`` of 20 to 23 frames in a synthesizer's folder."""
    lines = []
    for name in ("mels", "embeds"):
        (tmp_path / name).mkdir()
    for number, item in enumerate("abcd"):
        np.save(tmp_path / "mels" / f"{item}.npy", draw(20 + number, 80))
        np.save(tmp_path / "embeds" / f"{item}.npy", draw(DIMS))
        lines.append(f"{item}.npy|{item}.npy|{item}.npy|4000|{20 + number}|hello {item}\n")
    (tmp_path / "train.txt").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def opened(folder):
    return open_synthesizer_data(folder, CONFIG.data, SymbolTokenizer(), CONFIG.model)


@pytest.mark.parametrize(
    ("path", "shape"), [("mels/b.npy", (21, 7)), ("embeds/b.npy", (5,)), ("embeds/b.npy", (0,))]
)
def test_another_width_is_seen_in_the_header_before_training(folder, path, shape):
    np.save(folder / path, np.ones(shape, "float32"))
    corpus, report = opened(folder)
    assert [line.mel for line, _ in corpus.lines] == ["a.npy", "c.npy", "d.npy"]
    ((name, reason),) = report.skipped
    assert name == "b.npy" and reason.startswith("of another width: ")
    assert str(folder / path) in reason and str(shape) in reason
    assert report.reasons() == "1 of another width"


def test_a_whole_corpus_of_another_width_ends_in_a_sentence_that_names_a_file(folder):
    for item in "abcd":
        np.save(folder / "mels" / f"{item}.npy", draw(30, 40))
    with pytest.raises(DataError, match=r"4 of another width; first .*a\.npy is of \(30, 40\)"):
        opened(folder)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("path", ["mels/b.npy", "embeds/b.npy"])
def test_another_utterance_stands_in_for_damaged_values(folder, name, path, caplog):
    caplog.set_level(logging.WARNING)
    place = folder / path
    np.save(place, BAD[name](np.load(place).shape))
    corpus, _ = opened(folder)
    build = batches(corpus, CONFIG)
    made, again = (build(np.array([1, 3]), 2) for _ in range(2))
    # The nearest in length, the first of two; the batch keeps its size.
    assert made["lengths"].tolist() == [20, 23]
    np.testing.assert_array_equal(made["mels"][0, :20], np.load(folder / "mels" / "a.npy"))
    np.testing.assert_array_equal(made["embedding"][0], np.load(folder / "embeds" / "a.npy"))
    np.testing.assert_array_equal(made["ids"][0][: made["characters"][0]], corpus.ids(0))
    for key in made:
        np.testing.assert_array_equal(made[key], again[key])
    told = [record for record in caplog.records if str(place) in record.getMessage()]
    assert len(told) == 1 and list(corpus.substitutes.refused) == [1]


def test_a_share_of_a_batch_takes_what_the_whole_takes(folder):
    np.save(folder / "mels" / "c.npy", BAD["NaN"]((22, 80)))
    whole = batches(opened(folder)[0], CONFIG)(np.arange(4), 2)
    part = batches(opened(folder)[0], CONFIG)(np.array([2, 3]), 2)
    np.testing.assert_array_equal(whole["mels"][2:, :22], part["mels"][:, :22])


def test_nothing_but_damaged_values_ends_in_a_sentence(folder):
    for item in "abcd":
        np.save(folder / "embeds" / f"{item}.npy", BAD["NaN"](DIMS))
    build = batches(opened(folder)[0], CONFIG)
    with pytest.raises(DataError, match=r"no utterance can be read; the first: .*b\.npy holds NaN"):
        build(np.array([1]), 2)


@pytest.mark.parametrize("name", BAD)
def test_a_vocoders_corpus_goes_on_without_a_damaged_utterance(tmp_path, name):
    folder = make_vocoder_data(tmp_path)
    config = small_config(folder, tmp_path / "run")
    corpus, _ = open_vocoder_data(folder, config.data, config.model)
    path = corpus.rows[1].audio
    np.save(path, BAD[name](np.load(path).shape))
    build = crops(corpus, config)
    made, again = (build(np.array([1, 3]), 2) for _ in range(2))
    assert np.isfinite(made["samples"]).all() and made["samples"].shape == (2, 50)
    np.testing.assert_array_equal(made["samples"], again["samples"])
    assert str(path) in corpus.substitutes.refused[1]
    own = corpus.rows[0].mel
    np.save(own, np.ones((30, 9), "float32"))
    _, report = open_vocoder_data(folder, config.data, config.model)
    ((_, reason),) = report.skipped
    assert reason.startswith("of another width: ") and str(own) in reason


@pytest.fixture
def speakers(tmp_path):
    """Two speakers with two utterances each, as encoder_preprocess.py leaves them."""
    for speaker in "ab":
        (tmp_path / speaker).mkdir()
        lines = ""
        for item in "uv":
            np.save(tmp_path / speaker / f"{item}.npy", draw(170, 40))
            lines += f"{item}.npy,/x/{item}.wav\n"
        (tmp_path / speaker / "_sources.txt").write_text(lines)
    return tmp_path


@pytest.mark.parametrize("shape", [(170, 40), (170, 7), (3, 40)])
def test_a_speakers_other_utterance_stands_in(speakers, shape):
    np.save(speakers / "a" / "u.npy", BAD["NaN"](shape))
    corpus = open_mels(speakers)
    made = mel_batches(corpus, None)(np.array([0, 2]), 0)
    assert np.isfinite(made["mels"]).all() and made["speakers"].tolist() == [0, 1]
    assert list(corpus.substitutes.refused) == [0]
    np.save(speakers / "a" / "v.npy", BAD["NaN"](shape))
    with pytest.raises(DataError, match=r"no utterance can be read; the first: .*a/u\.npy"):
        mel_batches(open_mels(speakers), None)(np.array([0, 2]), 0)


def test_an_error_of_the_machine_is_tried_again_and_never_the_files(folder, monkeypatch):
    monkeypatch.setattr(rtvc_folders, "PAUSES_S", (0.0, 0.0))
    corpus, left, load = opened(folder)[0], [1], np.load

    def failing(path, **options):
        if left and str(path).endswith("b.npy"):
            left.pop()
            raise OSError(errno.EIO, "Input/output error")
        return load(path, **options)

    monkeypatch.setattr(np, "load", failing)
    assert batches(corpus, CONFIG)(np.array([1]), 2)["lengths"].tolist() == [21]
    left.extend(range(9))
    with pytest.raises(DataError, match=r"b\.npy cannot be read: .*Input/output error"):
        batches(corpus, CONFIG)(np.array([1]), 2)
    assert len(left) == 6 and not corpus.substitutes.refused


def test_places_that_stand_in_are_those_that_are_asked_for():
    substitutes = Substitutes(lambda place: [4, 3, 2])

    def read(place):
        if place > 2:
            raise DataError(f"{place} is damaged.")
        return place * 10

    assert substitutes.read(4, read) == 20
    assert substitutes.read(2, read) == 20
    assert list(substitutes.refused) == [4, 3]
