"""Mels of a synthesizer that is told the recordings' own."""

import numpy as np
import pytest

from myxtts.data.vocoder import open_vocoder_data
from myxtts.errors import ConfigError, DataError
from myxtts.inference import teacher_forced
from myxtts.inference.teacher_forced import synthesize_mels
from myxtts.models.tacotron import Masks, Tacotron
from myxtts.synthesizer_config import TacotronConfig
from tests.vocoder_data import make_vocoder_data, small_config
from tools.sv2tts.vocoder_preprocess import main, parser

SIZES = TacotronConfig(
    embed_dims=6,
    encoder_dims=4,
    decoder_dims=4,
    n_mels=5,
    postnet_dims=4,
    encoder_kernels=2,
    lstm_dims=6,
    postnet_kernels=2,
    num_highways=1,
    prenet_dims=4,
    speaker_dims=3,
)


@pytest.fixture(scope="module")
def model():
    made = Tacotron(SIZES, r=2)
    made.build()
    return made


@pytest.fixture
def folder(tmp_path):
    folder = make_vocoder_data(tmp_path / "SV2TTS", utterances=3)
    (folder / "embeds").mkdir()
    for place in range(3):
        np.save(folder / "embeds" / f"embed-{place}.npy", np.full(3, place, "float32"))
    return folder


def test_mels_are_teacher_forced_cut_and_not_shifted(model, folder, tmp_path):
    out = tmp_path / "vocoder"
    assert synthesize_mels(model, folder, out, batch_size=2) == 3
    table = (folder / "train.txt").read_text().splitlines()
    assert (out / "synthesized.txt").read_text().splitlines() == table[1:]
    for place in range(3):
        mel = np.load(out / "mels_gta" / f"mel-{place}.npy")
        assert (mel.shape, mel.dtype) == ((30 + place, 5), np.float32)
    # The last batch has one row, whose mel is padded by one frame and to a multiple of r.
    own = np.load(folder / "mels" / "mel-2.npy")
    padded = np.pad(own, [(0, 2), (0, 0)], constant_values=-4)[None]
    ids = [teacher_forced.SymbolTokenizer(SIZES.symbols).encode("Hello, you.")]
    wanted = model(np.array(ids), np.full((1, 3), 2.0, "float32"), padded, masks=Masks()).linear
    np.testing.assert_allclose(mel, wanted[0, :32], atol=1e-5)


def test_a_killed_run_is_gone_on_with(model, folder, tmp_path, monkeypatch):
    synthesize_mels(model, folder, tmp_path / "whole", batch_size=1)
    out, own = tmp_path / "broken", np.save
    saved = []

    def dying(file, array):
        saved.append(file)
        if len(saved) == 2:
            raise KeyboardInterrupt
        own(file, array)

    monkeypatch.setattr(teacher_forced.np, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        synthesize_mels(model, folder, out, batch_size=1)
    assert not (out / "synthesized.txt").exists()
    (out / "mels_gta" / ".7903-758bea4d.npy").write_bytes(b"half")
    assert synthesize_mels(model, folder, out, batch_size=1) == 3
    assert len(saved) == 4
    for path in (tmp_path / "whole").rglob("*.*"):
        other = out / path.relative_to(tmp_path / "whole")
        assert other.read_bytes() == path.read_bytes()


def test_the_program_makes_what_a_vocoder_learns_from(model, folder, tmp_path, capsys):
    model.save_to_preset(tmp_path / "preset")
    own = [str(tmp_path), "-s", str(tmp_path / "preset"), "--cpu"]
    main(parser().parse_args([*own, "--hparams", "synthesis_batch_size=2"]))
    assert "3 utterances" in capsys.readouterr().out
    config = small_config(folder, tmp_path / "run")
    corpus, _ = open_vocoder_data(folder, config.data, config.model)
    assert len(corpus) == 3
    with pytest.raises(ConfigError, match="tts_embed_dims is 512, the synthesizer's is 6"):
        main(parser().parse_args([*own, "--hparams", "tts_embed_dims=512"]))


def test_an_empty_table_is_refused(model, tmp_path):
    (tmp_path / "train.txt").write_text("a|b|c|0|0|Mm.\n")
    with pytest.raises(DataError, match="names no utterance"):
        synthesize_mels(model, tmp_path, tmp_path / "out")


def test_a_damaged_utterance_is_left_out_and_told(model, folder, tmp_path, caplog):
    lines = [line.split("|") for line in (folder / "train.txt").read_text().splitlines()]
    kept = [line for line in lines if int(line[4])]
    bad = folder / "mels" / kept[1][1]
    np.save(bad, np.full(np.load(bad).shape, np.nan, "float32"))
    out = tmp_path / "out"
    assert synthesize_mels(model, folder, out, batch_size=2) == 2
    told = [line.split("|")[1] for line in (out / "synthesized.txt").read_text().splitlines()]
    assert told == [kept[0][1], kept[2][1]]
    assert not (out / "mels_gta" / bad.name).exists()
    assert f"left out: {bad} holds NaN" in caplog.text
    for line in kept:
        np.save(folder / "mels" / line[1], np.ones((60, 3), "float32"))
    before = contents(out)
    # A finished folder stays as it is when nothing can take its place.
    for place in (out, tmp_path / "none"):
        with pytest.raises(DataError, match="no utterance can be read"):
            synthesize_mels(model, folder, place, batch_size=2)
    assert contents(out) == before


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_text_that_cannot_be_spoken_is_left_out_and_told(model, folder, tmp_path, caplog):
    lines = (folder / "train.txt").read_text().splitlines()
    lines[2] = lines[2].rpartition("|")[0] + "|%%% &&"
    (folder / "train.txt").write_text("".join(f"{line}\n" for line in lines))
    assert synthesize_mels(model, folder, tmp_path / "out") == 2
    assert (tmp_path / "out" / "synthesized.txt").read_text().splitlines() == [lines[1], lines[3]]
    assert "left out: mel-1.npy: nothing of the text '%%% &&'" in caplog.text
