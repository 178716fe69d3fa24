"""Write ``wavlm.npz``: ``python -m tests.golden.make_wavlm``; needs transformers and torch.

Two small WavLMs with drawn weights, as ``base`` and ``large`` are made, and what each gives.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.upstream.drawn import Arrays, draw_weights

SAMPLES = 11_000
BASE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "num_buckets": 40,
    "max_bucket_distance": 60,
    "use_weighted_layer_sum": True,
    "tdnn_dim": [16, 16, 16, 16, 24],
    "xvector_output_dim": 24,
    "num_labels": 3,
    "layerdrop": 0.0,
}
VARIANTS = {
    "base": BASE,
    "large": BASE | {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
}


def main() -> None:
    audio = (0.1 * np.random.default_rng(4).normal(size=(1, SAMPLES))).astype("float32")
    content: Arrays = {"audio": audio}
    for name, sizes in VARIANTS.items():
        module = build(sizes)
        shapes = {key: tuple(value.shape) for key, value in state(module).items()}
        content[f"{name}/shapes"] = np.array(json.dumps(shapes))
        content |= {f"{name}/{key}": value for key, value in run(module, audio).items()}
    path = Path(__file__).with_name("wavlm.npz")
    np.savez_compressed(path, command=np.array("python -m tests.golden.make_wavlm"), **content)
    print(path, path.stat().st_size)


def build(sizes: dict, with_head: bool = True, seed: int = 0):
    """The upstream's module of these sizes with drawn weights."""
    import torch
    from transformers import WavLMConfig, WavLMForXVector, WavLMModel

    module = (WavLMForXVector if with_head else WavLMModel)(WavLMConfig(**sizes)).eval()
    drawn = draw(state(module), seed)
    module.load_state_dict({key: torch.from_numpy(value) for key, value in drawn.items()})
    return module


def draw(arrays: Arrays, seed: int = 0) -> Arrays:
    """Trained-looking weights of these keys and shapes; the weights of layers differ well."""
    drawn = draw_weights({key: tuple(value.shape) for key, value in arrays.items()}, seed)
    return {
        key: np.asarray(10 * value if key == "layer_weights" else value, "float32")
        for key, value in drawn.items()
    }


def state(module) -> Arrays:
    """The module's state dictionary."""
    return {key: value.numpy() for key, value in module.state_dict().items()}


def run(module, audio: np.ndarray) -> Arrays:
    """Every intermediate and the embedding of audio ``(batch, samples)`` without padding."""
    import torch

    with torch.no_grad():
        batch = torch.from_numpy(audio)
        backbone = getattr(module, "wavlm", module)
        heard = backbone(batch, output_hidden_states=True)
        outputs = {f"hidden_{i}": value for i, value in enumerate(heard.hidden_states)}
        outputs |= {"features": heard.extract_features, "last": heard.last_hidden_state}
        if backbone is not module:
            outputs["embeddings"] = module(batch).embeddings
    return {key: value.numpy() for key, value in outputs.items()}


if __name__ == "__main__":
    main()
