"""Rooms depend on each other one way only, and the core stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "myxtts"
# A room may import the rooms before it, and itself.
FLOORS = [
    {"errors", "config", "presets", "flags"},
    {"audio", "text"},
    {"losses"},
    {"models"},
    {"weights", "data"},
    {"training", "inference", "serving"},
]
# TensorFlow itself is for graphs and pipelines; everything else runs on keras.ops.
WITHOUT_TENSORFLOW = ("audio", "text", "models", "weights")


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    own = floor_of(room_of(path))
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] not in ("tools", "tests", "benchmarks"), name
        if parts[0] == "myxtts" and len(parts) > 1 and not parts[1].startswith("__"):
            room = parts[1]
            assert floor_of(room) <= own, f"{path} imports {name}"
            same_floor_neighbour = floor_of(room) == own and room != room_of(path)
            assert not same_floor_neighbour or own == 0, f"{path} imports {name}"


def test_torch_is_imported_in_one_place():
    users = {path.name for path in modules() if "torch" in imports(path)}
    assert users == {"torch_file.py"}


@pytest.mark.parametrize("room", WITHOUT_TENSORFLOW)
def test_layers_need_no_tensorflow(room):
    for path in (PACKAGE / room).rglob("*.py"):
        assert "tensorflow" not in imports(path), path


def test_importing_the_package_is_light():
    heavy = "('torch', 'tensorflow', 'keras')"
    code = f"import sys, myxtts; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_importing_models_and_training_pulls_in_no_torch():
    code = (
        "import sys, myxtts.training.run, myxtts.inference.command, myxtts.inference.similarity;"
        "print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize("program", ["train_main.py", "inference_main.py"])
def test_programs_hold_no_logic(program):
    assert len((ROOT / program).read_text().splitlines()) <= 40
