"""The calls that docs/gateway.md shows, sent as they stand there to a gateway that hums."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.server.stand_in import HummingEngine, served, settings
from tests.server.test_voices import recording

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gateway.md"
RUNNABLE = re.compile(r"<!-- runnable: gateway -->\n```(sh|python)\n(.*?)```", re.DOTALL)
BLOCKS = RUNNABLE.findall(PAGE.read_text(encoding="utf-8"))
# What a block leaves behind, in their order.
LEFT = ("hello.wav", "hello.mp3", "blend.mp3", "pieces.wav")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with served(HummingEngine(), settings(tmp_path_factory.mktemp("documented"))) as (found, _):
        yield found


def test_every_call_of_the_page_is_here():
    assert len(BLOCKS) == len(LEFT)
    for (_, code), name in zip(BLOCKS, LEFT, strict=True):
        assert "127.0.0.1:8020" in code and name in code


@pytest.mark.parametrize("number", range(len(LEFT)), ids=LEFT)
def test_a_documented_call_is_answered(address, tmp_path, number):
    language, code = BLOCKS[number]
    if language == "sh" and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    if "openai" in code and importlib.util.find_spec("openai") is None:
        pytest.skip("the package openai is not installed")
    (tmp_path / "speaker.wav").write_bytes(recording())
    code = code.replace("127.0.0.1:8020", address.removeprefix("http://"))
    code = code.replace("curl ", "curl --fail --silent --show-error ")
    command = ["sh", "-e", "-c", code] if language == "sh" else [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / LEFT[number]).duration > 0.1
