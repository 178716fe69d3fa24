"""Training through a singer: what moves, what is kept, and that a broken run goes on as it was."""

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training is torch's")

from myxtts.errors import CheckpointError  # noqa: E402
from tests.tools.styletts2_kokoro.fake_hearing import fake_map  # noqa: E402
from tests.tools.styletts2_kokoro.fake_training import (  # noqa: E402
    CONFIG,
    same,
    state_of,
    trainer,
    voice_of,
    write_corpus,
)
from tools.kokoro.backends.interface import HALF  # noqa: E402
from tools.styletts2_kokoro import dataset, losses, trackers  # noqa: E402
from tools.styletts2_kokoro.judging import Judges, best_epoch  # noqa: E402
from tools.styletts2_kokoro.projection import Projection  # noqa: E402
from tools.styletts2_kokoro.training import at_level, order  # noqa: E402

NAMES = ("resemblyzer", "likeness")


@pytest.fixture(autouse=True)
def spelled(monkeypatch):
    """Texts are spelled, not pronounced."""
    monkeypatch.setattr(dataset, "phonemize", lambda text, language: text)
    from tools.styletts2_kokoro import outputs

    monkeypatch.setattr(outputs, "phonemize", lambda text, language: text.lower())


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def run(tmp_path, corpus, out, config=CONFIG, resume=False, **backend):
    made = trainer(tmp_path, config, **backend)
    return made.train(corpus, tmp_path / out, "mine", resume), tmp_path / out / "mine"


def test_before_training_the_projection_is_the_map():
    rng, speaker_map = np.random.default_rng(0), fake_map()
    styles = rng.normal(size=(2, 256)).astype("float32")
    projection = Projection(speaker_map, styles, gain=0.7)
    for style in styles:
        expected = np.float32(0.7) * speaker_map.coordinates(style)
        np.testing.assert_array_equal(projection.coordinates(style), expected)
    torch.nn.init.normal_(projection.correction)
    for style in styles:
        whole = projection.as_map().coordinates(style)
        np.testing.assert_allclose(projection.coordinates(style), whole, rtol=1e-4, atol=1e-3)


def test_the_mel_moves_timbre_alone_and_the_embedding_both_halves():
    style = torch.randn(1, 256, requires_grad=True)
    mel, cosine = (style**2).mean(), style.sum()
    slope = losses.style_gradient(style, mel, cosine, (1.0, 0.5))
    assert (slope[:, HALF:] == 0.5).all()
    torch.testing.assert_close(slope[:, :HALF], 2 * style[:, :HALF].detach() / 256 + 0.5)
    alone = losses.style_gradient(style, (style**2).mean(), style.sum(), (1.0, 0.0))
    assert (alone[:, HALF:] == 0).all()


def test_how_loud_a_recording_is_says_nothing():
    audio = np.random.default_rng(0).normal(size=1000).astype("float32")
    np.testing.assert_allclose(at_level(audio), at_level(0.01 * audio), rtol=1e-4)


def test_texts_rotate():
    found = [order(epoch, 5, replace(CONFIG, clips_per_epoch=2)) for epoch in range(1, 6)]
    together = sum(found, [])
    assert sorted(together[:5]) == sorted(together[5:]) == list(range(5))
    assert order(1, 1, CONFIG) == [0]


def test_the_best_epoch_is_the_likest_that_no_judge_likes_less():
    def row(epoch, one, two):
        return {"epoch": epoch, "one": one, "two": two, "likeness": (one + two) / 2}

    history = [row(0, 0.5, 0.3), row(1, 0.6, 0.3), row(2, 0.9, 0.2), row(3, 0.6, 0.3)]
    assert best_epoch(history, ["one", "two"]) == 1
    assert best_epoch([row(0, 0.5, 0.3), row(1, 0.4, 0.9)], ["one", "two"]) == 0
    assert best_epoch([row(0, math.nan, 0.3), row(1, math.nan, 0.9)], ["one", "two"]) == 0


def test_training_lowers_its_losses_and_leaves_what_is_documented(tmp_path, corpus):
    config = replace(CONFIG, epochs_projection=12, clips_per_epoch=4)
    result, folder = run(tmp_path, corpus, "out", config)
    history = state_of(folder)["history"]
    assert history[-1]["mel"] + history[-1]["cosine"] < history[1]["mel"] + history[1]["cosine"]
    names = {path.name for path in folder.iterdir()}
    tests = {f"mine_test_{number}.wav" for number in (1, 2, 3)}
    assert names == {
        *tests,
        "mine.pt",
        "mine_artifacts.pt",
        "mine_report.md",
        "mine_scores.png",
        "checkpoints",
        "SHA256SUMS",
    }
    voice = torch.load(folder / "mine.pt", weights_only=True)
    assert voice.shape == (510, 1, 256)
    assert voice.dtype == torch.float32
    artifacts = torch.load(folder / "mine_artifacts.pt", weights_only=True)
    assert artifacts["scores"]["best_epoch"] == result["best_epoch"]
    assert artifacts["map"]["weights"].shape == (256, 16)
    assert "made up" in str(artifacts["provenance"])
    assert "mine_scores.png" in (folder / "mine_report.md").read_text()


