"""Every stage, killed and resumed, ends as in an unbroken run."""

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

from myxtts.models.xtts import XTTS
from myxtts.training.logs import read_history
from myxtts.training.run import train
from myxtts.training.trainer import Trainer
from tests.conftest import run_config


class Killed(Exception):
    """Stands for the end of the process."""


def die_in(monkeypatch, stage: str, step: int) -> None:
    """Let the next run end right after it wrote this checkpoint."""
    save = Trainer._save

    def save_and_die(trainer):
        save(trainer)
        if (trainer.stage, trainer.progress.step) == (stage, step):
            raise Killed

    monkeypatch.setattr(Trainer, "_save", save_and_die)


@pytest.mark.slow
def test_a_run_broken_in_every_stage_ends_as_an_unbroken_one(
    trained, micro_config, corpus, tmp_path, monkeypatch
):
    for stage in ("dvae", "gpt"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die_in(patch, stage, 2)
            train(run_config(micro_config, corpus, tmp_path, resume=True))
        keras.utils.set_random_seed(99)  # another process knows nothing of the first
    train(run_config(micro_config, corpus, tmp_path, resume=True))
    whole = trained.preset.parent
    files = sorted(path.relative_to(whole) for path in whole.glob("checkpoints/*/step-*/*.safe*"))
    assert {path.parts[1] for path in files} == {"dvae", "gpt", "decoder"}
    for path in files:
        ours, theirs = load_file(tmp_path / path), load_file(whole / path)
        for name in theirs:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=f"{path} {name}")
    assert read_history(tmp_path) == read_history(whole)


@pytest.mark.slow
def test_going_on_with_one_stage_leaves_the_others_weights(micro_config, corpus, tmp_path):
    train(run_config(micro_config, corpus, tmp_path))
    before = XTTS.from_preset(tmp_path / "preset").audio_encoder
    longer = {"gpt": {"steps": 6, "batch_size": 4, "warmup_steps": 1}}
    train(run_config(micro_config, corpus, tmp_path, stage="gpt", resume=True, **longer))
    middle = XTTS.from_preset(tmp_path / "preset").audio_encoder
    for one, other in zip(before.speaker_variables, middle.speaker_variables, strict=True):
        np.testing.assert_array_equal(one, other)
    train(run_config(micro_config, corpus, tmp_path, stage="decoder", resume=True))
    after = XTTS.from_preset(tmp_path / "preset").audio_encoder
    for one, other in zip(middle.conditioning_variables, after.conditioning_variables, strict=True):
        np.testing.assert_array_equal(one, other)
