"""What is written is readable as the umask says, presets included."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from myxtts.files import replacing_folder, write_whole
from myxtts.inference.voice import Voice
from myxtts.presets.folder import save
from myxtts.presets.record import Record
from myxtts.presets.variables import save_variables


@pytest.fixture(params=[0o022, 0o027, 0o077, 0o002])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="there is no umask")
def test_everything_is_readable_as_the_umask_says(umask, tmp_path):
    kernel = np.ones(3, "float32")
    save(tmp_path / "preset", Record("toy"), {"a": 1}, {"toy.safetensors": {"kernel": kernel}})
    Voice(np.ones((1, 2, 3), "float32"), np.ones((1, 3), "float32")).save(
        tmp_path / "v.safetensors"
    )
    save_variables(tmp_path / "weights.safetensors", {"kernel": kernel})
    write_whole(tmp_path / "text", "hello")
    with replacing_folder(tmp_path / "folder") as fresh:
        (fresh / "inside").write_text("hello")
    paths = list(tmp_path.rglob("*"))
    assert len(paths) >= 9
    for path in paths:
        full = 0o777 if path.is_dir() else 0o666
        assert mode(path) == full & ~umask, path


@pytest.mark.skipif(os.name == "nt", reason="there is no umask")
def test_a_file_written_again_is_still_readable(umask, tmp_path):
    write_whole(tmp_path / "text", "hello")
    (tmp_path / "text").chmod(0o600)
    write_whole(tmp_path / "text", "again")
    assert mode(tmp_path / "text") == 0o666 & ~umask
