"""RTVC's speaker encoder learns from prepared mels, goes on, and leaves RTVC's files."""

import os
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from myxtts.data.rtvc_mels import open_mels
from myxtts.errors import DataError
from myxtts.training.trainer import Trainer
from myxtts.weights.rtvc_encoder import drawn, keys, read_encoder, write_encoder
from tests.training.test_resume import Killed, die_in
from tools.sv2tts import encoder_train

torch = pytest.importorskip("torch", reason="RTVC's files are torch's")


@pytest.fixture(scope="module")
def mels(tmp_path_factory) -> Path:
    """Three speakers, each with a colour of noise, and one without utterances."""
    root, rng = tmp_path_factory.mktemp("mels"), np.random.default_rng(0)
    for place in range(3):
        folder = root / f"s{place}"
        folder.mkdir()
        colour = np.zeros(40)
        colour[10 * place : 10 * place + 10] = 3.0
        for number in range(3):
            frames = rng.random((160 + 5 * number, 40)) * (1 + colour)
            np.save(folder / f"u,{number}.npy", frames.astype("float32"))
        lines = [f"u,{number}.npy,/a, b/{number}.flac\n" for number in range(3)]
        (folder / "_sources.txt").write_text("".join(lines))
    (root / "empty").mkdir()
    (root / "empty" / "_sources.txt").write_text("")
    return root


def train(mels: Path, models: Path, steps: int, *more: str) -> Path:
    line = ["run", str(mels), "-m", str(models), "--steps", str(steps), "-s", "2", "-v", "1"]
    line += ["-u", "2", "-b", "4", "--speakers_per_batch", "4", "--utterances_per_speaker", "3"]
    encoder_train.main(encoder_train.parser().parse_args([*line, *more]))
    return models / "run"


@pytest.fixture(scope="module")
def whole(mels, tmp_path_factory) -> Path:
    return train(mels, tmp_path_factory.mktemp("whole"), 4)


def equal(first: Path, second: Path) -> None:
    one, other = read_encoder(first), read_encoder(second)
    assert (one.step, one.steps_made) == (other.step, other.steps_made)
    for key in keys():
        for kind in ("arrays", "means", "squares"):
            np.testing.assert_array_equal(getattr(one, kind)[key], getattr(other, kind)[key])


def test_visdom_is_told_the_curves_where_it_is_asked_for(mels, tmp_path, monkeypatch):
    told, asked = [], []

    class Board:
        def __init__(self, server, name):
            asked.append((server, name))

        def tell(self, step, figures):
            told.append((step, set(figures)))

        def close(self):
            told.append("closed")

    monkeypatch.setattr("myxtts.training.stages.rtvc_encoder.Visdom", Board)
    train(mels, tmp_path, 1, "--visdom_server", "http://localhost")
    assert asked == [("http://localhost", "run")] and told[-1] == "closed"
    assert {"speaker/train/loss", "speaker/train/in_batch_eer"} <= set.union(
        *(figures for _, figures in told[:-1])
    )
    line = ["run", "data", "--visdom_server", "http://localhost"]
    args = encoder_train.parser().parse_args([*line, "--no_visdom"])
    assert encoder_train.visdom_server(args) is None
    assert encoder_train.visdom_server(encoder_train.parser().parse_args(line[:2])) is None


def test_files_of_a_run(whole):
    names = {path.name for path in whole.iterdir()}
    wanted = {"encoder.pt", "encoder_000004.bak", "umap_000002.png", "umap_000004.png", "preset"}
    assert wanted <= names
    content = torch.load(whole / "encoder.pt", weights_only=True)
    assert content["step"] == 5 and list(content["model_state"]) == keys()
    equal(whole / "encoder.pt", whole / "encoder_000004.bak")


