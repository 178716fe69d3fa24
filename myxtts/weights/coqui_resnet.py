"""Coqui's ``ResNetSpeakerEncoder`` to its Keras twin in ``models/coqui_resnet.py``.

In an XTTS-v2 checkpoint its keys start with ``hifigan_decoder.speaker_encoder.``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myxtts.models.coqui_resnet import ResNetSpeakerEncoder
from myxtts.weights.conversion import (
    Rule,
    affine,
    batch_norm,
    conv2d,
    convert,
    linear,
    pointwise,
)

IGNORED = {
    "*.num_batches_tracked": "counts the upstream's training batches",
    "torch_spec.*": "the front-end computes its window and filters itself",
}


def rules(encoder: ResNetSpeakerEncoder) -> list[Rule]:
    """Rules of every weight of ``encoder``."""
    result = affine("conv1", "conv1", conv2d) + batch_norm("bn1", "bn1")
    for block in encoder.residuals:
        result += _block_rules(block.name.replace("_", "."), block.name, block.project)
    result += affine("attention.0", "attention_in", pointwise)
    result += batch_norm("attention.2", "attention_bn")
    result += affine("attention.3", "attention_out", pointwise)
    return result + affine("fc", "fc", linear)


def load(encoder: ResNetSpeakerEncoder, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the weights of ``encoder`` from the upstream's state dictionary.

    Raises:
        WeightsError: the two do not fit.
    """
    convert(arrays, rules(encoder), encoder, IGNORED)


def _block_rules(source: str, target: str, project: bool) -> list[Rule]:
    result = [
        Rule(f"{source}.conv1.weight", f"{target}/conv1/kernel", conv2d),
        Rule(f"{source}.conv2.weight", f"{target}/conv2/kernel", conv2d),
        *batch_norm(f"{source}.bn1", f"{target}/bn1"),
        *batch_norm(f"{source}.bn2", f"{target}/bn2"),
        *affine(f"{source}.se.fc.0", f"{target}/squeeze", linear),
        *affine(f"{source}.se.fc.2", f"{target}/excite", linear),
    ]
    if project:
        result.append(Rule(f"{source}.downsample.0.weight", f"{target}/shortcut/kernel", conv2d))
        result += batch_norm(f"{source}.downsample.1", f"{target}/shortcut_bn")
    return result
