"""Two programs in one folder: the second is refused and told of the first; the dead are not."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from myxtts.config import XTTSConfig
from myxtts.errors import CheckpointError, DataError
from myxtts.locks import HOLDER, _this_process, locked
from myxtts.training.run import train

ROOT = Path(__file__).resolve().parents[2]
HOLD = (
    "import sys, time; from myxtts.locks import locked\n"
    "with locked(sys.argv[1]): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def first(tmp_path):
    """Another process that holds the folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_sentence_names_who_has_the_folder(first, tmp_path):
    with pytest.raises(DataError) as caught, locked(tmp_path, DataError):
        pass
    told = str(caught.value)
    for part in (str(tmp_path), f"process {first.pid}", socket.gethostname(), "since 20"):
        assert part in told
    assert "\n" not in told


def test_a_second_training_is_refused_before_it_does_anything(first, tmp_path):
    changes = {"data": {"train_data": "nowhere"}, "training": {"output_dir": str(tmp_path)}}
    with pytest.raises(CheckpointError, match=f"in use by another process: process {first.pid} "):
        train(XTTSConfig().merged(changes))
    assert [path.name for path in tmp_path.iterdir()] == [HOLDER]


def test_readers_need_no_lock(first, tmp_path):
    (tmp_path / "words").write_text("hello")
    assert (tmp_path / "words").read_text() == "hello"
    assert json.loads((tmp_path / HOLDER).read_text())["pid"] == first.pid


def test_a_killed_holder_is_taken_over_from(first, tmp_path, caplog):
    first.kill()
    first.wait()
    assert (tmp_path / HOLDER).is_file()
    with locked(tmp_path):
        assert json.loads((tmp_path / HOLDER).read_text())["pid"] == os.getpid()
    assert f"taking over from process {first.pid}" in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_note_of_the_holder_stops_nobody(tmp_path, content):
    (tmp_path / HOLDER).write_text(content)
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_locks(monkeypatch):
    """A file system that knows no locks: the note of the holder decides."""

    def unknown(handle, operation):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unknown)


def note(folder: Path, **changes) -> None:
    (folder / HOLDER).write_text(json.dumps(_this_process() | changes))


def test_without_locks_a_living_holder_is_respected(no_locks, tmp_path):
    note(tmp_path)
    with pytest.raises(CheckpointError, match=f"process {os.getpid()} on "), locked(tmp_path):
        pass
    note(tmp_path, host="another-machine")
    with pytest.raises(CheckpointError, match="on another-machine"), locked(tmp_path):
        pass


def test_without_locks_a_dead_holder_is_taken_over_from(no_locks, tmp_path, caplog):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    note(tmp_path, pid=gone.pid, started="1")
    with locked(tmp_path):
        pass
    assert f"taking over from process {gone.pid}" in caplog.text


def test_without_locks_a_number_that_was_given_again_is_no_holder(no_locks, tmp_path):
    if not Path("/proc/self/stat").exists():
        pytest.skip("the system does not say when a process began")
    note(tmp_path, started="1")
    with locked(tmp_path):
        pass


def preparations(folder):
    """Programs that write into a folder step by step."""
    from myxtts.data.rtvc_encoder import preprocess_encoder
    from myxtts.data.rtvc_synthesizer import preprocess_synthesizer

    (folder / "LibriSpeech" / "clean" / "1").mkdir(parents=True)
    out = folder / "out"
    return {
        "encoder": lambda: preprocess_encoder(folder, out),
        "synthesizer": lambda: preprocess_synthesizer(folder, out, subfolders=("clean",)),
    }


@pytest.mark.parametrize("name", ["encoder", "synthesizer"])
def test_a_second_preparation_of_one_folder_is_refused(tmp_path, name):
    prepare = preparations(tmp_path)[name]
    (tmp_path / "out").mkdir()
    with (
        locked(tmp_path / "out"),
        pytest.raises(DataError, match=f"in use by another process: process {os.getpid()} on"),
    ):
        prepare()


def test_a_second_training_of_one_kokoro_voice_is_refused(tmp_path):
    pytest.importorskip("torch", reason="the programs for Kokoro need torch")
    from tools.kokoro_voice.optimizer import VoiceGradientOptimizer
    from tools.styletts2_kokoro.voice_training import VoiceTrainer

    (tmp_path / "mine").mkdir()
    told = f"mine is in use by another process: process {os.getpid()} on"
    with locked(tmp_path / "mine"):
        with pytest.raises(CheckpointError, match=told):
            VoiceTrainer.train(None, tmp_path, tmp_path, "mine", False)
        with pytest.raises(CheckpointError, match=told):
            VoiceGradientOptimizer.optimize(None, tmp_path / "a.wav", tmp_path / "mine")
