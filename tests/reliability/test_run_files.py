"""A run's history and vocabulary are known by their hashes, a preset's vocabulary too."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from myxtts.config import XTTSConfig
from myxtts.errors import CheckpointError
from myxtts.files import write_whole
from myxtts.inference.checks import check_text
from myxtts.models.xtts import XTTS
from myxtts.presets.folder import save
from myxtts.presets.record import Record
from myxtts.settings import to_dict
from myxtts.text.tokenizer import VoiceBpeTokenizer, train_tokenizer
from myxtts.training.checkpoints import Progress, kept_history
from myxtts.training.logs import RunLog, read_history
from myxtts.training.stages.xtts import choose_tokenizer
from tests.reliability.test_integrity import checkpoints, flips


def records(stage: str, steps: int) -> list[dict]:
    return [
        {"stage": stage, "kind": "train", "step": n, "loss": 1 / n} for n in range(1, 1 + steps)
    ]


STAGES = ("gpt", "dvae", "decoder")


@pytest.fixture
def run_dir(tmp_path) -> Path:
    """A run of three stages, with checkpoints and a history that their records are in."""
    for second, stage in enumerate(STAGES):
        folder = tmp_path / "checkpoints" / stage
        for step in (1, 2):
            checkpoints(folder).save(Progress(step), records(stage, step))
            os.utime(folder / f"step-0000000{step}" / "state.json", (second, second))
        log = RunLog(tmp_path, stage)
        log.records += records(stage, 2)
        log.flush()
    return tmp_path


RIGHT = [record for stage in STAGES for record in records(stage, 2)]


def test_an_unchanged_history_is_read_without_a_word(run_dir, caplog):
    assert read_history(run_dir) == RIGHT
    assert caplog.text == ""
    assert (run_dir / "history.json.sha256").read_text().endswith("  history.json\n")


def test_no_changed_bit_changes_a_history(run_dir, caplog):
    path = run_dir / "history.json"
    for content in flips(path.read_bytes(), 60):
        path.write_bytes(content)
        caplog.clear()
        assert read_history(run_dir) == RIGHT
        assert "history.json is damaged or was changed" in caplog.text
        assert "remove that file if the change is meant" in caplog.text
        assert "taken from the checkpoints" in caplog.text


@pytest.mark.parametrize("content", ["[]\n", json.dumps(RIGHT[:-1]), json.dumps(RIGHT), "[" * 9999])
def test_a_resumed_stage_mends_another_history(run_dir, caplog, content):
    whole = (run_dir / "history.json").read_bytes()
    (run_dir / "history.json").write_text(content)
    RunLog(run_dir, "decoder", 2, records("decoder", 2)).flush()
    assert "taken from the checkpoints" in caplog.text
    assert (run_dir / "history.json").read_bytes() == whole
    caplog.clear()
    assert read_history(run_dir) == RIGHT
    assert caplog.text == ""


def test_a_history_that_is_gone_comes_back(run_dir):
    (run_dir / "history.json").unlink()
    RunLog(run_dir, "decoder", 2, records("decoder", 2)).flush()
    assert read_history(run_dir) == RIGHT


def test_a_damaged_checkpoint_brings_no_history(run_dir):
    path = run_dir / "checkpoints" / "dvae" / "step-00000002" / "state.json"
    path.write_text(path.read_text().replace("0.5", "0.6"))
    found = [record["step"] for record in kept_history(run_dir) if record["stage"] == "dvae"]
    assert found == [1]


def test_a_history_of_before_is_read_and_named(run_dir, caplog):
    (run_dir / "history.json.sha256").unlink()
    assert read_history(run_dir) == RIGHT
    assert "history.json carries no hash" in caplog.text


def test_an_edited_history_is_read_without_its_hash(run_dir):
    write_whole(run_dir / "history.json", json.dumps(RIGHT[:2]))
    (run_dir / "history.json.sha256").unlink()
    assert read_history(run_dir) == RIGHT[:2]


def test_an_error_of_the_disk_does_not_begin_a_history_anew(run_dir, monkeypatch):
    read = Path.read_text

    def failing(self, *arguments, **options):
        if self.name == "history.json":
            raise OSError(5, "Input/output error")
        return read(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", failing)
    with pytest.raises(CheckpointError, match=r"cannot read .*history\.json: Input/output error"):
        read_history(run_dir)


WORDS = [("the old clock strikes nine", "en"), ("the clock is old", "en")]


@pytest.fixture(scope="module")
def vocabulary() -> VoiceBpeTokenizer:
    return train_tokenizer(WORDS, 300)


@pytest.fixture
def preset(tmp_path, vocabulary) -> Path:
    writers = {"tokenizer.json": vocabulary.save}
    save(tmp_path / "preset", Record(), to_dict(XTTSConfig()), {}, writers)
    return tmp_path / "preset"


def merge_removed(path: Path) -> None:
    """A vocabulary that reads as well, and gives other ids."""
    content = json.loads(path.read_text())
    content["model"]["merges"].pop(0)
    path.write_text(json.dumps(content))


def choose(tmp_path: Path, named: Path | None = None):
    data = {} if named is None else {"data": {"tokenizer": str(named)}}
    config = XTTSConfig().merged(data)
    return choose_tokenizer(config, tmp_path, None, [])


def test_another_vocabulary_in_a_preset_is_refused_by_whoever_reads_it(preset, tmp_path):
    check_text(preset, "the clock", "en")
    assert choose(tmp_path, preset / "tokenizer.json").vocab_size <= 300
    merge_removed(preset / "tokenizer.json")
    readers = (
        lambda: check_text(preset, "the clock", "en"),
        lambda: XTTS.from_preset(preset),
        lambda: choose(tmp_path, preset / "tokenizer.json"),
    )
    for read in readers:
        with pytest.raises(CheckpointError, match=r"tokenizer\.json is damaged or of another"):
            read()


def test_another_vocabulary_of_a_run_is_refused_by_whoever_reads_it(tmp_path, preset):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    choose(run_dir, preset / "tokenizer.json")
    assert (run_dir / "tokenizer.json.sha256").is_file()
    merge_removed(run_dir / "tokenizer.json")
    for read in (partial(choose, run_dir), partial(choose, tmp_path, run_dir / "tokenizer.json")):
        with pytest.raises(CheckpointError, match=r"tokenizer\.json is damaged or was changed"):
            read()


def test_anybodys_vocabulary_is_read_without_a_word(tmp_path, vocabulary, caplog):
    vocabulary.save(tmp_path / "vocab.json")
    assert choose(tmp_path, tmp_path / "vocab.json").vocabulary == vocabulary.vocabulary
    assert caplog.text == ""


def test_vocabularies_of_before_are_read_and_named(tmp_path, preset, caplog):
    manifest = json.loads((preset / "manifest.json").read_text())
    del manifest["seal"], manifest["files"]
    (preset / "manifest.json").write_text(json.dumps(manifest))
    choose(tmp_path, preset / "tokenizer.json")
    assert "manifest.json carries no hash" in caplog.text
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(preset / "tokenizer.json", old)
    choose(old)
    assert "old/tokenizer.json carries no hash" in caplog.text
