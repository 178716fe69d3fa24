"""The plan of the house: which room may import which, no circles, and the core stays light.

An import inside a function counts like any other; it is only marked so in what a failure says.
"""

from __future__ import annotations

import ast
import itertools
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

# A room may import itself and every room on a line above its own; rooms of one line do not
# know each other. A room is a file or a folder, the longest name that fits.
FLOORS = """
myxtts/__init__
myxtts/errors myxtts/timing myxtts/recipes myxtts/trackers myxtts/replicas
myxtts/locks myxtts/deadlines myxtts/children myxtts/limits
myxtts/files
myxtts/digests
myxtts/plots myxtts/settings
myxtts/decoder_config myxtts/synthesis_config
myxtts/wavlm_config
myxtts/config
myxtts/speaker_config myxtts/vocoder_config myxtts/synthesizer_config
myxtts/flags
myxtts/audio myxtts/text
myxtts/losses
myxtts/speaker_losses myxtts/vocoder_losses myxtts/synthesizer_losses
myxtts/presets
myxtts/models
myxtts/weights
myxtts/generation myxtts/verification
myxtts/data
myxtts/training myxtts/inference myxtts/serving/contract
myxtts/serving/graph myxtts/serving/client
myxtts/serving
myxtts/serving/check
myxtts/server
myxtts/programs
train_main inference_main tools/kokoro tools/judges
tools/kokoro_voice tools/styletts2_kokoro
tools
benchmarks/upstream
benchmarks
examples
"""
# The doors, which name what is behind them for whoever asks.
DOORS = {"myxtts/__init__", "tools/kokoro_voice/__init__"}
# Rooms that run on keras.ops or on less, and the one file that may know torch.
WITHOUT_TENSORFLOW = (
    "audio",
    "text",
    "losses",
    "speaker_losses",
    "vocoder_losses",
    "synthesizer_losses",
    "presets",
    "models",
    "weights",
    "generation",
)
WITHOUT_KERAS = ("generation/driver", "serving/client", "serving/contract", "text", "flags")
KNOWS_TORCH = {"weights/torch_file"}
LONGEST_FILE, LONGEST_FUNCTION, MEDIAN_FUNCTION = 400, 60, 8

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("myxtts", "tools", "benchmarks", "examples")
PROGRAMS = ("train_main.py", "inference_main.py")


@dataclass(frozen=True)
class Arrow:
    """One import of one file of the house by another."""

    source: str
    target: str
    within: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}{self.within}"


@cache
def files() -> dict[str, Path]:
    """Files of the house by their names, ``myxtts/audio/io`` say."""
    paths = [ROOT / name for name in PROGRAMS]
    paths += itertools.chain(*((ROOT / folder).rglob("*.py") for folder in FOLDERS))
    return {str(path.relative_to(ROOT).with_suffix("")): path for path in sorted(paths)}


@cache
def imports(name: str) -> tuple[tuple[str, str], ...]:
    """Dotted names that a file imports, and in which function (empty outside of all)."""
    found = []

    def walk(node: ast.AST, within: str) -> None:
        if isinstance(node, ast.FunctionDef):
            within = f" (in {node.name})"
        if isinstance(node, ast.Import):
            found.extend((alias.name, within) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, within))
            found.extend((f"{node.module}.{alias.name}", within) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            walk(child, within)

    walk(ast.parse(files()[name].read_text(encoding="utf-8")), "")
    return tuple(found)


def arrows(name: str) -> Iterator[Arrow]:
    for dotted, within in imports(name):
        target = dotted.replace(".", "/")
        for place in (target, f"{target}/__init__"):
            if place in files() and place != name:
                yield Arrow(name, place, within)


def floor_of(name: str) -> tuple[int, str]:
    """How high a file's room lies, and the room."""
    rooms = {
        room: number for number, line in enumerate(FLOORS.split("\n")) for room in line.split()
    }
    parts = name.split("/")
    for size in range(len(parts), 0, -1):
        room = "/".join(parts[:size])
        if room in rooms:
            return rooms[room], room
    raise AssertionError(f"{name} is in no room of the plan")


def is_forbidden(arrow: Arrow) -> bool:
    if arrow.source in DOORS:
        return False
    if arrow.target.endswith("/__init__"):
        # A package's face is imported with all that lies in it, and holds no more than that.
        return floor_of(arrow.target)[0] > floor_of(arrow.source)[0]
    (own, room), (other, other_room) = floor_of(arrow.source), floor_of(arrow.target)
    return room != other_room and other >= own


@pytest.mark.parametrize("name", files())
def test_arrows_point_one_way(name):
    assert [str(arrow) for arrow in arrows(name) if is_forbidden(arrow)] == []


def test_no_files_go_round_in_a_circle():
    targets = {name: {a.target for a in arrows(name)} for name in files() if name not in DOORS}
    while free := [name for name, to in targets.items() if not to & targets.keys()]:
        for name in free:
            del targets[name]
    assert circles(targets) == []


def circles(targets: dict[str, set[str]]) -> list[str]:
    """Files that can be reached from themselves."""

    def reached(start: str) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            new = targets.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    return [name for name in targets if name in reached(name)]


def test_nobody_imports_the_tests():
    users = {name for name in files() for dotted, _ in imports(name) if dotted.startswith("tests")}
    assert users == set()


def core(*rooms: str) -> list[str]:
    """Files of the package in these rooms."""
    own = tuple(f"myxtts/{room}" for room in rooms)
    return [n for n in files() if any(n == room or n.startswith(f"{room}/") for room in own)]


def users_of(module: str, names) -> set[str]:
    return {name for name in names for dotted, _ in imports(name) if dotted.split(".")[0] == module}


def test_torch_is_imported_in_one_place():
    everything = [name for name in files() if name.startswith("myxtts/")]
    assert users_of("torch", everything) == {f"myxtts/{name}" for name in KNOWS_TORCH}


@pytest.mark.parametrize("room", WITHOUT_TENSORFLOW)
def test_layers_need_no_tensorflow(room):
    assert users_of("tensorflow", core(room)) == set()


@pytest.mark.parametrize("room", WITHOUT_KERAS)
def test_clients_need_no_keras(room):
    assert users_of("keras", core(room)) | users_of("tensorflow", core(room)) == set()


def loaded(statement: str, *modules: str) -> list[str]:
    """Those of ``modules`` that a fresh process has imported after ``statement``."""
    code = f"import sys\n{statement}\nprint(*[name for name in {modules} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return result.stdout.split()


def test_importing_the_package_is_light():
    assert loaded("import myxtts", "torch", "tensorflow", "keras", "numpy") == []


def test_importing_the_client_is_light():
    assert loaded("import myxtts.serving.client.command", "torch", "tensorflow", "keras") == []


def test_importing_models_and_training_pulls_in_no_torch():
    rooms = "myxtts.training.run, myxtts.inference.command, myxtts.inference.similarity"
    assert loaded(f"import {rooms}", "torch") == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_hold_no_logic(program):
    assert len((ROOT / program).read_text().splitlines()) <= 40


@pytest.mark.parametrize("name", files())
def test_no_file_is_long(name):
    assert len(files()[name].read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def test_functions_are_short():
    lengths = {
        f"{name}:{node.name}": length(node)
        for name, path in files().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert [name for name, lines in lengths.items() if lines > LONGEST_FUNCTION] == []
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION


def length(function: ast.FunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0
