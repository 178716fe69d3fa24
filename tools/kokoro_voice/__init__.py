"""Kokoro voices fitted to recordings: backends, voices, embedders and optimisers (torch)."""

from __future__ import annotations

import importlib

# Torch is loaded by those who ask for what needs it.
_PLACES = {
    "OptimizerConfig": "config",
    "VariableWeightAnalyzer": "analysis",
    "VoiceGradientOptimizer": "optimizer",
    "WavLMEmbedder": "embedders",
    "create_optimizer": "optimizer",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
