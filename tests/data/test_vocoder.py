"""A vocoder's data, beside RTVC's."""

import numpy as np
import pytest

from myxtts.data.vocoder import (
    VocoderCorpus,
    batch,
    crops,
    least_frames,
    open_vocoder_data,
    read_rows,
)
from myxtts.errors import DataError
from myxtts.vocoder_config import VocoderConfig, WaveRNNConfig
from tests.sv2tts_fixtures import fixture
from tests.vocoder_data import make_vocoder_data, small_config


@pytest.fixture
def corpus(tmp_path):
    """RTVC's three utterances on disk."""
    arrays = fixture("vocoder_audio")
    lines = []
    for place in range(3):
        audio, mel = arrays[f"in/{place}/audio"], arrays[f"in/{place}/mel_saved"]
        np.save(tmp_path / f"audio-{place}.npy", audio)
        np.save(tmp_path / f"mel-{place}.npy", mel)
        lines.append(f"audio-{place}.npy|mel-{place}.npy|e|{len(audio)}|{len(mel)}|Text.")
    (tmp_path / "train.txt").write_text("\n".join(lines))
    rows = read_rows(tmp_path / "train.txt", tmp_path, tmp_path)
    return VocoderCorpus(rows, WaveRNNConfig(), 5), arrays


def test_utterances_equal_rtvcs(corpus):
    corpus, arrays = corpus
    for place in range(3):
        np.testing.assert_array_equal(corpus.mel(place).T, arrays[f"out/{place}/mel"])
        np.testing.assert_array_equal(corpus.labels(place), arrays[f"out/{place}/labels"])
        assert corpus.offsets(place) == arrays["out/offset_upper_bounds_exclusive"][place]


def test_crops_equal_rtvcs(corpus):
    corpus, arrays = corpus
    parts = [corpus.crop(place, offset) for place, offset in enumerate(arrays["in/offsets"])]
    made = batch(parts, corpus.sizes)
    np.testing.assert_allclose(made["samples"], arrays["out/batch_x"], atol=1e-6)
    np.testing.assert_array_equal(made["targets"], arrays["out/batch_y"])
    np.testing.assert_array_equal(np.swapaxes(made["mels"], 1, 2), arrays["out/batch_mels"])
    shifted = batch([corpus.crop(0, arrays["in/offsets"][0] + 1)], corpus.sizes)
    assert (shifted["targets"][0] != arrays["out/batch_y"][0]).any()


def test_rows_without_frames_shift_nothing(tmp_path):
    folder = make_vocoder_data(tmp_path)
    config = small_config(folder, tmp_path / "run")
    corpus, report = open_vocoder_data(folder, config.data, config.model)
    assert (len(corpus), report.kept) == (6, 6)
    for place, row in enumerate(corpus.rows):
        assert (row.mel.name, row.audio.name) == (f"mel-{place}.npy", f"audio-{place}.npy")
        assert len(corpus.mel(place)) == row.frames == 30 + place
        assert row.mel.parent.name == "mels_gta"


def test_own_mels_of_the_recordings(tmp_path):
    folder = make_vocoder_data(tmp_path)
    config = small_config(folder, tmp_path / "run").merged({"data": {"ground_truth": True}})
    corpus, _ = open_vocoder_data(folder, config.data, config.model)
    np.testing.assert_array_equal(corpus.mel(0), np.load(folder / "mels" / "mel-0.npy") / 4)


@pytest.mark.parametrize("mode", ["RAW", "MOL"])
def test_batches_are_a_function_of_seed_and_epoch(tmp_path, mode):
    folder = make_vocoder_data(tmp_path)
    config = small_config(folder, tmp_path / "run").merged({"model": {"mode": mode}})
    corpus, _ = open_vocoder_data(folder, config.data, config.model)
    build, indices = crops(corpus, config), np.array([3, 1])
    first, again, other = build(indices, 2), build(indices, 2), build(indices, 3)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert (first["samples"] != other["samples"]).any()
    assert first["mels"].shape == (2, 7, 5)
    assert first["samples"].shape == first["targets"].shape == (2, 50)
    assert first["targets"].dtype == ("int32" if mode == "RAW" else "float32")


def test_short_utterances_are_left_out_and_told(tmp_path):
    folder, sizes = make_vocoder_data(tmp_path), VocoderConfig().merged({}).data
    table = tmp_path / "vocoder" / "synthesized.txt"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace("|30|", "|11|")
    table.write_text("\n".join(lines))
    config = small_config(folder, tmp_path / "run")
    corpus, report = open_vocoder_data(folder, config.data, config.model)
    assert len(corpus) == 5
    assert report.reasons() == "1 too short"
    table.write_text(lines[1])
    with pytest.raises(DataError, match="12 mel frames are the least .1 too short"):
        open_vocoder_data(folder, config.data, config.model)
    assert least_frames(WaveRNNConfig(), sizes) == 16


@pytest.mark.parametrize("line", ["nothing", "a|b|c|d|e|f"])
def test_tables_that_are_none_are_refused(tmp_path, line):
    (tmp_path / "train.txt").write_text(line)
    with pytest.raises(DataError, match="line 1: audio file"):
        read_rows(tmp_path / "train.txt", tmp_path, tmp_path)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"train\.txt"):
        read_rows(tmp_path / "train.txt", tmp_path, tmp_path)


def test_mels_of_a_longer_hop_are_refused(tmp_path):
    folder = make_vocoder_data(tmp_path)
    config = small_config(folder, tmp_path / "run").merged({"model": {"upsample_factors": [2, 4]}})
    with pytest.raises(DataError, match=r"train\.txt.* 10 samples a mel frame, .* makes 8; "):
        open_vocoder_data(folder, config.data.__class__(ground_truth=True), config.model)
    with pytest.raises(DataError, match="names no utterance that a vocoder can learn from"):
        longer = config.merged({"model": {"upsample_factors": [2, 6]}})
        open_vocoder_data(folder, longer.data, longer.model)
