"""The files that tell TensorFlow Serving which models to serve, and how to batch requests.

Both lie beside the models' folders, which the server sees as ``/models``::

    serving/models.config
    serving/batching.config
    serving/my_xtts/1/saved_model.pb
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from myxtts.errors import CheckpointError, ConfigError
from myxtts.files import write_whole

MODELS, BATCHING = "models.config", "batching.config"
# Where a server's container has the folder that they lie in.
MOUNTED = "/models"
LARGEST_BATCH = 8
# The server reads versions as signed integers of 64 bits.
LARGEST_VERSION = 2**63 - 1

BATCHING_TEXT = f"""\
# Used with --enable_batching=true. Rows of different lengths need the padding.
pad_variable_length_inputs: true
max_batch_size {{ value: {LARGEST_BATCH} }}
# How long a request may wait for others.
batch_timeout_micros {{ value: 10000 }}
# Batches that are spoken at the same time, and those that may wait; more are refused.
num_batch_threads {{ value: 4 }}
max_enqueued_batches {{ value: 64 }}
# A batch is filled up to the next of these with copies of a row; the last is the largest.
allowed_batch_sizes: 1
allowed_batch_sizes: 2
allowed_batch_sizes: 4
allowed_batch_sizes: {LARGEST_BATCH}
"""


def version_folder(output: str | Path) -> Path:
    """``output`` as an absolute path, if a server can serve it.

    Raises:
        ConfigError: it does not end in a model's name and a version number.
    """
    folder = Path(output).absolute()
    number = re.fullmatch(r"[0-9]+", folder.name)
    if not number or not 0 < int(folder.name) <= LARGEST_VERSION or not folder.parent.name:
        raise ConfigError(
            f"--output {output}: must end in the model's name and a version number, such as "
            "serving/my_xtts/1."
        )
    return folder


def configuration(folder: Path) -> dict[Path, str]:
    """Configuration files that an export needs and that are not there yet, with their texts.

    A ``models.config`` that is there gets an entry for the model if it has none; the rest of
    it stays as it is. A ``batching.config`` that is there stays.

    Args:
        folder: of the version, as :func:`version_folder` gives it.

    Raises:
        ConfigError: ``models.config`` is no list of models.
        CheckpointError: a file cannot be read.
    """
    name, root = folder.parent.name, folder.parent.parent
    models, batching = root / MODELS, root / BATCHING
    files = {}
    before = _read(models)
    after = _with_model(before, name, models)
    if after != before:
        files[models] = after
    if not batching.exists():
        files[batching] = BATCHING_TEXT
    return files


def write_configuration(folder: Path) -> list[Path]:
    """Write :func:`configuration`'s files, each whole or not at all; those that changed.

    Raises:
        ConfigError, CheckpointError: as for it, or a file cannot be written.
    """
    files = configuration(folder)
    for path, text in files.items():
        write_whole(path, text)
    return list(files)


def largest_batch(folder: Path) -> int:
    """Rows of the largest batch that ``batching.config`` allows; the usual without one.

    A server refuses a model whose warm-up has larger ones.

    Args:
        folder: of the version.

    Raises:
        ConfigError, CheckpointError: the file cannot be read.
    """
    text = _uncommented(_read(folder.parent.parent / BATCHING))
    found = re.search(r"\bmax_batch_size\s*:?\s*[{<]\s*value\s*:\s*(\d+)", text)
    return int(found[1]) if found else LARGEST_BATCH


def _with_model(text: str, name: str, path: Path) -> str:
    """The text of a ``models.config`` with an entry for ``name``."""
    plain, quoted = _uncommented(text), json.dumps(name, ensure_ascii=False)
    entry = f"  config {{\n    name: {quoted}\n    base_path: {_base_path(name)}\n"
    entry += '    model_platform: "tensorflow"\n  }'
    if re.search(rf"\bname\s*:\s*(?:{re.escape(quoted)}|'{re.escape(name)}')", plain):
        return text
    if not plain.strip():
        return f"{text}model_config_list {{\n{entry}\n}}\n"
    opened = re.search(r"\bmodel_config_list\s*:?\s*[{<]", plain)
    if opened is None:
        raise ConfigError(f"{path} has no model_config_list to add {quoted} to.")
    # The field may stand in the file but once, so the entry goes into it.
    return f"{text[: opened.end()]}\n{entry}{text[opened.end() :]}"


def _base_path(name: str) -> str:
    return json.dumps(f"{MOUNTED}/{name}", ensure_ascii=False)


def _uncommented(text: str) -> str:
    """``text`` with blanks for its comments, so that all places stay."""
    return re.sub(r"#.*", lambda comment: " " * len(comment[0]), text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8.") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}.") from error
