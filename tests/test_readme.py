"""What README and docs/ say is so: sizes, flags, files, names, links, figures and examples."""

import ast
import functools
import importlib
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from myxtts.config import XTTSConfig
from myxtts.models.xtts import XTTS
from myxtts.recipes import PRESETS
from tests.conftest import hum
from tests.models.test_xtts import FOLDED_GAINS, count, no_memory  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "docs" / "results.md"
PAGES = (README, ROOT / "examples" / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
# Of pip, the hub's program, jq, docker, TensorBoard and TensorFlow Serving.
OTHERS = {"--no-deps", "--index-url", "--local-dir", "--rawfile", "--rm", "--gpus"}
OTHERS |= {"--model_config_file", "--logdir", "--tag", "--publish", "--volume"}
OTHERS |= {"--rest_api_timeout_in_ms", "--batching_parameters_file", "--enable_batching"}
OTHERS |= {"--enable_model_warmup", "--enable_per_model_batching_parameters"}
FIGURE = r"(?<![\w.,])(\d[\d.,]*)\s?(?:%|ms|s|×|MB|GB)(?!\w)"
TAKEN = r"\*Taken:\*[^;]+;\s\d{4}-\d\d-\d\d;\scommit\s`[0-9a-f]{7}`"


def readme_rows() -> dict[str, list[str]]:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in rows if name in PRESETS}


@pytest.mark.parametrize("name", PRESETS)
def test_preset_table_is_right(name, no_memory):  # noqa: F811
    config = XTTSConfig.preset(name)
    size, parameters, _ = readme_rows()[name]
    assert size == f"{config.model.gpt.layers} × {config.model.gpt.model_dim}"
    millions = (count(XTTS(config)) + (FOLDED_GAINS if name == "xtts_v2" else 0)) / 1e6
    assert parameters == (f"{millions:.1f} M" if millions < 10 else f"{millions:.0f} M")


@PAGE
def test_readme_names_only_files_that_exist(page):
    folders = "benchmarks|docs|examples|myxtts|tests|tools"
    for name in re.findall(rf"(?<![\w./])((?:{folders})/[\w./]*\w)", page.read_text()):
        assert (ROOT / name).exists(), name


@functools.cache
def known_flags() -> set[str]:
    from myxtts.inference.command import parser as speaking
    from myxtts.programs.push import parser as pushing
    from myxtts.programs.speak import parser as saying
    from myxtts.server.command import parser as answering
    from myxtts.serving.client.command import parser as asking
    from myxtts.training.command import parser as training
    from tools.build_speaker_map import parser as mapping
    from tools.bulk import parser as working
    from tools.convert_xtts import parser as converting
    from tools.export_saved_model import parser as exporting
    from tools.kokoro_voice_from_audio import parser as hearing
    from tools.make_voice_corpus import parser as making
    from tools.optimize_voice_embedding import parser as fitting
    from tools.pack_voice import parser as packing
    from tools.quantize import parser as quantising
    from tools.speaker_encoder.create_speaker_emb_dataset import parser as embedding
    from tools.speaker_encoder.train_encoder import parser as encoding
    from tools.training_styletts2 import parser as projecting
    from tools.verify_speakers import parser as verifying

    parsers = (training, speaking, verifying, converting, exporting, asking, fitting)
    parsers += (making, packing, mapping, hearing, embedding, encoding, projecting, quantising)
    parsers += (answering, saying, pushing)
    # Its flags are those of its kinds of work.
    (kinds,) = (action.choices for action in working()._actions if action.dest == "job")
    parsers += tuple(lambda kind=kind: kind for kind in kinds.values())
    names = sorted(path.stem for path in (ROOT / "tools" / "sv2tts").glob("*.py"))
    programs = [importlib.import_module(f"tools.sv2tts.{name}") for name in names]
    parsers += tuple(program.parser for program in programs if hasattr(program, "parser"))
    flags = {
        flag for parser in parsers for action in parser()._actions for flag in action.option_strings
    }
    # Benchmarks are not imported here: their sides want torch.
    programs = "\n".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    return flags | set(re.findall(r'"(--[a-z][\w-]+)"', programs))


@PAGE
def test_readme_flags_exist(page):
    # A family of flags, `--dvae-…`, is none.
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*\w(?![\w-])", page.read_text()))
    assert named - known_flags() <= OTHERS


@PAGE
def test_modules_and_names_exist(page):
    text = page.read_text(encoding="utf-8")
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module), module
    for name in set(re.findall(r"(?<![\w./])myxtts(?:\.[A-Za-z]\w*)+", text)):
        assert resolve(name) is not None, name
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("myxtts"):
                assert all(resolve(f"{node.module}.{alias.name}") for alias in node.names)


def resolve(name: str):
    """What a dotted name stands for."""
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for end, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:end]))
        found = getattr(found, part)
    return found


@PAGE
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([\w-]+))?\)", page.read_text()):
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 130


def test_figures_of_the_readme_are_among_the_results():
    results = set(re.findall(r"\d[\d.,]*\d|\d", RESULTS.read_text(encoding="utf-8")))
    figures = re.findall(FIGURE, README.read_text(encoding="utf-8"))
    assert figures and set(figures) <= results


def test_results_say_how_they_were_taken():
    sections = re.split(r"^##+ ", RESULTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    measured = [text for text in sections[1:] if re.search(FIGURE, text) or "\n|---" in text]
    assert len(measured) > 10
    for text in measured:
        assert re.search(TAKEN, text) and re.search(r"`(python|make) ", text), text[:60]


@pytest.mark.parametrize("name", ["README.md", "docs/speaking.md"])
def test_python_example_runs(name, trained, tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    (tmp_path / "runs" / "xtts").mkdir(parents=True)
    (tmp_path / "runs" / "xtts" / "preset").symlink_to(trained.preset)
    for recording in re.findall(r"speaker\w*\.wav", code):
        soundfile.write(tmp_path / recording, hum(2, 140, np.random.default_rng(0)), 22_050)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), {})
    audio, rate = soundfile.read("out.wav")
    assert rate == 24_000
    assert len(audio)
