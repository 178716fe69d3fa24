"""The numbers of Real-Time-Voice-Cloning beside the checkout, for tests that want them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "sv2tts_fixtures"


def fixture(name: str) -> dict[str, np.ndarray]:
    """Arrays of a fixture file; the test skips where it is not there."""
    path = FOLDER / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"the fixtures of SV2TTS (../shared/sv2tts_fixtures/{path.name}) are not here")
    with np.load(path) as file:
        return {key: file[key] for key in file}


def keys_of(name: str) -> dict[str, list]:
    """``[shape, type]`` of each entry of a state dictionary, in torch's order."""
    path = FOLDER / "state_dict_keys.json"
    if not path.is_file():
        pytest.skip("the fixtures of SV2TTS (../shared/sv2tts_fixtures) are not here")
    return json.loads(path.read_text(encoding="utf-8"))[name]


def weights(arrays: dict[str, np.ndarray], start: str = "w/") -> dict[str, np.ndarray]:
    """What of a fixture is under ``start``, without it."""
    return {
        key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)
    }


def drawn_vocoder(seed: int, kind: str = "vocoder_RAW") -> dict[str, np.ndarray]:
    """The full-size vocoder's weights by the rule in the fixtures' README."""
    shapes = {key: tuple(shape) for key, (shape, _) in keys_of(kind).items()}
    base = 720 + seed
    return {
        key: _drawn(key, shapes[key], np.random.RandomState(1000 * base + place))
        for place, key in enumerate(sorted(shapes))
        if key != "step" and not key.endswith("num_batches_tracked")
    }


def _drawn(key: str, shape: tuple[int, ...], random: np.random.RandomState) -> np.ndarray:
    n = random.standard_normal(shape)
    if key.endswith("running_var"):
        value = 0.5 + np.abs(n)
    elif key.endswith("running_mean"):
        value = 0.3 * n
    elif ("bnorm" in key or "batch_norm" in key) and key.endswith("weight"):
        value = 1 + 0.2 * n
    elif "up_layers" in key:
        value = (1 + 0.5 * n) / shape[-1]
    elif len(shape) == 1:
        value = 0.1 * n
    else:
        value = n * 1.2 / np.sqrt(np.prod(shape[1:]))
    return value.astype("float32")
