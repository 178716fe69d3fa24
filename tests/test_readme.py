"""What README says of the presets is so, and no setting is read nowhere."""

import dataclasses
import re
from pathlib import Path

import pytest

from myxtts.config import XTTSConfig
from myxtts.models.xtts import XTTS
from myxtts.recipes import PRESETS
from tests.models.test_xtts import FOLDED_GAINS, count, no_memory  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]


def readme_rows() -> dict[str, list[str]]:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in rows if name in PRESETS}


@pytest.mark.parametrize("name", PRESETS)
def test_preset_table_is_right(name, no_memory):  # noqa: F811
    config = XTTSConfig.preset(name)
    size, parameters, _ = readme_rows()[name]
    assert size == f"{config.model.gpt.layers} × {config.model.gpt.model_dim}"
    millions = (count(XTTS(config)) + (FOLDED_GAINS if name == "xtts_v2" else 0)) / 1e6
    assert parameters == (f"{millions:.1f} M" if millions < 10 else f"{millions:.0f} M")


def leaves(config) -> set[str]:
    names = set()
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        names |= leaves(value) if dataclasses.is_dataclass(value) else {item.name}
    return names


def test_every_setting_is_read_somewhere():
    sources = [path for path in (ROOT / "myxtts").rglob("*.py") if path.name != "config.py"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    unread = {name for name in leaves(XTTSConfig()) if not re.search(rf"\.{name}\b", code)}
    assert unread == set()


def test_readme_names_only_files_that_exist():
    text = (ROOT / "README.md").read_text()
    for name in re.findall(r"`((?:benchmarks|tools|tests|examples)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name


def test_readme_flags_exist():
    from myxtts.inference.command import parser as speaking
    from myxtts.serving.client.command import parser as asking
    from myxtts.training.command import parser as training
    from tools.convert_xtts import parser as converting
    from tools.export_saved_model import parser as exporting
    from tools.optimize_voice_embedding import parser as fitting
    from tools.verify_speakers import parser as verifying

    parsers = (training, speaking, verifying, converting, exporting, asking, fitting)
    # Of pip, the hub's program, docker and TensorFlow Serving.
    others = {"--no-deps", "--local-dir", "--rm", "--model_config_file"}
    others |= {"--rest_api_timeout_in_ms", "--batching_parameters_file", "--enable_batching"}
    known = {
        flag for parser in parsers for action in parser()._actions for flag in action.option_strings
    }
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text))
    assert named - known <= others
