"""A limit that TensorFlow would end the process by is a sentence before it is imported."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from myxtts.errors import ConfigError
from myxtts.limits import LEAST_ADDRESS_SPACE, require_address_space

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "train_main.py": [],
    "tools/speaker_encoder/train_encoder.py": [],
    "tools/sv2tts/vocoder_train.py": ["run", "."],
    "tools/sv2tts/hifigan_train.py": ["run", "."],
}


def limited(monkeypatch, value):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (value, resource.RLIM_INFINITY))


@pytest.mark.parametrize("value", [resource.RLIM_INFINITY, LEAST_ADDRESS_SPACE, 2**40])
def test_room_enough_is_let_through(monkeypatch, value):
    limited(monkeypatch, value)
    require_address_space()


def test_too_little_is_named_with_its_limit(monkeypatch):
    limited(monkeypatch, int(1.2 * 2**30))
    with pytest.raises(ConfigError, match=r"limited to 1\.2 GiB \(RLIMIT_AS.*below 4 GiB"):
        require_address_space()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_says_it_in_a_process_of_its_own(program, tmp_path):
    call = [sys.executable, str(ROOT / program), *PROGRAMS[program]]
    code = (
        "import resource, os, sys; resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30,) * 2); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *call], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.count(": error: ") == 1 and "limited to 2.0 GiB" in done.stderr
