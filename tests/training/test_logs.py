"""History and TensorBoard tell every step once."""

import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from myxtts.errors import CheckpointError
from myxtts.plots import draw_matrix
from myxtts.training.logs import RunLog, read_history


def logged(run_dir, stage: str, steps, start: int = 0) -> RunLog:
    log = RunLog(run_dir, stage, start)
    for step in steps:
        log.numbers(step, {"loss": 1.0 / (1 + step)}, "train")
    log.flush()
    return log


def steps_of(run_dir, stage: str) -> list[int]:
    return [record["step"] for record in read_history(run_dir) if record["stage"] == stage]


def test_history_goes_on_without_gap_or_repetition(tmp_path):
    logged(tmp_path, "dvae", range(4))
    logged(tmp_path, "gpt", range(10))
    logged(tmp_path, "gpt", range(6, 12), start=5)
    assert steps_of(tmp_path, "gpt") == list(range(12))
    assert steps_of(tmp_path, "dvae") == list(range(4))


def test_a_stage_begun_anew_forgets_its_own_records_only(tmp_path):
    logged(tmp_path, "dvae", range(4))
    logged(tmp_path, "gpt", range(3))
    logged(tmp_path, "gpt", range(2), start=0)
    assert steps_of(tmp_path, "gpt") == [0, 1]
    assert steps_of(tmp_path, "dvae") == list(range(4))


def test_history_is_plain_json(tmp_path):
    logged(tmp_path, "gpt", [10])
    (record,) = json.loads((tmp_path / "history.json").read_text())
    assert record == {"stage": "gpt", "kind": "train", "step": 10, "loss": 1 / 11}


@pytest.mark.parametrize("text", ["[{", "[1, 2]", '{"a": 1}', "3"])
def test_a_damaged_history_begins_anew_with_a_warning(tmp_path, caplog, text):
    (tmp_path / "history.json").write_text(text)
    logged(tmp_path, "gpt", [1])
    assert steps_of(tmp_path, "gpt") == [1]
    assert "damaged" in caplog.text


def test_numbers_pictures_and_sounds_reach_tensorboard(tmp_path):
    log = logged(tmp_path, "gpt", [5])
    log.pictures(5, {"mel/target": np.random.default_rng(0).normal(size=(40, 80))})
    log.sounds(5, {"predicted": (22_050, np.sin(np.arange(2205) / 10))})
    log.flush()
    events = EventAccumulator(str(tmp_path / "tensorboard" / "gpt")).Reload()
    assert {"tensors"} <= events.Tags().keys()
    assert set(events.Tags()["tensors"]) == {"gpt/train/loss", "gpt/mel/target", "gpt/predicted"}


def test_an_unusable_folder_is_one_sentence(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot write logs"):
        RunLog(tmp_path, "gpt")


def test_a_full_disk_is_one_sentence_and_keeps_the_old_history(tmp_path, monkeypatch):
    log = logged(tmp_path, "gpt", [1])
    log.numbers(2, {"loss": 1.0}, "train")

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        log.flush()
    assert steps_of(tmp_path, "gpt") == [1]


def test_a_picture_shows_low_channels_below():
    matrix = np.zeros((50, 80))
    matrix[:, :10] = 1.0
    picture = draw_matrix(matrix)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    # Of matplotlib's default colours, yellow is the highest.
    column = picture[:, picture.shape[1] // 3].astype(int)
    yellow = np.flatnonzero((column[:, 0] > 200) & (column[:, 2] < 80))
    assert yellow.min() > picture.shape[0] / 2


def test_records_without_a_whole_step_are_left_out(tmp_path):
    good = {"stage": "gpt", "kind": "train", "step": 3}
    bad = [{**good, "step": step} for step in ("3", None, 2.5, [3])]
    (tmp_path / "history.json").write_text(json.dumps([good, *bad]))
    assert RunLog(tmp_path, "gpt", 5).own() == [good]
