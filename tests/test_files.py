"""Files and folders appear whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from myxtts.errors import CheckpointError, DataError
from myxtts.files import (
    cache_folder,
    locked,
    replacing,
    replacing_folder,
    writable_folder,
    write_whole,
)


def half_written(path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError(28, "No space left on device")


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    with pytest.raises(DataError, match="No space left"), replacing(tmp_path / "a", DataError) as f:
        half_written(f)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path):
    write_whole(tmp_path / "a.txt", "old")
    with pytest.raises(CheckpointError), replacing(tmp_path / "a.txt") as fresh:
        half_written(fresh)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_text_and_bytes_are_written_in_folders_that_are_made(tmp_path):
    write_whole(tmp_path / "new" / "text", "é")
    write_whole(tmp_path / "new" / "bytes", b"\xff")
    assert (tmp_path / "new" / "text").read_bytes() == "é".encode()
    assert (tmp_path / "new" / "bytes").read_bytes() == b"\xff"


def test_a_file_in_a_folders_place_is_named(tmp_path):
    write_whole(tmp_path / "file", "in the way")
    with pytest.raises(CheckpointError, match=r"cannot write .*below.*: .*file is a file\."):
        write_whole(tmp_path / "file" / "below", "")
    with pytest.raises(CheckpointError, match="cannot write to the folder"):
        writable_folder(tmp_path / "file")


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for name in ("first", "second"):
        with replacing_folder(tmp_path / "folder") as fresh:
            write_whole(fresh / name, name)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_fails_keeps_the_old_one(tmp_path):
    with replacing_folder(tmp_path / "folder") as fresh:
        write_whole(fresh / "old", "old")
    with pytest.raises(CheckpointError), replacing_folder(tmp_path / "folder") as fresh:
        half_written(fresh / "new")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_is_locked_for_other_processes_until_the_end(tmp_path):
    code = (
        "import sys; from myxtts.files import locked;"
        "from contextlib import ExitStack; ExitStack().enter_context(locked(sys.argv[1]))"
    )

    def asked() -> subprocess.CompletedProcess:
        root = Path(__file__).resolve().parents[1]
        command = [sys.executable, "-c", code, str(tmp_path)]
        return subprocess.run(command, cwd=root, capture_output=True, text=True)

    with locked(tmp_path):
        assert "is in use by another process" in asked().stderr
    assert asked().returncode == 0


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MYXTTS_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "myxtts"
