"""The loop resumes exactly, stops cleanly and never loses a good checkpoint."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from myxtts.config import TrainingConfig
from myxtts.errors import CheckpointError, DataError
from myxtts.presets import variables as variables_module
from myxtts.training.optimizers import apply_gradients, make_optimizer
from myxtts.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]


class ToyTask:
    """Regression with dropout: every kind of state that a stage has."""

    compiles_itself = False
    keeps_last = False
    metric = "loss"

    def __init__(
        self, config: TrainingConfig, explode_at: int | None = None, judgement: float | None = None
    ):
        self.model = keras.Sequential(
            [
                keras.layers.Dense(8, activation="relu", name="hidden"),
                keras.layers.Dropout(0.3, seed=1, name="dropout"),
                keras.layers.Dense(1, name="out"),
            ],
            name="toy",
        )
        self.model.build((None, 4))
        self.optimizers = [make_optimizer(config.gpt, config, self.model.trainable_variables)]
        self.explode_at = explode_at
        self.judgement = judgement

    @property
    def variables(self):
        return self.model.variables

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.model(batch["x"], training=True) - batch["y"]) ** 2)
            if self.explode_at is not None:
                late = self.optimizers[0].iterations >= self.explode_at
                loss = tf.where(late, float("nan"), loss)
        groups = [(self.optimizers[0], self.model.trainable_variables)]
        norm = apply_gradients(groups, tape, loss)
        return {"loss": loss, "gradient_norm": norm}

    def validation_step(self, batch):
        loss = tf.reduce_mean((self.model(batch["x"]) - batch["y"]) ** 2)
        if self.judgement is not None:
            loss = tf.constant(self.judgement)
        return {"loss": loss, "weight": tf.constant(1.0)}

    def pictures(self, batch):
        return {"x": np.asarray(batch["x"])}

    def sounds(self, batch):
        return {"tone": (8000, np.sin(np.arange(800) / 10))}


def stream(start: int, rows: int = 6, delay: float = 0.0) -> tf.data.Dataset:
    def batches():
        step = start
        while True:
            rng = np.random.default_rng(step)
            x = rng.normal(size=(rows, 4)).astype("float32")
            time.sleep(delay)
            yield {"x": x, "y": x.sum(axis=1, keepdims=True)}
            step += 1

    spec = {"x": tf.TensorSpec([None, 4]), "y": tf.TensorSpec([None, 1])}
    return tf.data.Dataset.from_generator(batches, output_signature=spec)


def settings(**changes) -> TrainingConfig:
    base = {
        "gpt": {"steps": 60, "learning_rate": 1e-2, "warmup_steps": 5},
        "validate_every": 20,
        "checkpoint_every": 7,
        "keep_checkpoints": 2,
    }
    return TrainingConfig().merged(base | changes)


def make_trainer(folder: Path, config: TrainingConfig, delay: float = 0.0, **task) -> Trainer:
    keras.utils.set_random_seed(3)
    return Trainer(
        "gpt",
        ToyTask(config, **task),
        config.gpt,
        config,
        folder,
        lambda start: stream(start, delay=delay),
        lambda: stream(10_000).take(2),
        bool(config.xla),
    )


def final_state(trainer: Trainer) -> list[np.ndarray]:
    newest = trainer.checkpoints.steps()[-1]
    trainer.checkpoints._load(newest)
    variables = trainer.task.variables + trainer.task.optimizers[0].variables
    return [np.asarray(variable) for variable in variables]


@pytest.mark.parametrize("accumulation", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_killed_run_ends_as_an_unbroken_one(tmp_path, accumulation):
    config = settings(gradient_accumulation=accumulation)
    whole = make_trainer(tmp_path / "whole", config)
    whole.run()
    broken = tmp_path / "broken"
    kill_in_the_middle(broken, accumulation)
    survivor = make_trainer(broken, settings(gradient_accumulation=accumulation, resume=True))
    survivor.run()
    for ours, theirs in zip(final_state(survivor), final_state(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    history = json.loads((broken / "history.json").read_text())
    steps = [record["step"] for record in history if record["kind"] == "train"]
    assert steps == sorted(set(steps))


def kill_in_the_middle(folder: Path, accumulation: int) -> None:
    """Start the same run in a process, and kill it between two checkpoints."""
    folder.mkdir()
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.training.test_trainer import make_trainer, settings\n"
        f"config = settings(gradient_accumulation={accumulation})\n"
        f"make_trainer(Path({str(folder)!r}), config, delay=0.05).run()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(folder.glob("checkpoints/gpt/step-00000014")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(folder.glob("checkpoints/gpt/step-00000060"))


def test_termination_writes_a_checkpoint_first(tmp_path):
    config = settings(checkpoint_every=1000, validate_every=1000)
    trainer = make_trainer(tmp_path, config)
    after_step = trainer._after_step

    def interrupt(numbers, bar):
        if trainer.progress.step == 11:
            os.kill(os.getpid(), signal.SIGTERM)
        after_step(numbers, bar)

    trainer._after_step = interrupt
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.checkpoints.steps() in ([11], [12])


def test_a_second_interrupt_does_not_wait(tmp_path):
    trainer = make_trainer(tmp_path, settings())
    before = signal.getsignal(signal.SIGINT)
    with trainer._catching_signals():
        signal.raise_signal(signal.SIGINT)
        assert trainer._stopping
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_in_the_last_validation_still_ends_the_program(tmp_path):
    trainer = make_trainer(tmp_path, settings())
    trainer._judge = lambda metric: setattr(trainer, "_stopping", trainer.progress.step == 60)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.checkpoints.steps()[-1] == 60


def test_last_and_best_checkpoints_are_kept(tmp_path):
    trainer = make_trainer(tmp_path, settings(validate_every=10, checkpoint_every=5))
    trainer.run()
    steps = trainer.checkpoints.steps()
    assert steps[-2:] == [55, 60]
    assert trainer.checkpoints.best_step() in steps
    assert len(steps) <= 3


def test_run_ends_with_the_best_weights(tmp_path):
    trainer = make_trainer(tmp_path, settings())
    progress = trainer.run()
    values = [
        float(trainer.task.validation_step(batch)["loss"]) for batch in stream(10_000).take(2)
    ]
    assert np.mean(values) == pytest.approx(progress.best, rel=1e-4)


def test_a_task_may_end_with_the_last_weights(tmp_path):
    judged = make_trainer(tmp_path / "best", settings(validate_every=10), judgement=1.0)
    lasting = make_trainer(tmp_path / "last", settings(validate_every=10), judgement=1.0)
    lasting.task.keeps_last = True
    for trainer in (judged, lasting):
        trainer.run()
    newest = trainer.checkpoints._path(60) / "task.safetensors"
    stored = [value for _, value in sorted(load_file(newest).items())]
    for variable, value in zip(lasting.task.variables, stored, strict=True):
        np.testing.assert_array_equal(variable, value)
    pairs = zip(judged.task.variables, lasting.task.variables, strict=True)
    assert not all(np.array_equal(one, other) for one, other in pairs)


def test_early_stopping_ends_a_stalled_run_and_holds_after_a_resume(tmp_path):
    config = settings(validate_every=10, early_stopping=2)
    # The best is the first validation; two more bring nothing.
    assert make_trainer(tmp_path, config, judgement=1.0).run().step == 30
    resumed = settings(validate_every=10, early_stopping=2, resume=True)
    assert make_trainer(tmp_path, resumed, judgement=1.0).run().step == 30


def test_nan_loss_names_its_step_and_reaches_no_checkpoint(tmp_path):
    trainer = make_trainer(tmp_path, settings(checkpoint_every=4), explode_at=22)
    with pytest.raises(DataError, match="loss is nan at step 23"):
        trainer.run()
    assert trainer.checkpoints.steps() == [16, 20]
    assert all(np.isfinite(values).all() for values in final_state(trainer))


def test_nan_validation_is_no_best(tmp_path):
    trainer = make_trainer(tmp_path, settings(), judgement=float("nan"))
    with pytest.raises(DataError, match="validation loss is nan at step 20"):
        trainer.run()
    assert trainer.checkpoints.steps() == [7, 14]


def test_checkpoints_in_the_way_are_not_overwritten(tmp_path):
    make_trainer(tmp_path, settings()).run()
    with pytest.raises(CheckpointError, match="--resume"):
        make_trainer(tmp_path, settings()).run()


def test_a_damaged_checkpoint_is_passed_over(tmp_path, caplog):
    first = make_trainer(tmp_path, settings())
    first.run()
    newest = first.checkpoints._path(first.checkpoints.steps()[-1])
    (newest / "task.safetensors").write_bytes(b"broken")
    second = make_trainer(tmp_path, settings(resume=True))
    assert second.run().step == 60
    assert "damaged" in caplog.text


def test_all_checkpoints_damaged_is_an_error(tmp_path):
    first = make_trainer(tmp_path, settings())
    first.run()
    for step in first.checkpoints.steps():
        (first.checkpoints._path(step) / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        make_trainer(tmp_path, settings(resume=True)).run()


def test_full_disk_is_one_sentence_and_loses_nothing(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, settings())
    written = variables_module.save_file

    def full(*args, **options):
        if trainer.progress.step > 14:
            raise OSError(28, "No space left on device")
        return written(*args, **options)

    monkeypatch.setattr(variables_module, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        trainer.run()
    assert trainer.checkpoints.steps() == [7, 14]
    monkeypatch.setattr(variables_module, "save_file", written)
    assert make_trainer(tmp_path, settings(resume=True)).run().step == 60


def test_another_models_checkpoint_is_refused(tmp_path):
    make_trainer(tmp_path, settings()).run()
    other = make_trainer(tmp_path, settings(resume=True))
    other.task.model = keras.Sequential([keras.layers.Dense(3)])
    other.task.model.build((None, 4))
    with pytest.raises(CheckpointError, match="another configuration"):
        other.run()


def test_logged_losses_are_the_means_over_accumulated_batches(tmp_path):
    trainer = make_trainer(tmp_path, settings(gradient_accumulation=2))
    pair = iter([{"loss": tf.constant(1.0)}, {"loss": tf.constant(4.0)}])
    trainer._train_step = lambda batch: next(pair)
    assert float(trainer._step(iter([None, None]))["loss"]) == 2.5


def test_xla_step_equals_plain_step(tmp_path):
    losses = []
    for xla in (False, True):
        trainer = make_trainer(tmp_path / str(xla), settings(xla=xla))
        # XLA draws other random numbers.
        trainer.task.model.get_layer("dropout").rate = 0.0
        losses.append(trainer.run().best)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
