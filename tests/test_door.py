"""What stands at the package's door, and what it costs to open it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import myxtts

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", myxtts.__all__)
def test_every_name_is_there_and_listed(name):
    assert getattr(myxtts, name).__name__ == name
    assert name in dir(myxtts)


def test_type_checkers_see_the_names():
    tree = ast.parse((ROOT / "myxtts" / "__init__.py").read_text(encoding="utf-8"))
    (typing,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {f"{node.module}.{alias.name}" for node in typing.body for alias in node.names}
    assert seen == {f"myxtts.{place}.{name}" for name, place in myxtts._PLACES.items()}
    assert set(myxtts.__all__) == set(myxtts._PLACES)


def test_other_names_are_no_attributes():
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        myxtts.Nothing  # noqa: B018


@pytest.mark.parametrize("name", ["XTTSConfig", "SpeechClient"])
def test_what_needs_no_tensorflow_does_not_load_it(name):
    code = f"import sys, myxtts; myxtts.{name}; print({{'tensorflow', 'keras'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
