"""Files of an exported model that were changed are named before they are loaded."""

from pathlib import Path

import pytest

from myxtts.digests import write_sums
from myxtts.errors import CheckpointError
from myxtts.serving.check.run import check_export
from tests.serving.small_exports import TEXT, speak, write_export

FILES = ("saved_model.pb", "assets.extra/serving.json", "assets.extra/signatures.json")


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "1"
    write_export(folder, {"serving_default": (speak, TEXT)})
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    write_sums(folder, [path.as_posix() for path in files])
    return folder


@pytest.mark.parametrize("name", FILES)
def test_a_changed_bit_is_named(export, name):
    path = export / name
    content = path.read_bytes()
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 0x10
    path.write_bytes(changed)
    try:
        with pytest.raises(CheckpointError, match=f"{name} is damaged or was changed"):
            check_export(export, None)
    finally:
        path.write_bytes(content)
