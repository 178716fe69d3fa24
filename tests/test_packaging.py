"""Wheel and source distribution hold the package's data, the model in the box too."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from myxtts.text.front_end import HIBARI

ROOT = Path(__file__).resolve().parents[1]
FILES = ("manifest.json", "xtts.safetensors", "voices/voices.json", "voices/hana.safetensors")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """The package beside a model that stands for the shipped one."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed")
    folder = tmp_path_factory.mktemp("tree")
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "requirements.txt", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "LICENSE", folder / "LICENSE")
    data = shutil.ignore_patterns("data_files", "__pycache__")
    shutil.copytree(ROOT / "myxtts", folder / "myxtts", ignore=data)
    for name in FILES:
        path = folder / "myxtts" / "data_files" / "base" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a file of the model")
    return folder


def built(tree: Path, *words: str) -> Path:
    """The file that ``setup.py`` makes; setuptools' own commands need no network."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "setup.py", "-q", *words, "--dist-dir", "dist"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, env=environment)
    if "invalid command" in done.stderr:
        pytest.skip("this setuptools makes no wheels")
    assert done.returncode == 0, done.stderr
    (made,) = (tree / "dist").glob("*.whl" if words[0] == "bdist_wheel" else "*.tar.gz")
    return made


def test_the_wheel_holds_the_model(tree):
    with zipfile.ZipFile(built(tree, "bdist_wheel")) as wheel:
        names = set(wheel.namelist())
    assert {f"myxtts/data_files/base/{name}" for name in FILES} <= names
    assert "myxtts/verification/thresholds.json" in names


def test_the_source_distribution_holds_it_and_what_setup_reads(tree):
    with tarfile.open(built(tree, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"myxtts/data_files/base/{name}" for name in FILES} <= names
    assert {"requirements.txt", "README.md", "LICENSE", "setup.py"} <= names


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt", "constraints-3.10.txt"])
def test_the_front_end_comes_with_the_core_in_the_version_that_was_tried(name):
    assert HIBARI in (ROOT / name).read_text(encoding="utf-8").splitlines()
