"""Embedding files of a corpus: names, numbers, averages, what is resumed and what left out."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from myxtts.config import ECAPAConfig
from myxtts.flags import run
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.verification.verifier import SpeakerVerifier
from myxtts.weights.torch_tensor import read_tensor
from tests.conftest import MICRO, hum
from tools.speaker_encoder import create_speaker_emb_dataset as tool

SIZE = MICRO["model"]["ecapa"]["embedding_dim"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A small ECAPA whose weights count as somebody's."""
    sizes = {key: tuple(v) if isinstance(v, list) else v for key, v in
             MICRO["model"]["ecapa"].items()}  # fmt: skip
    encoder = PretrainedSpeakerEncoder("ecapa_tdnn", True, ECAPAConfig(**sizes))
    encoder.build()
    encoder.provenance = "somebody's@sha256:" + "a" * 64
    folder = tmp_path_factory.mktemp("made") / "preset"
    encoder.save_to_preset(folder)
    return folder


def write(path, seconds, pitch, rate=16_000, subtype=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = hum(seconds, pitch, np.random.default_rng(int(pitch)), rate)
    soundfile.write(path, audio, rate, subtype=subtype)


@pytest.fixture
def libritts(tmp_path):
    """Two speakers in every form that a recording may have, one damaged and one silent."""
    top = tmp_path / "LibriTTS"
    write(top / "84" / "84" / "84_1.a.wav", 0.7, 100)
    write(top / "84" / "121" / "84_2.flac", 0.9, 110, 24_000)
    write(top / "174" / "5" / "174_1.WAV", 0.8, 200, 44_100, "FLOAT")
    write(top / "174" / "5" / "174_2.ogg", 0.6, 210)
    write(top / "174" / "5" / "174_1.flac", 0.8, 200)
    soundfile.write(top / "174" / "5" / "silent.wav", np.zeros(16_000), 16_000)
    (top / "174" / "5" / "empty.wav").write_bytes(b"")
    (top / "174" / "5" / "174_1.normalized.txt").write_text("words")
    return top


def call(monkeypatch, top, *more, name="LibriTTS") -> int:
    words = ["--model_name", "ecapa", "--dataset_name", name, "--dataset_dir", str(top)]
    monkeypatch.setattr("sys.argv", ["create_speaker_emb_dataset.py", *words, *map(str, more)])
    try:
        return run(tool.main, tool.parser())
    except SystemExit as stop:
        return stop.code


def test_every_recording_and_every_speaker_gets_a_file(libritts, preset, monkeypatch, capsys):
    assert call(monkeypatch, libritts, "--checkpoint", preset, "--batch-size", 2, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["embeddings"], result["speakers"], result["size"]) == (4, 2, SIZE)
    names = {path.rsplit("/", 1)[1] for path in result["left_out"]}
    # Of two files that would give one name, the first is taken.
    assert names == {"174_1.flac", "empty.wav", "silent.wav"}
    files = sorted(str(p.relative_to(libritts)) for p in libritts.rglob("*embedding"))
    assert files == [
        "174/174.ecapa_averaged_embedding",
        "174/5/174_1.ecapa_embedding",
        "174/5/174_2.ecapa_embedding",
        "84/121/84_2.ecapa_embedding",
        "84/84.ecapa_averaged_embedding",
        "84/84/84_1.a.ecapa_embedding",
    ]
    verifier = SpeakerVerifier.from_preset(preset)
    rows = []
    for path in ("84/84/84_1.a", "84/121/84_2"):
        audio = next(p for p in libritts.glob(f"{path}.*") if p.suffix in (".wav", ".flac"))
        rows.append(read_tensor(libritts / f"{path}.ecapa_embedding"))
        np.testing.assert_allclose(rows[-1], verifier.embed(audio), atol=1e-5)
        assert np.linalg.norm(rows[-1]) == pytest.approx(1, abs=1e-5)
    average = read_tensor(libritts / "84" / "84.ecapa_averaged_embedding")
    np.testing.assert_allclose(average, np.mean(rows, axis=0), atol=1e-6)
    torch = pytest.importorskip("torch", reason="torch reads the files")
    for name in files:
        tensor = torch.load(libritts / name, weights_only=True)
        assert tensor.dtype == torch.float32 and tuple(tensor.shape) == (1, SIZE)

    # A second call embeds what is missing; another encoder's would be mixed in.
    (libritts / "84" / "121" / "84_2.ecapa_embedding").unlink()
    embedded = []
    embed = SpeakerVerifier.embed
    monkeypatch.setattr(
        SpeakerVerifier, "embed", lambda *a, **k: (embedded.extend(a[1]), embed(*a, **k))[1]
    )
    words = ("--checkpoint", preset, "--renormalise-averages", "--json")
    assert call(monkeypatch, libritts, *words) == 0
    assert "84_2.flac" in {path.name for path in embedded}
    assert not {"84_1.a.wav", "174_2.ogg"} & {path.name for path in embedded}
    average = read_tensor(libritts / "84" / "84.ecapa_averaged_embedding")
    assert np.linalg.norm(average) == pytest.approx(1, abs=1e-5)
    index = libritts / "ecapa_embeddings.json"
    index.write_text(json.dumps({"provenance": "another's"}))
    capsys.readouterr()
    assert call(monkeypatch, libritts, "--checkpoint", preset) == 2
    assert "give --overwrite to make them anew" in capsys.readouterr().err


def test_one_file_of_a_corpus_needs_no_pickle(libritts, preset, monkeypatch):
    top = libritts.parent / "VCTK"
    for layout in ("wav48_silence_trimmed", "wav"):
        shutil.rmtree(top, ignore_errors=True)
        write(top / layout / "p225" / "p225_001.wav", 0.7, 120)
        write(top / layout / "p226" / "p226_001.wav", 0.7, 150)
        words = ("--checkpoint", preset, "--format", "npz")
        assert call(monkeypatch, top, *words, name="VCTK") == 0
        assert list(top.rglob("*embedding")) == []
        with np.load(top / "ecapa_embeddings.npz", allow_pickle=False) as archive:
            assert archive["embeddings"].shape == archive["averages"].shape == (2, SIZE)
            assert archive["speakers"].tolist() == ["p225", "p226"]
            assert archive["files"].tolist()[0] == f"{layout}/p225/p225_001.wav"


@pytest.mark.parametrize(
    ("name", "message"),
    [("VCTK", "holds none of wav48_silence_trimmed"), ("LibriTTS", "no recordings of speakers")],
)
def test_empty_corpora_are_said(tmp_path, preset, name, message, monkeypatch, capsys):
    assert call(monkeypatch, tmp_path, "--checkpoint", preset, name=name) == 1
    assert message in capsys.readouterr().err


def test_unknown_names_are_refused(tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, tmp_path, "--model_name", "ecappa") == 2
    assert "invalid choice: 'ecappa'" in capsys.readouterr().err
