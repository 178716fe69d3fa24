"""Whatever moment a process dies at, what it leaves ends as what an unbroken run leaves."""

import dataclasses
import hashlib
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from myxtts import files
from myxtts.digests import hashed_beside
from myxtts.errors import CheckpointError
from myxtts.files import replacing_folder, write_whole
from myxtts.presets.finding import find_preset
from myxtts.presets.record import Record, read_record
from myxtts.training.checkpoints import CheckpointFolder, Progress
from myxtts.training.logs import read_history
from tests.training.test_trainer import final_state, make_trainer, settings

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")

STEPS, KEEP = 4, 2
# Validation metric of each step: the best is neither the first nor the last.
METRICS = (None, 5.0, 2.0, 7.0, 8.0)
CALLS = ("rename", "replace", "unlink", "remove", "rmdir", "mkdir")


class Number:
    """A variable that starts no thread, so that its process can be forked."""

    def __init__(self):
        self.value = np.zeros(20, "float32")
        self.shape = self.value.shape

    def assign(self, value):
        self.value = np.array(value)

    def __array__(self, dtype=None, copy=None):
        return self.value


def toy_run(folder: Path) -> None:
    """A stage as the trainer drives it: one number that goes up, and its history."""
    files.sweep(folder)
    task = SimpleNamespace(variables=[Number()], optimizers=[SimpleNamespace(variables=[Number()])])
    kept = CheckpointFolder(folder / "gpt", task, KEEP)
    progress = kept.restore() or Progress()
    history = kept.history or []
    while progress.step < STEPS:
        progress.step += 1
        for variable in (*task.variables, *task.optimizers[0].variables):
            variable.assign(variable.value * 0.5 + progress.step)
        metric = METRICS[progress.step]
        history = [*history, {"stage": "gpt", "kind": "train", "step": progress.step, "x": metric}]
        if progress.best is None or metric < progress.best:
            progress.best, progress.best_step = metric, progress.step
        kept.save(progress, history)
    write_whole(folder / "history.json", json.dumps(history))
    write_whole(folder / "best.txt", str(kept.load_best()))


def in_a_process(work, *arguments, die_at: int | None = None) -> int:
    """Run in a fork that ends, as if killed, before the given call of the file system."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = 0

    def counted(call):
        def calling(*arguments, **options):
            nonlocal count
            count += 1
            if count == die_at:
                os._exit(77)
            return call(*arguments, **options)

        return calling

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    try:
        work(*arguments)
        os._exit(0)
    except BaseException:
        os._exit(5)


def content(folder: Path) -> dict[str, str]:
    """Hash of every file, whatever it is called."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_moment_of_death_ends_in_the_same_bytes(tmp_path):
    assert in_a_process(toy_run, tmp_path / "whole") == 0
    whole = content(tmp_path / "whole")
    assert (tmp_path / "whole" / "best.txt").read_text() == "2"
    assert {name.split("/")[1] for name in whole if "/" in name} == {
        "best.json",
        "step-00000002",
        "step-00000003",
        "step-00000004",
    }
    moment, different = 0, []
    while True:
        moment += 1
        folder = tmp_path / f"died-{moment}"
        code = in_a_process(toy_run, folder, die_at=moment)
        assert code in (0, 77)
        if code == 0:
            break
        assert in_a_process(toy_run, folder) == 0, moment
        if content(folder) != whole:
            different.append(moment)
    assert moment > 40
    assert different == []


def test_killed_right_after_the_last_checkpoint_the_best_weights_are_taken(tmp_path, monkeypatch):
    """What used to end with older weights: the checkpoint is there, best.json is not yet."""
    task = SimpleNamespace(variables=[Number()], optimizers=[])
    kept = CheckpointFolder(tmp_path / "gpt", task, KEEP)
    task.variables[0].assign(np.full(20, 5.0, "float32"))
    kept.save(Progress(5, 1.0, 5))
    task.variables[0].assign(np.full(20, 10.0, "float32"))
    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(CheckpointFolder, "_tidy", _die)
        kept.save(Progress(10, 0.5, 10))
    fresh = SimpleNamespace(variables=[Number()], optimizers=[])
    again = CheckpointFolder(tmp_path / "gpt", fresh, KEEP)
    assert again.restore().step == 10
    assert again.load_best() == 10
    assert fresh.variables[0].value.tolist() == [10.0] * 20


def _die(*arguments):
    raise InterruptedError


def test_a_damaged_best_is_said_and_the_last_weights_stay(tmp_path, caplog):
    task = SimpleNamespace(variables=[Number()], optimizers=[])
    kept = CheckpointFolder(tmp_path / "gpt", task, KEEP)
    for step, best in ((1, 1), (2, 1)):
        task.variables[0].assign(np.full(20, step, "float32"))
        kept.save(Progress(step, 1.0, best))
    path = tmp_path / "gpt" / "step-00000001" / "task.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    kept.restore()
    assert kept.load_best() is None
    assert task.variables[0].value.tolist() == [2.0] * 20
    assert "the weights of the last step stay" in caplog.text


def short(**changes):
    """Settings of a toy training of twenty steps."""
    gpt = {"steps": 20, "learning_rate": 1e-2, "warmup_steps": 5}
    return settings(gpt=gpt, **changes)


class Killed(BaseException):
    """Stands for the end of the process."""


