"""A setting that nothing reads does nothing, whatever its help says."""

import dataclasses
import re
from pathlib import Path

import pytest

from myxtts.config import XTTSConfig
from myxtts.generation.sampling import RULES
from myxtts.speaker_config import SpeakerConfig
from myxtts.synthesizer_config import SynthesizerConfig
from myxtts.vocoder_config import HifiGanSettings, VocoderConfig

PACKAGE = Path(__file__).resolve().parents[1] / "myxtts"
# Of sampling each rule is read by its name in RULES; of augmentation a kind's ratio and folder
# are read by the kind.
BY_NAME = {
    XTTSConfig: set(RULES),
    SpeakerConfig: {
        f"{kind}_{part}"
        for kind in ("noise", "music", "babble", "reverb")
        for part in ("snr", "paths")
    },
    SynthesizerConfig: set(),
    VocoderConfig: set(),
    HifiGanSettings: set(),
}


def leaves(config) -> set[str]:
    names = set()
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        names |= leaves(value) if dataclasses.is_dataclass(value) else {item.name}
    return names


@pytest.fixture(scope="module")
def code() -> str:
    sources = [
        path for path in PACKAGE.rglob("*.py") if path.name not in ("config.py", "recipes.py")
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in sources)


@pytest.mark.parametrize("kind", BY_NAME)
def test_every_setting_is_read_somewhere(kind, code):
    names = leaves(kind()) - BY_NAME[kind]
    assert {name for name in names if not re.search(rf"\.{name}\b", code)} == set()