@pytest.mark.slow
def test_a_killed_run_ends_as_an_unbroken_one(whole, mels, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_in(patch, "speaker", 2)
        train(mels, tmp_path, 4)
    keras.utils.set_random_seed(99)
    equal(train(mels, tmp_path, 4) / "encoder.pt", whole / "encoder.pt")


@pytest.mark.slow
def test_interrupted_it_saves(whole, mels, tmp_path, monkeypatch):
    step = Trainer._step

    def interrupted(trainer, stream):
        if trainer.progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(trainer, stream)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_step", interrupted)
        train(mels, tmp_path, 4)
    assert read_encoder(tmp_path / "run" / "encoder.pt").step == 4
    equal(train(mels, tmp_path, 4) / "encoder.pt", whole / "encoder.pt")


def torch_steps(stored: dict, batches: list[np.ndarray], utterances: int) -> dict:
    """What torch's own LSTM and Adam make of the same batches."""
    lstm, linear = torch.nn.LSTM(40, 256, 3, batch_first=True), torch.nn.Linear(256, 256)
    for module, name in ((lstm, "lstm."), (linear, "linear.")):
        module.load_state_dict(
            {key.removeprefix(name): torch.tensor(array) for key, array in stored.items()
             if key.startswith(name)}
        )  # fmt: skip
    scalars = [
        torch.nn.Parameter(torch.tensor(stored[f"similarity_{part}"]))
        for part in ("weight", "bias")
    ]
    learnt = [*scalars, *lstm.parameters(), *linear.parameters()]
    adam = torch.optim.Adam(learnt, lr=1e-4)
    for batch in batches:
        embeddings = torch.relu(linear(lstm(torch.tensor(batch))[1][0][-1]))
        own = embeddings / (embeddings.norm(dim=1, keepdim=True) + 1e-5)
        own = own.view(-1, utterances, 256)
        centre = own.mean(1)
        centre = centre / (centre.norm(dim=1, keepdim=True) + 1e-5)
        rest = (own.sum(1, keepdim=True) - own) / (utterances - 1)
        rest = rest / (rest.norm(dim=2, keepdim=True) + 1e-5)
        cosines = torch.einsum("jid,kd->jik", own, centre)
        inner, same = (own * rest).sum(2), torch.eye(len(own))[:, None].bool()
        cosines = torch.where(same, inner[..., None], cosines) * scalars[0] + scalars[1]
        targets = torch.arange(len(own)).repeat_interleave(utterances)
        loss = torch.nn.functional.cross_entropy(cosines.reshape(-1, len(own)), targets)
        adam.zero_grad()
        loss.backward()
        for scalar in scalars:
            scalar.grad *= 0.01
        torch.nn.utils.clip_grad_norm_(learnt, 3.0)
        adam.step()
    named = [("similarity_weight", scalars[0]), ("similarity_bias", scalars[1])]
    named += [(f"lstm.{key}", value) for key, value in lstm.named_parameters()]
    named += [(f"linear.{key}", value) for key, value in linear.named_parameters()]
    return {key: value.detach().numpy() for key, value in named}


def test_steps_are_torchs(whole, mels):
    """Both biases of each layer too, whose sum alone Keras has."""
    from myxtts.data.rtvc_mels import mel_batches
    from myxtts.data.speakers import SpeakerPlan

    corpus = open_mels(mels)
    stream = SpeakerPlan(corpus.speakers, 3, 3, 0).stream()
    build = mel_batches(corpus, 0)
    batches = [build(indices, step)["mels"] for step, indices in (next(stream) for _ in range(4))]
    start = drawn(0)
    wanted = torch_steps(start, batches, 3)
    found = read_encoder(whole / "encoder.pt").arrays
    # A softmax does not depend on the bias: its gradient is rounding. So are the smallest ones of
    # the others, of which Adam makes whole steps.
    for key in set(keys()) - {"similarity_bias"}:
        moved = np.linalg.norm(wanted[key] - start[key])
        assert np.linalg.norm(found[key] - wanted[key]) < 0.02 * moved, key


def test_it_goes_on_from_a_file_of_rtvc(whole, mels, tmp_path):
    (tmp_path / "run").mkdir()
    write_encoder(tmp_path / "run" / "encoder.pt", read_encoder(whole / "encoder.pt"))
    stored = read_encoder(train(mels, tmp_path, 2) / "encoder.pt")
    assert stored.step == 7 and stored.steps_made == 6
    train(mels, tmp_path, 2, "-f")
    assert read_encoder(tmp_path / "run" / "encoder.pt").step == 3
    assert read_encoder(tmp_path / "run.replaced-1" / "encoder.pt").step == 7


def test_too_few_speakers(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        open_mels(tmp_path / "none")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "_sources.txt").write_text("a.npy,a.flac\n")
    with pytest.raises(DataError, match="1 speaker with utterances"):
        open_mels(tmp_path)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "_sources.txt").write_text("b.npy,b.flac\n")
    np.save(tmp_path / "two" / "b.npy", np.zeros((100, 40), "float32"))
    corpus = open_mels(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        corpus.window(0, None)
    with pytest.raises(DataError, match="is wanted"):
        corpus.window(1, None)
