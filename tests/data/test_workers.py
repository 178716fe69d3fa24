"""Processes that make crops: the same as threads, and gone when nobody wants them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from myxtts.data import speaker_batches
from myxtts.data.speaker_batches import training_batches
from myxtts.data.speaker_crops import CropMaker
from myxtts.data.speakers import Recording, SpeakerCorpus
from myxtts.data.workers import Workers
from myxtts.errors import DataError
from myxtts.speaker_config import SpeakerDataConfig

RATE, ROOT = 16_000, Path(__file__).resolve().parents[2]


def write_noise(path: Path, seconds: float, seed: int) -> Path:
    samples = 0.1 * np.random.default_rng(seed).normal(size=int(seconds * RATE))
    soundfile.write(path, samples, RATE)
    return path


@pytest.fixture
def corpus(tmp_path) -> SpeakerCorpus:
    paths = [write_noise(tmp_path / f"{seed}.wav", 1.5, seed) for seed in range(4)]
    items = [Recording(path, f"s{place % 2}", 1.5) for place, path in enumerate(paths)]
    return SpeakerCorpus(items, (1.0, 0.9))


@pytest.fixture
def data(tmp_path) -> SpeakerDataConfig:
    (tmp_path / "noise").mkdir()
    write_noise(tmp_path / "noise" / "n.wav", 2.0, 9)
    noisy = {"noise_paths": [str(tmp_path / "noise")], "probability": 1.0}
    return SpeakerDataConfig().merged({"crop_seconds": [0.5, 0.9], "augmentation": noisy})


@pytest.fixture
def workers(corpus, data):
    made = Workers(CropMaker(corpus, data, 2), 2)
    yield made
    made.close()


def test_processes_make_what_threads_make_and_a_killed_one_is_told(
    corpus, data, workers, monkeypatch
):
    monkeypatch.setattr(speaker_batches, "Workers", lambda work, processes: workers)
    threads = training_batches(corpus, data, 3)
    monkeypatch.setattr(speaker_batches, "FEW_S", 0.0)
    processes = training_batches(corpus, data, 3)
    for step in (0, 7):
        ours, theirs = (build(np.array([5, 0, 3]), step) for build in (processes, threads))
        for name in theirs:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    alive = list(workers._pool._processes)
    assert len(alive) == 2
    os.kill(alive[0], signal.SIGKILL)
    with pytest.raises(DataError, match=r"was killed.*add --resume"):
        for step in range(100):
            processes(np.array([0, 1]), step)


# What starts them sees to it that Ctrl-C reaches them while they still import.
PARENT = """
import os, signal, threading, time
if __name__ == "__mp_main__":
    time.sleep(0.3)
from myxtts.data.workers import Workers
def interrupt():
    while len(workers._pool._processes) < 2:
        time.sleep(0.01)
    for _ in range(5):
        time.sleep(0.05)
        for child in list(workers._pool._processes):
            os.kill(child, signal.SIGINT)
if __name__ == "__main__":
    workers = Workers(abs, 2)
    threading.Thread(target=interrupt).start()
    assert workers.map([-1, -2, 3]) == [1, 2, 3]
    print(*workers._pool._processes, flush=True)
    time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_workers_end_with_a_parent_that_is_killed_and_not_by_control_c(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        children = [int(word) for word in parent.stdout.readline().split()]
        assert len(children) == 2
        for child in children:
            os.kill(child, signal.SIGINT)
        time.sleep(0.2)
        assert all(map(is_alive, children))
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 30
    while any(map(is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, children))