def test_history_is_that_of_an_unbroken_run(tmp_path, monkeypatch):
    config = short(validate_every=10, checkpoint_every=5)
    resumed = dataclasses.replace(config, resume=True)
    make_trainer(tmp_path / "whole", config).run()
    broken = make_trainer(tmp_path / "broken", config)
    flush = type(broken.checkpoints).save

    def save_and_die(self, progress, *arguments):
        flush(self, progress, *arguments)
        if progress.step == 10:
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(CheckpointFolder, "save", save_and_die)
        broken.run()
    make_trainer(tmp_path / "broken", resumed).run()
    assert read_history(tmp_path / "broken") == read_history(tmp_path / "whole")
    # The file may even be gone: checkpoints hold the history of their stage.
    (tmp_path / "broken" / "history.json").write_text("[{")
    make_trainer(tmp_path / "broken", resumed).run()
    assert read_history(tmp_path / "broken") == read_history(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_adds_no_record_and_no_checkpoint(tmp_path, number):
    config = short(validate_every=10, checkpoint_every=10)
    whole = make_trainer(tmp_path / "whole", config)
    whole.run()
    stopped = make_trainer(tmp_path / "stopped", config)
    after_step = stopped._after_step

    def interrupted(numbers, bar):
        if stopped.progress.step == 13:
            os.kill(os.getpid(), number)
        after_step(numbers, bar)

    stopped._after_step = interrupted
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert stopped.checkpoints.steps()[-1] in (13, 14)
    again = make_trainer(tmp_path / "stopped", dataclasses.replace(config, resume=True))
    again.run()
    assert read_history(tmp_path / "stopped") == read_history(tmp_path / "whole")
    assert again.checkpoints.steps() == whole.checkpoints.steps()
    for ours, theirs in zip(final_state(again), final_state(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def a_preset(folder: Path, steps: int) -> None:
    with replacing_folder(folder) as fresh:
        Record("toy", trained_steps={"gpt": steps}).write(fresh)


@pytest.mark.parametrize("name", [".preset.old", ".preset.1f2e-0123abcd.old"])
def test_a_broken_exchange_is_undone_by_whoever_reads(tmp_path, name, caplog):
    a_preset(tmp_path / "preset", 1)
    (tmp_path / "preset").rename(tmp_path / name)
    (tmp_path / ".preset.1f2e-0123abcd.new").mkdir()
    assert find_preset(tmp_path) == tmp_path / "preset"
    assert read_record(tmp_path / "preset", "toy").trained_steps == {"gpt": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]
    assert "broken off" in caplog.text


def test_an_exchange_killed_at_any_moment_leaves_one_of_the_two(tmp_path):
    moment, code = 0, 77
    while code == 77:
        moment += 1
        folder = tmp_path / str(moment) / "preset"
        a_preset(folder, 1)
        code = in_a_process(a_preset, folder, 2, die_at=moment)
        # Read under its own name, as by somebody who speaks with it.
        steps = read_record(folder, "toy").trained_steps["gpt"]
        assert steps in ((1, 2) if code == 77 else (2,))
        files.mend_folder(folder)
        assert [path.name for path in folder.parent.iterdir()] == ["preset"]
    assert moment > 4


def test_two_writers_of_one_folder_mix_nothing_and_fail_nowhere(tmp_path):
    def write(mark: str) -> None:
        for _ in range(40):
            with replacing_folder(tmp_path / "folder", durable=False) as fresh:
                for name in "abc":
                    (fresh / name).write_text(mark)

    children = []
    for mark in ("one", "two"):
        child = os.fork()
        if not child:
            try:
                write(mark)
                os._exit(0)
            except BaseException:
                os._exit(5)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0]
    assert len({path.read_text() for path in (tmp_path / "folder").iterdir()}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_and_the_hash_beside_it_never_disagree(tmp_path):
    def write(text: str) -> None:
        with hashed_beside(tmp_path / "words"):
            write_whole(tmp_path / "words", text)

    write("old")
    for moment in range(1, 6):
        code = in_a_process(write, "new", die_at=moment)
        beside = tmp_path / "words.sha256"
        if beside.is_file():
            right = hashlib.sha256((tmp_path / "words").read_bytes()).hexdigest()
            assert beside.read_text()[:64] == right
        assert code in (0, 77)
        write("old")


def test_bytes_are_on_the_disk_before_the_name_that_counts(tmp_path, monkeypatch):
    done = []
    sync, rename = os.fsync, os.rename

    def syncing(handle):
        done.append(("sync", str(Path(f"/proc/self/fd/{handle}").readlink())))
        sync(handle)

    def renaming(source, target, **options):
        done.append(("rename", str(target)))
        rename(source, target, **options)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files have no names here")
    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "rename", renaming)
    a_preset(tmp_path / "preset", 1)
    (place,) = (n for n, item in enumerate(done) if item == ("rename", str(tmp_path / "preset")))
    before = {Path(name).name for _, name in done[:place]}
    assert "manifest.json" in before
    assert any(name.endswith(".new") for name in before)
    assert done[place + 1] == ("sync", str(tmp_path))


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    a_preset(tmp_path / "preset", 1)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"cannot write .*preset: No space left on device"):
        a_preset(tmp_path / "preset", 2)
    with pytest.raises(CheckpointError, match=r"cannot write .*words: No space left on device"):
        write_whole(tmp_path / "words", "hello")
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]
    assert read_record(tmp_path / "preset", "toy").trained_steps == {"gpt": 1}
