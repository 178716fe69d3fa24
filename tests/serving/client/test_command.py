"""The client's command line, over REST, in a process without TensorFlow."""

import json
import subprocess
import sys

import pytest
import soundfile

from tests.serving.doors import NAME, TEXT
from tests.serving.loopback import ROOT

pytest.importorskip("requests", reason="REST needs the extra `serving`")


def command(server: str, *words: object) -> subprocess.CompletedProcess:
    """The command line in a process in which TensorFlow and Keras cannot be imported."""
    code = (
        "import runpy, sys; sys.modules |= dict.fromkeys(('tensorflow', 'keras', 'torch'));"
        "runpy.run_module('myxtts.serving.client', run_name='__main__', alter_sys=True)"
    )
    given = ["--server", server, "--model", NAME, "--text", TEXT, *map(str, words)]
    return subprocess.run(
        [sys.executable, "-c", code, *given], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("stream", [(), ("--stream",)])
def test_the_command_line_needs_no_tensorflow(rest, reference, tmp_path, stream):
    output = tmp_path / "out.wav"
    words = ("--reference-audio", reference, "--output", output, "--temperature", 0, *stream)
    done = command(rest.url, *words, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result.keys() == {"output", "duration", "rtf", "flags"}
    assert soundfile.info(output).duration == pytest.approx(result["duration"], abs=1e-3)


def test_the_command_line_fails_with_a_sentence_and_keeps_what_was_there(rest, reference, tmp_path):
    output = tmp_path / "out.wav"
    output.write_bytes(b"older")
    words = ("--reference-audio", reference, "--output", output, "--language", "xx", "--stream")
    done = command(rest.url, *words)
    assert done.returncode == 1
    assert "unknown language xx" in done.stderr
    assert "Traceback" not in done.stderr
    assert output.read_bytes() == b"older"
    assert command("localhost", *words).returncode == 2
