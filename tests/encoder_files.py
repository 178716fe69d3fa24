"""Small speaker encoders as their upstreams would write them, with drawn weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.upstream.drawn import draw_weights
from myxtts.models.resemblyzer import EMBEDDING_DIM, HIDDEN_DIM, LAYERS

GOLDEN = Path(__file__).resolve().parent / "golden"
KINDS = ("ecapa_tdnn", "coqui", "resemblyzer")
FILES = {
    "ecapa_tdnn": "embedding_model.ckpt",
    "coqui": "model_se.pth",
    "resemblyzer": "pretrained.pt",
}


def write_encoder(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write a torch file of the sizes that ``conftest.MICRO`` names, and return its path."""
    torch = pytest.importorskip("torch", reason="torch writes the upstream's file")
    state = {
        name: torch.from_numpy(np.asarray(value))
        for name, value in draw_weights(shapes(kind), seed).items()
    }
    sections = {"ecapa_tdnn": state, "coqui": {"model": state}, "resemblyzer": None}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(sections[kind] or {"model_state": state}, folder / FILES[kind])
    return folder / FILES[kind]


def shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the upstream's state: those of the parity cases, or the one size."""
    if kind == "resemblyzer":
        return _resemblyzer()
    name = {"ecapa_tdnn": "ecapa", "coqui": "resnet"}[kind]
    with np.load(GOLDEN / f"{name}.npz") as archive:
        stored = json.loads(str(archive["shapes"]))
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
