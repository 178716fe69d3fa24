"""The wheel, installed into an empty environment outside of the source tree, as a user has it.

Without more, the environment sees the packages of the tests' own through a ``.pth`` file, which
takes seconds and no network. With ``MYXTTS_TEST_INSTALL=1`` pip installs everything that the
Dockerfile has it install.
"""

import importlib.util
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from myxtts.presets.finding import DATA_FILES, SHIPPED, has_shipped_preset
from tests.conftest import hum
from tests.test_container import entrypoint, instruction

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
# Of a server: until it is ready; until it has ended.
PATIENCE_S = 600
DEMO = ("hana.wav", "oskar.wav", "report.txt", "speech.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Folder of the wheel and the source distribution."""
    if importlib.util.find_spec("build") is None:
        pytest.skip("build is not installed (requirements-dev.txt)")
    if not has_shipped_preset():
        pytest.skip("this copy of MyXTTS comes without its model")
    folder = tmp_path_factory.mktemp("dist")
    # It would leave build/ and an egg-info in the source tree.
    tree = tmp_path_factory.mktemp("tree") / "myxtts"
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, files.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "shared/")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(made, tmp_path_factory) -> Path:
    """Folder of the programs of an environment that has the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    programs = folder / "bin"
    (wheel,) = made.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet"]
    if os.environ.get("MYXTTS_TEST_INSTALL"):
        extras = re.search(r"myxtts-\*\.whl\)(\[[\w,]+\])", instruction("RUN"))[1]
        constraints = str(ROOT / "constraints.txt")
        subprocess.run([*pip, "--constraint", constraints, f"{wheel}{extras}"], check=True)
        return programs
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    """An empty folder outside of the source tree."""
    return tmp_path_factory.mktemp("room")


@pytest.fixture
def call(installed, room):
    """``myxtts WORDS`` in the empty folder; what it did."""

    def call(*words: str, status: int = 0) -> subprocess.CompletedProcess:
        command = [str(installed / "myxtts"), *words]
        done = subprocess.run(command, cwd=room, capture_output=True, env=environment(installed))
        assert done.returncode == status, done.stderr.decode()
        return done

    return call


def environment(programs: Path) -> dict[str, str]:
    """Variables without a trace of the source tree."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"PATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}


def test_both_distributions_hold_the_model(made):
    (wheel,), (source,) = made.glob("*.whl"), made.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "myxtts/data_files/base/xtts.safetensors" in names
    assert not any(name.startswith(("tests/", "tools/")) for name in names)
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "requirements.txt", "myxtts/data_files/base/manifest.json"} <= names


def test_it_is_the_wheels_code_that_runs(installed, room):
    command = [str(installed / "python"), "-c", "import myxtts; print(myxtts.__file__)"]
    told = subprocess.run(
        command, cwd=room, capture_output=True, text=True, env=environment(installed)
    )
    assert Path(told.stdout.strip()).is_relative_to(installed.parent), told.stderr


def test_it_speaks_to_stdout(call):
    assert soundfile.info(io.BytesIO(call("speak", "Hello").stdout)).samplerate == 24_000


def test_it_tells_of_itself(call):
    assert b"hana" in call("voices").stdout
    assert json.loads(call("info", "--json").stdout)["shipped_preset"]
    for name in ("train", "verify", "convert", "export", "push"):
        assert call(name, "--help").stdout.startswith(f"usage: myxtts {name}".encode())


def test_presets_are_made_of_presets(call, room):
    call("quantize", "--output", "small")
    call("push", "--preset", "small", "--output", "hub")
    call("speak", "Hello", "--preset", "hub", "--output", "small.wav")
    assert soundfile.info(room / "small.wav").duration > 0.2
    told = call("convert", "--source", "hub", "--output", "x", status=1).stderr
    assert b"hf download coqui/XTTS-v2" in told


def test_speakers_are_verified(call, room):
    """By the encoder inside the model, on trials of hums."""
    for name, pitch in {"a_1": 110, "a_2": 112, "b_1": 220, "b_2": 224}.items():
        soundfile.write(room / f"{name}.wav", hum(2, pitch, np.random.default_rng(0)), 22_050)
    lines = ("1 a_1.wav a_2.wav", "1 b_1.wav b_2.wav", "0 a_1.wav b_1.wav", "0 a_2.wav b_2.wav")
    (room / "trials.txt").write_text("\n".join(lines))
    model = str(DATA_FILES / SHIPPED)
    told = call("verify", "--trials", "trials.txt", "--encoder", model, "--json").stdout
    assert json.loads(told)["trials"] == 4


def test_the_demo_leaves_speech_and_pictures(call, room):
    call("demo", "--output", "demo")
    assert sorted(path.name for path in (room / "demo").iterdir()) == sorted(DEMO)


def test_it_exports_for_tensorflow_serving(call, room):
    told = call("export", "--output", "serving/base/1", "--no-warmup", "--json")
    assert "serving_default" in json.loads(told.stdout)["signatures"]
    assert (room / "serving" / "base" / "1" / "saved_model.pb").is_file()


def test_the_steps_of_the_image_make_a_server(installed, room):
    """The entry point and the health check of the Dockerfile, on this machine's own address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = {"0.0.0.0": "127.0.0.1", instruction("EXPOSE"): str(port), "/data/voices": "voices"}
    program, *words = [ours.get(word, word) for word in entrypoint()]
    health = json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2])
    health = [word.replace(f":{instruction('EXPOSE')}/", f":{port}/") for word in health]
    options = {"cwd": room, "env": environment(installed)}
    server = subprocess.Popen([str(installed / program), *words], **options)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while subprocess.run(health, capture_output=True, **options).returncode:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.5)
        body = {"model": "base", "input": "Hello.", "voice": "hana", "response_format": "wav"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/audio/speech",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            assert soundfile.info(io.BytesIO(answer.read())).samplerate == 24_000
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(PATIENCE_S)
    assert code == 0
