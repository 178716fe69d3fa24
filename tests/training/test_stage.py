"""A system of its own, here a line through loudness, needs a file with a task and a row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from myxtts.config import StageConfig
from myxtts.data.batches import pad
from myxtts.data.corpus import Corpus
from myxtts.data.formats import find_utterances
from myxtts.data.screening import Screen, screen_corpus
from myxtts.data.store import Clip, Feature, FeatureStore
from myxtts.errors import CheckpointError
from myxtts.presets.variables import save_variables
from myxtts.replicas import STRATEGY_HELP, Strategy
from myxtts.settings import Settings, setting
from myxtts.training.logs import read_history
from myxtts.training.optimizers import make_optimizer
from myxtts.training.run import train
from myxtts.training.stage import Copies, Stage, System, Task
from myxtts.training.start import open_corpora
from tests.training.test_resume import Killed, die_in

WINDOW = 256


@dataclass(frozen=True)
class LineConfig(Settings, section="model"):
    use_bias: bool = setting(True, "whether the line may miss the origin")


@dataclass(frozen=True)
class CorporaConfig(Settings, section="data"):
    train_data: str | None = setting(None, "folder of the training corpus")
    val_data: str | None = setting(None, "folder of the validation corpus")


@dataclass(frozen=True)
class LineTraining(Settings, section="training"):
    output_dir: str = setting("runs/line", "folder of the run")
    stage: str = setting("all", "stage to run")
    line: StageConfig = StageConfig(steps=12, batch_size=2, learning_rate=1e-2, warmup_steps=2)
    seed: int = setting(0, "seed of weights and batches")
    weight_decay: float = setting(0.0, "AdamW weight decay")
    gradient_clip: float = setting(1.0, "largest global gradient norm")
    gradient_accumulation: int = setting(1, "batches a step")
    mixed_precision: bool = setting(False, "compute in bfloat16")
    xla: bool = setting(False, "compile the training step")
    strategy: Strategy = setting("none", STRATEGY_HELP)
    validate_every: int = setting(4, "steps between validations")
    checkpoint_every: int = setting(4, "steps between checkpoints")
    keep_checkpoints: int = setting(3, "latest checkpoints kept")
    early_stopping: int = setting(0, "validations without progress before stopping")
    resume: bool = setting(False, "continue the run")


@dataclass(frozen=True)
class Config(Settings):
    model: LineConfig = LineConfig()
    data: CorporaConfig = CorporaConfig()
    training: LineTraining = LineTraining()


class Line(keras.layers.Dense):
    """Predicts how loud the next window is from this one."""

    def __init__(self, config: Config):
        super().__init__(1, use_bias=config.model.use_bias, name="line")
        self.config, self.trained_steps, self.judged = config, {}, 0
        self.build((None, None, 1))

    def save_to_preset(self, folder: Path) -> None:
        save_variables(folder / "line.safetensors", {item.name: item for item in self.weights})


class LineTask(Task):
    def __init__(self, model: Line, config: Config):
        self.model, self.variables = model, model.variables
        training, variables = config.training, model.trainable_variables
        self.groups = [(make_optimizer(training.line, training, variables), variables)]

    def losses(self, batch: dict, training: bool) -> dict:
        rms = batch["rms"]
        return {"loss": tf.reduce_mean((self.model(rms[:, :-1]) - rms[:, 1:]) ** 2)}

    def weight(self, batch: dict):
        return tf.cast(tf.shape(batch["rms"])[0], "float32")


def rms(clip: Clip) -> np.ndarray:
    """Loudness ``(windows, 1)``."""
    audio = clip.at(8000)
    windows = audio[: len(audio) // WINDOW * WINDOW].reshape(-1, WINDOW)
    return np.sqrt(np.mean(windows**2, axis=1, keepdims=True))


def prepare(config: Config, run_dir: Path) -> tuple[Line, Corpus, Corpus]:
    features = {"rms": Feature(rms, {"window": WINDOW})}
    store = FeatureStore(Screen(0.5, 10.0), features, run_dir / "cache")

    def open_one(folder: str):
        found = find_utterances(folder)
        usable, report = screen_corpus(folder, found, store, lambda item, features: 1.0)
        return Corpus(usable, store, measure="rms"), report

    return Line(config), *open_corpora(config, run_dir, open_one)


def batches(corpus: Corpus, config: Config):
    return lambda indices, epoch: {
        "rms": pad([corpus.feature(index, "rms") for index in indices], 8, 0.0)
    }


def hand_on(task: LineTask, validation) -> None:
    task.model.judged = sum(len(batch["rms"]) for batch in validation())


SYSTEM = System((Stage("line", LineTask, batches, hand_on=hand_on),), prepare)
OTHER = System((Stage("line", LineTask, batches, needs=("points",)),), prepare)


def configured(corpus: Path, output: Path, **training) -> Config:
    data = {"train_data": str(corpus), "val_data": str(corpus)}
    return Config().merged({"data": data, "training": {"output_dir": str(output), **training}})


def test_another_system_is_trained_and_resumed_as_if_nothing_had_been(
    corpus, tmp_path, monkeypatch
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    result = train(configured(corpus, whole), SYSTEM)
    assert result.steps == {"line": 12}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_in(patch, "line", 8)
        train(configured(corpus, broken), SYSTEM)
    keras.utils.set_random_seed(99)  # another process knows nothing of the first
    assert train(configured(corpus, broken, resume=True), SYSTEM).best == result.best
    files = sorted(whole.rglob("*.safetensors"))
    assert len(files) == 7  # task and optimizer of three checkpoints, and the preset
    for path in files:
        ours = load_file(broken / path.relative_to(whole))
        for name, theirs in load_file(path).items():
            np.testing.assert_array_equal(ours[name], theirs, err_msg=f"{path} {name}")
    history = read_history(whole)
    assert read_history(broken) == history
    losses = [record["loss"] for record in history if record["kind"] == "validation"]
    assert losses[-1] < losses[0]


def test_what_a_stage_hands_on_is_asked_for_after_training(corpus, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(Line, "save_to_preset", lambda model, folder: saved.append(model.judged))
    train(configured(corpus, tmp_path), SYSTEM)
    assert saved == [6]


def test_stages_are_told_which_others_they_need(corpus, tmp_path):
    with pytest.raises(CheckpointError, match="stage line needs a trained points"):
        train(configured(corpus, tmp_path), OTHER)


def test_a_run_of_other_settings_of_the_model_is_refused(corpus, tmp_path):
    train(configured(corpus, tmp_path), SYSTEM)
    other = configured(corpus, tmp_path, resume=True).merged({"model": {"use_bias": False}})
    with pytest.raises(CheckpointError, match=r"model\.use_bias differs"):
        train(other, SYSTEM)


def test_copies_are_due_behind_every_multiple():
    """Also of a run that is gone on with, and of one that is stopped between two exports."""
    copies = Copies(10, apart=4)
    assert [step for step in (4, 8, 12, 13, 16, 20, 24, 40) if copies.due(step)] == [12, 20, 40]
    assert Copies(10, apart=4).due(20)
    assert not Copies(10, apart=4).due(14)
    assert not Copies(10, apart=1000).due(3)
    assert not Copies(0, apart=4).due(20)