def test_without_epochs_the_voice_is_the_maps_own(tmp_path, corpus):
    made = trainer(tmp_path, replace(CONFIG, epochs_projection=0))
    result = made.train(corpus, tmp_path / "out", "mine", False)
    style = dataset.read_speakers(corpus, made.hearing, made.config)[0].style
    expected = made.space.pack(made.map.coordinates(style))
    np.testing.assert_array_equal(voice_of(tmp_path / "out" / "mine"), expected)
    assert result["best_epoch"] == result["epochs"] == 0


def test_that_no_epoch_was_better_is_said_aloud(tmp_path, corpus, monkeypatch, caplog):
    caplog.set_level("INFO")
    falling = iter(np.linspace(0.9, 0.1, 20))
    monkeypatch.setattr(Judges, "scores", lambda self, points: dict.fromkeys(NAMES, next(falling)))
    result, folder = run(tmp_path, corpus, "out")
    assert "None of 4 epochs was better" in caplog.text
    assert result["best_epoch"] == 0
    assert result["likeness_best"] == result["likeness_start"]
    assert "None of 4 epochs was better" in (folder / "mine_report.md").read_text()
    whole, other = run(tmp_path, corpus, "none", replace(CONFIG, epochs_projection=0))
    np.testing.assert_array_equal(voice_of(folder), voice_of(other))


@pytest.mark.parametrize("done", [1, 3])
def test_a_resumed_run_is_an_unbroken_one(done, tmp_path, corpus):
    _, whole = run(tmp_path, corpus, "whole")
    run(tmp_path, corpus, "broken", replace(CONFIG, epochs_projection=done))
    _, broken = run(tmp_path, corpus, "broken", resume=True)
    assert same(state_of(whole), state_of(broken))
    np.testing.assert_array_equal(voice_of(whole), voice_of(broken))


def test_an_interrupted_epoch_leaves_no_trace(tmp_path, corpus, monkeypatch):
    _, whole = run(tmp_path, corpus, "whole")
    stopping = trainer(tmp_path, CONFIG, interrupt_after=9)
    calls, waveform = stopping.backend, stopping.backend.waveform

    def sung(*given):
        try:
            return waveform(*given)
        except KeyboardInterrupt:
            calls.interrupt_after = None
            raise

    monkeypatch.setattr(calls, "waveform", sung)
    result = stopping.train(corpus, tmp_path / "broken", "mine", False)
    assert result["stopped"] == "interrupted"
    assert 0 < result["epochs"] < 4
    _, broken = run(tmp_path, corpus, "broken", resume=True)
    assert same(state_of(whole), state_of(broken))


def test_what_cannot_be_resumed_says_why(tmp_path, corpus):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        run(tmp_path, corpus, "out", resume=True)
    _, folder = run(tmp_path, corpus, "out", replace(CONFIG, epochs_projection=1))
    with pytest.raises(CheckpointError, match="lr_projection was 0.01, now 0.1"):
        run(tmp_path, corpus, "out", replace(CONFIG, lr_projection=0.1), resume=True)
    write_corpus(corpus, texts=("another", "texthere", "andthen", "more", "ofit"))
    with pytest.raises(CheckpointError, match="texts was"):
        run(tmp_path, corpus, "out", resume=True)
    (folder / "checkpoints" / "last.pt").write_bytes(b"PK nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        run(tmp_path, corpus, "out", resume=True)


def test_each_speaker_gets_a_voice_from_the_one_map(tmp_path):
    corpus = write_corpus(tmp_path / "two", speakers=("Ann B", "bob"))
    write_corpus(tmp_path / "two", speakers=("Ann B", "bob"), texts=("heldout",), part="validation")
    result, folder = run(tmp_path, corpus, "out")
    names = ["mine-Ann_B", "mine-bob"]
    found = [voice_of(tmp_path / "out" / name) for name in names]
    assert np.abs(found[0] - found[1]).max() > 0.01
    assert [path.split("/")[-1] for path in result["voices"]] == [f"{n}.pt" for n in names]
    artifacts = torch.load(folder / "mine_artifacts.pt", weights_only=True)
    assert list(artifacts["styles"]) == ["Ann B", "bob"]
    assert [row["judging"] for row in artifacts["scores"]["speakers"]] == [1, 1]


def test_trackers_never_stop_a_run(tmp_path, corpus, monkeypatch, caplog):
    class Broken:
        def __init__(self, *given):
            pass

        def tell(self, epoch, scores):
            raise SystemExit("no server")

        def close(self):
            raise AssertionError("is asked no more")

    monkeypatch.setattr(trackers, "WandB", Broken)
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    config = replace(CONFIG, epochs_projection=1, wandb=True, tensorboard=True)
    result, _ = run(tmp_path, corpus, "out", config)
    assert result["stopped"] == "epochs"
    assert "Weights & Biases is not told of this run: no server" in caplog.text
    assert "TensorBoard is not told of this run" in caplog.text


def test_tensorboard_is_told(tmp_path, corpus):
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    config = replace(CONFIG, epochs_projection=1, tensorboard=True)
    _, folder = run(tmp_path, corpus, "out", config)
    assert list((folder / "tensorboard").glob("events*"))
