"""TensorFlow's C library runs a SavedModel, here and in a process of its own."""

import importlib.machinery
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from myxtts.errors import CheckpointError, MyXTTSError
from myxtts.serving.check import c_library
from myxtts.serving.check import session as c_session
from myxtts.serving.check.c_library import LibraryError, library_paths
from myxtts.serving.check.process import ABORTED, SeparateSession
from myxtts.serving.check.session import INVALID_ARGUMENT, CSession, SessionError
from tests.serving.small_exports import TEXT, speak, write_export

TEXTS = np.array([["", "ü\n", b"\0\xff\0"], ["z" * 100, b"", "\0"]], object)
REQUEST = {"text": np.array(["abc"], object), "language": np.array(["en"], object)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    echo = (lambda texts: {"again": texts}, {"texts": tf.TensorSpec((None, None), "string")})
    functions = {"serving_default": (speak, TEXT), "echo": echo}
    return write_export(tmp_path_factory.mktemp("export") / "1", functions)


@pytest.fixture(scope="module")
def session(folder):
    with SeparateSession(folder) as session:
        yield session


def test_numbers_and_strings_of_any_content_come_through(session):
    encoded = [[item if isinstance(item, bytes) else item.encode() for item in row]
               for row in TEXTS]  # fmt: skip
    assert session.run("echo", {"texts": TEXTS})["again"].tolist() == encoded
    found = session.run("serving_default", REQUEST)
    assert (found["samples"].tolist(), found["waveform"].dtype) == ([300], np.float32)
    np.testing.assert_allclose(found["waveform"], speak(**REQUEST)["waveform"], atol=1e-5)


@pytest.mark.parametrize(
    ("signature", "inputs", "sentence"),
    [
        ("serving_default", REQUEST | {"text": np.array([""], object)}, "no such text"),
        ("serving_default", {"text": REQUEST["text"]}, "does not match signature: ..language"),
        ("sing", REQUEST, '"sing" not found'),
    ],
)
def test_a_refusal_is_an_invalid_argument(session, signature, inputs, sentence):
    with pytest.raises(SessionError, match=sentence) as refusal:
        session.run(signature, inputs)
    assert refusal.value.code == INVALID_ARGUMENT
    assert session.run("serving_default", REQUEST)["samples"] == [300]


def test_requests_at_once_are_all_answered(session):
    replies = session.run_at_once("serving_default", REQUEST, 8)
    assert [reply["samples"].tolist() for reply in replies] == [[300]] * 8
    assert session.resident > 1 << 20


def test_a_process_that_ended_is_told_and_loads_again(folder):
    with SeparateSession(folder) as session:
        os.kill(session._process.pid, signal.SIGSTOP)
        os.kill(session._process.pid, signal.SIGKILL)
        with pytest.raises(SessionError, match="ended with status -9") as told:
            session._exchange(("serving_default", REQUEST, 1))
        assert told.value.code == ABORTED
        assert session.run("serving_default", REQUEST)["samples"] == [300]


def test_a_model_that_the_library_cannot_load_is_a_session_error(folder, tmp_path):
    extra = tmp_path / "assets.extra"
    extra.mkdir()
    content = (folder / "assets.extra" / "signatures.json").read_bytes()
    (extra / "signatures.json").write_bytes(content)
    with pytest.raises(SessionError, match="Could not find SavedModel"):
        SeparateSession(tmp_path)


def test_a_folder_that_is_no_export_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=f"{tmp_path} is no exported model"):
        CSession(tmp_path)


def test_a_wheel_without_the_library_is_one_clear_sentence(monkeypatch, tmp_path):
    wheel = importlib.machinery.ModuleSpec("tensorflow", None, is_package=True)
    wheel.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(c_library.importlib.util, "find_spec", lambda name: wheel)
    with pytest.raises(LibraryError, match="has no C library .*libtensorflow_framework"):
        library_paths()
    for path in c_library.LIBRARIES.get(sys.platform, c_library.LIBRARIES["linux"]):
        (tmp_path / path).write_bytes(b"no library")
    with pytest.raises(LibraryError, match="cannot use TensorFlow's C library"):
        c_library.open_library()
    assert issubclass(LibraryError, MyXTTSError)


def test_without_tensorflow_the_library_is_said_to_be_in_its_wheel(monkeypatch):
    monkeypatch.setattr(c_library.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LibraryError, match="TensorFlow is not installed"):
        library_paths()


@pytest.mark.parametrize("program", [["-m", "myxtts.serving.check.session"], [c_session.__file__]])
def test_the_program_runs_a_signature_without_python_tensorflow(program, folder, tmp_path):
    given, taken = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(given, text=np.array(["abc"]), language=np.array(["en"]))
    done = run([*program, folder, "serving_default", given, taken])
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["False"]), done.stderr
    assert np.load(taken)["samples"] == [300]


def test_the_program_fails_with_one_sentence(folder, tmp_path):
    given = tmp_path / "in.npz"
    done = run(["-m", "myxtts.serving.check.session", folder, "echo", given, given])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "python -m myxtts.serving.check.session: error: "
    )
    assert "Traceback" not in done.stderr


def run(words) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False
    )
