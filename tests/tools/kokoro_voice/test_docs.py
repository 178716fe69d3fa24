"""``docs/kokoro_voice.md`` names what there is."""

import dataclasses
import re
from pathlib import Path

from tools.kokoro_voice.config import OptimizerConfig
from tools.optimize_voice_embedding import parser

ROOT = Path(__file__).resolve().parents[3]
DOCS = (ROOT / "docs" / "kokoro_voice.md").read_text(encoding="utf-8")
# Of pip, and of the benchmark.
OTHERS = {"--no-deps", "--index-url", "--recordings"}


def test_every_flag_that_is_named_exists():
    known = {flag for action in parser()._actions for flag in action.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", DOCS)) - known <= OTHERS


def test_every_file_that_is_named_exists():
    named = re.findall(r"`?((?:benchmarks|tools|examples)/[\w/]+\.py)", DOCS)
    assert {"tools/optimize_voice_embedding.py", "benchmarks/kokoro_voice.py"} <= set(named)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_method_is_described():
    (hint,) = [f.type for f in dataclasses.fields(OptimizerConfig) if f.name == "gradient_method"]
    for name in re.findall(r'"([\w-]+)"', hint):
        assert f"| `{name}` |" in DOCS


def test_the_python_runs_as_far_as_it_parses():
    for code in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL):
        compile(code, "docs/kokoro_voice.md", "exec")


def test_the_installation_is_that_of_the_requirements():
    requirements = (ROOT / "requirements-kokoro.txt").read_text(encoding="utf-8")
    lines = re.findall(r"pip install .*", requirements)
    assert lines and all(line in DOCS for line in lines)
