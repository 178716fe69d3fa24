"""Small speaker encoders as their upstreams would write them, with drawn weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.upstream.drawn import draw_weights
from myxtts.models.resemblyzer import EMBEDDING_DIM, HIDDEN_DIM, LAYERS
from tests.golden.make_wavlm import BASE

GOLDEN = Path(__file__).resolve().parent / "golden"
KINDS = ("ecapa_tdnn", "coqui", "resemblyzer", "wavlm")
FILES = {
    "ecapa_tdnn": "embedding_model.ckpt",
    "coqui": "model_se.pth",
    "resemblyzer": "pretrained.pt",
    "wavlm": "pytorch_model.bin",
}


def write_encoder(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write a torch file of the sizes that ``conftest.MICRO`` names, and return its path.

    A WavLM's configuration lies beside it.
    """
    torch = pytest.importorskip("torch", reason="torch writes the upstream's file")
    state = {
        name: torch.from_numpy(np.asarray(value))
        for name, value in draw_weights(shapes(kind), seed).items()
    }
    sections = {"ecapa_tdnn": state, "coqui": {"model": state}, "resemblyzer": None, "wavlm": state}
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "wavlm":
        write_wavlm_configuration(folder)
    torch.save(sections[kind] or {"model_state": state}, folder / FILES[kind])
    return folder / FILES[kind]


def write_wavlm_configuration(folder: Path, normalise: bool = True, **changes) -> None:
    """Write both files that say what a WavLM is, of the golden file's ``base`` with changes."""
    values = {"model_type": "wavlm", "architectures": ["WavLMForXVector"], **BASE, **changes}
    (folder / "config.json").write_text(json.dumps(values))
    level = {"do_normalize": normalise, "sampling_rate": 16_000, "feature_size": 1}
    (folder / "preprocessor_config.json").write_text(json.dumps(level))


def shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the upstream's state: those of the parity cases, or the one size."""
    if kind == "resemblyzer":
        return _resemblyzer()
    name = {"ecapa_tdnn": "ecapa", "coqui": "resnet", "wavlm": "wavlm"}[kind]
    with np.load(GOLDEN / f"{name}.npz") as archive:
        stored = json.loads(str(archive["base/shapes" if kind == "wavlm" else "shapes"]))
    return {key: tuple(shape) for key, shape in stored.items()}


def _resemblyzer() -> dict[str, tuple[int, ...]]:
    gates = 4 * HIDDEN_DIM
    result: dict[str, tuple[int, ...]] = {
        "linear.weight": (EMBEDDING_DIM, HIDDEN_DIM),
        "linear.bias": (EMBEDDING_DIM,),
    }
    for layer in range(LAYERS):
        result[f"lstm.weight_ih_l{layer}"] = (gates, HIDDEN_DIM if layer else 40)
        result[f"lstm.weight_hh_l{layer}"] = (gates, HIDDEN_DIM)
        result |= {f"lstm.bias_{part}_l{layer}": (gates,) for part in ("ih", "hh")}
    return result
