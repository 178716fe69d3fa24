"""The manual: every page in its navigation, links whole, code that is marked as runnable runs."""

import importlib.util
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from myxtts.presets import finding
from tests.conftest import hum
from tools import manual

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# A comment before a block; GitHub and MkDocs show nothing of it.
RUNNABLE = re.compile(r"<!-- runnable(: fast)? -->\n```(sh|python)\n(.*?)```", re.DOTALL)
FEWEST_PAGES, FEWEST_BLOCKS, MOST_SOUND = 10, 8, 200_000


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml; what it says of Python's objects is left aside."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *given: None)


def navigation() -> list[str]:
    """Files of the navigation, in its order."""
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)  # noqa: S506

    def files(entries) -> list[str]:
        found = []
        for entry in entries:
            (place,) = entry.values()
            found += [place] if isinstance(place, str) else files(place)
        return found

    return files(settings["nav"])


def blocks(fast: bool) -> list:
    """Pages with runnable blocks, and what these are: language and code."""
    found = []
    for page in sorted(DOCS.glob("*.md")):
        own = RUNNABLE.findall(page.read_text(encoding="utf-8"))
        chosen = [(language, code) for quick, language, code in own if bool(quick) == fast]
        if chosen:
            found.append(pytest.param(chosen, id=page.stem))
    return found


def test_every_page_is_in_the_navigation_once():
    named = navigation()
    assert sorted(named) == sorted(path.name for path in DOCS.glob("*.md"))
    assert len(named) >= FEWEST_PAGES


def test_the_sounds_are_small_and_are_those_of_the_page():
    files = sorted(manual.AUDIO.iterdir())
    assert [path.stem for path in files] == sorted(manual.SAID)
    assert sum(path.stat().st_size for path in files) < MOST_SOUND
    page = (DOCS / "index.md").read_text(encoding="utf-8")
    for path in files:
        assert page.count(f"audio/{path.name}") == 2
        assert 2 < soundfile.info(path).duration < 12


def test_links_to_files_beside_the_pages_lead_to_their_copies():
    text = "[a](../examples/train_config.json), [b](serving.md#x), [c](https://a.b/../c)"
    told = manual.on_page_markdown(text, None, None, None)
    assert told.startswith("[a](examples/train_config.json), [b](serving.md#x)")


def test_some_code_is_runnable():
    assert sum(len(page.values[0]) for page in blocks(True) + blocks(False)) >= FEWEST_BLOCKS


@pytest.fixture
def room(tmp_path, monkeypatch) -> Path:
    """A folder with what the pages' code names, and ``myxtts`` and ``python`` on the path."""
    programs = tmp_path / "programs"
    programs.mkdir()
    python = shlex.quote(sys.executable)
    entries = {"python": f'exec {python} "$@"', "myxtts": f'exec {python} -m {ENTRY} "$@"'}
    for name, line in entries.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(stat.S_IRWXU)
    folder = tmp_path / "room"
    (folder / "presets").mkdir(parents=True)
    for name in ("inference_main.py", "train_main.py", "tools", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "corpus").symlink_to(ROOT / "examples" / "demo_corpus" / "train")
    (folder / "PRESET").symlink_to(finding.DATA_FILES / finding.SHIPPED)
    audio = hum(3, 140, np.random.default_rng(0))
    soundfile.write(folder / "speaker.wav", audio, 22_050)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "cache"))
    return folder


ENTRY = "myxtts.programs.entry"


def run_in(folder: Path, language: str, code: str) -> None:
    command = ["sh", "-e", "-c", code] if language == "sh" else [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, f"{code}\n{done.stderr}"


@pytest.mark.parametrize("page", blocks(True))
def test_quick_code_of_the_pages_runs(page, room):
    for language, code in page:
        run_in(room, language, code)


@pytest.mark.slow
@pytest.mark.parametrize("page", blocks(False))
def test_code_of_the_pages_runs(page, room):
    if not finding.has_shipped_preset():
        pytest.skip("this copy of MyXTTS comes without its model")
    for language, code in page:
        run_in(room, language, code)
    assert all(path.stat().st_size > 10_000 for path in room.glob("*.wav"))


@pytest.mark.slow
def test_the_manual_builds_strictly(tmp_path):
    for module in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            pytest.skip(f"{module} is not installed (requirements-docs.txt)")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in navigation():
        assert (tmp_path / page).with_suffix(".html").is_file()
    assert "from_preset" in (tmp_path / "api.html").read_text(encoding="utf-8")
    assert (tmp_path / "examples" / "serving" / "kubernetes.yaml").is_file()
    assert (tmp_path / "audio" / "hana.mp3").is_file()
