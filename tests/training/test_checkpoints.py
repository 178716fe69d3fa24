"""Checkpoints are whole or absent, and the right ones are kept."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from myxtts.errors import CheckpointError
from myxtts.training.checkpoints import CheckpointFolder, Progress


def make_folder(folder, keep: int = 2) -> CheckpointFolder:
    """Checkpoints of one variable and of an optimiser's state."""
    variable = keras.Variable(np.zeros(3), name="kernel")
    optimizer = keras.optimizers.AdamW(0.1)
    optimizer.build([variable])
    task = SimpleNamespace(variables=[variable], optimizers=[optimizer])
    return CheckpointFolder(folder, task, keep)


def save(checkpoints: CheckpointFolder, step: int, **progress) -> None:
    """A checkpoint in which every number is ``step``."""
    for variable in [*checkpoints.task.variables, *checkpoints.task.optimizers[0].variables]:
        variable.assign(np.full(variable.shape, step))
    checkpoints.save(Progress(step, **progress))


def held(checkpoints: CheckpointFolder) -> set[float]:
    variables = [*checkpoints.task.variables, *checkpoints.task.optimizers[0].variables]
    return {float(value) for variable in variables for value in np.ravel(variable)}


def damage(checkpoints: CheckpointFolder, step: int, file: str = "task.safetensors") -> None:
    path = checkpoints._path(step) / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_everything_comes_back(tmp_path):
    save(make_folder(tmp_path), 7, best=0.5, best_step=5, stalled=2)
    fresh = make_folder(tmp_path)
    assert fresh.restore() == Progress(7, best=0.5, best_step=5, stalled=2)
    assert held(fresh) == {7.0}


def test_an_empty_folder_restores_nothing(tmp_path):
    assert make_folder(tmp_path / "absent").restore() is None
    assert make_folder(tmp_path).load_best() is None


def test_the_last_and_the_best_are_kept(tmp_path):
    checkpoints = make_folder(tmp_path)
    for step in range(1, 7):
        save(checkpoints, step, best=1.0, best_step=2 if step >= 2 else 1)
    assert checkpoints.steps() == [2, 5, 6]
    assert checkpoints.load_best() == 2
    assert held(checkpoints) == {2.0, 6.0}  # the optimiser's state stays that of the last


def test_other_files_in_the_folder_are_let_be(tmp_path):
    checkpoints = make_folder(tmp_path)
    for name in ("step-00000001 (copy)", "step-notes"):
        (tmp_path / name).mkdir()
    save(checkpoints, 1)
    assert checkpoints.steps() == [1]
    assert (tmp_path / "step-notes").is_dir()


def test_what_a_killed_process_left_is_swept_up(tmp_path):
    checkpoints = make_folder(tmp_path)
    (tmp_path / ".step-00000003.new").mkdir()
    save(checkpoints, 4)
    assert {path.name for path in tmp_path.iterdir()} == {"step-00000004"}


@pytest.mark.parametrize("file", ["task.safetensors", "optimizer-0.safetensors", "state.json"])
def test_a_truncated_checkpoint_gives_way_to_the_one_before(tmp_path, caplog, file):
    checkpoints = make_folder(tmp_path)
    save(checkpoints, 1)
    save(checkpoints, 2)
    damage(checkpoints, 2, file)
    assert checkpoints.restore().step == 1
    assert held(checkpoints) == {1.0}
    assert file in caplog.text


@pytest.mark.parametrize("file", ["task.safetensors", "optimizer-0.safetensors", "state.json"])
def test_a_missing_file_is_named_when_nothing_else_is_left(tmp_path, file):
    checkpoints = make_folder(tmp_path)
    save(checkpoints, 1)
    (checkpoints._path(1) / file).unlink()
    with pytest.raises(CheckpointError, match=file):
        checkpoints.restore()


@pytest.mark.parametrize("keep", [1, 2])
def test_going_on_before_a_damaged_checkpoint_drops_the_damaged_one(tmp_path, keep):
    before = make_folder(tmp_path)
    save(before, 10, best=2.0, best_step=10)
    save(before, 20, best=1.0, best_step=20)
    damage(before, 20)
    checkpoints = make_folder(tmp_path, keep)
    progress = checkpoints.restore()
    progress.step = 11
    checkpoints.save(progress)
    assert checkpoints.steps() == [10, 11]
    assert checkpoints.best_step() == 10


def test_a_failed_write_leaves_the_earlier_ones(tmp_path, monkeypatch):
    checkpoints = make_folder(tmp_path)
    save(checkpoints, 1, best=1.0, best_step=1)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("myxtts.presets.variables.save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save(checkpoints, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"step-00000001", "best.json"}
    assert checkpoints.restore().step == 1


def test_an_unusable_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot write .*step-00000001"):
        save(make_folder(tmp_path / "file"), 1)


def test_another_configuration_is_never_passed_over(tmp_path):
    checkpoints = make_folder(tmp_path)
    save(checkpoints, 1)
    save(checkpoints, 2)
    checkpoints.task.variables = [keras.Variable(np.zeros(4), name="kernel")]
    with pytest.raises(CheckpointError, match=r"\(3,\).*\(4,\).*another configuration"):
        checkpoints.restore()


def test_a_damaged_pointer_means_no_best(tmp_path):
    checkpoints = make_folder(tmp_path)
    save(checkpoints, 1, best=1.0, best_step=1)
    (tmp_path / "best.json").write_text("{")
    assert checkpoints.best_step() is None
    save(checkpoints, 2, best=1.0, best_step=1)
    assert checkpoints.best_step() == 1
