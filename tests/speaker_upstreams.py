"""The speaker encoders' upstreams for parity tests; torch is imported when they are built."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.upstream.drawn import draw_weights


def relative_error(ours, theirs: np.ndarray) -> float:
    """Largest difference over the reference's largest value."""
    return float(np.max(np.abs(np.asarray(ours) - theirs)) / np.max(np.abs(theirs)))


def cosine(one, other) -> float:
    one, other = np.asarray(one, "float64"), np.asarray(other, "float64")
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def require(*packages: str) -> None:
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed (make reference)")


def drawn(module) -> dict[str, np.ndarray]:
    """Trained-looking weights and batch-norm statistics, which ``module`` now has too."""
    import torch

    shapes = {
        key: tuple(value.shape)
        for key, value in module.state_dict().items()
        if not key.startswith("torch_spec")
    }
    arrays = draw_weights(shapes)
    tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}
    module.load_state_dict(tensors, strict=False)
    return arrays


def upstream(kind: str):
    """Upstream's module of the cases' size and a function from audio to its embedding."""
    if kind == "resemblyzer":
        from resemblyzer import VoiceEncoder
        from resemblyzer.audio import normalize_volume

        voice = VoiceEncoder("cpu", verbose=False)
        raised = functools.partial(normalize_volume, target_dBFS=-30, increase_only=True)
        return voice, lambda audio: voice.embed_utterance(raised(audio).astype("float32"))
    from tests.golden import reference

    case = {"ecapa_tdnn": "ecapa", "coqui": "resnet"}[kind]
    module = reference.BUILDERS[case]().eval()
    return module, embedding_of(kind, module)


def embedding_of(kind: str, module) -> Callable[[np.ndarray], np.ndarray]:
    """The upstream's own way from audio ``(samples,)`` to an embedding ``(dim,)``."""
    import torch

    from tests.golden import reference

    @torch.no_grad()
    def theirs(audio: np.ndarray) -> np.ndarray:
        # The residual encoder changes its input's shape, hence the copy.
        batch = torch.from_numpy(np.array(audio, "float32")[None])
        if kind == "ecapa_tdnn":
            return module(reference.ecapa_features(batch))[0, 0].numpy()
        return module.forward(batch, l2_norm=True)[0].numpy()

    return theirs


def noise(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(samples).normal(size=samples)).astype("float32")


def state(module) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in module.state_dict().items()}
