"""Coqui's ``ResNetSpeakerEncoder`` to its Keras twin in ``models/coqui_resnet.py``.

It is part of an XTTS-v2 checkpoint and was published alone as ``model_se.pth.tar``
with its ``config_se.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from myxtts.audio.frontends import COQUI_SPEAKER
from myxtts.errors import WeightsError
from myxtts.models.coqui_resnet import ResNetSpeakerEncoder, SEBasicBlock
from myxtts.weights.conversion import Rule, affine, batch_norm, conv2d, convert, linear, pointwise

# In a trainer's checkpoint, in a published XTTS-v2, alone.
PREFIXES = ("xtts.hifigan_decoder.speaker_encoder.", "hifigan_decoder.speaker_encoder.", "")
CONFIGURATION = "config_se.json"
# What the upstream takes for a parameter of the model that the file leaves out.
DEFAULTS = {"log_input": False, "use_torch_spec": False}
IGNORED = {
    "*.num_batches_tracked": "counts the upstream's training batches",
    "torch_spec.*": "the front-end computes its window and filters itself",
}


def rules(encoder: ResNetSpeakerEncoder) -> list[Rule]:
    """Rules of every weight of ``encoder``."""
    result = affine("conv1", "conv1", conv2d) + batch_norm("bn1", "bn1")
    for block in encoder.residuals:
        result += _block_rules(block)
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


def check_configuration(file: Path, encoder: ResNetSpeakerEncoder) -> None:
    """Compare ``config_se.json`` beside a weights file, if there is one, with this port.

    Raises:
        WeightsError: it cannot be read, or describes another front-end or network.
    """
    path = file.with_name(CONFIGURATION)
    if not path.is_file():
        return
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = DEFAULTS | dict(values["audio"]) | dict(values["model_params"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read as a configuration: {error!r}.") from error
    for name, expected in _expected(encoder).items():
        if found.get(name, expected) != expected:
            raise WeightsError(f"{path}: {name} is {found[name]}, {expected} is supported.")


def _expected(encoder: ResNetSpeakerEncoder) -> dict:
    spec = COQUI_SPEAKER
    return {
        "model_name": "resnet",
        "input_dim": spec.n_mels,
        "proj_dim": encoder.embedding_dim,
        "use_torch_spec": True,
        "log_input": True,
        "sample_rate": spec.sample_rate,
        "fft_size": spec.n_fft,
        "win_length": spec.win_length,
        "hop_length": spec.hop_length,
        "num_mels": spec.n_mels,
        "preemphasis": spec.preemphasis,
    }


def _block_rules(block: SEBasicBlock) -> list[Rule]:
    source, target = block.name.replace("_", "."), block.name
    result = [
        Rule(f"{source}.conv1.weight", f"{target}/conv1/kernel", conv2d),
        Rule(f"{source}.conv2.weight", f"{target}/conv2/kernel", conv2d),
        *batch_norm(f"{source}.bn1", f"{target}/bn1"),
        *batch_norm(f"{source}.bn2", f"{target}/bn2"),
        *affine(f"{source}.se.fc.0", f"{target}/squeeze", linear),
        *affine(f"{source}.se.fc.2", f"{target}/excite", linear),
    ]
    if block.shortcut is not None:
        result.append(Rule(f"{source}.downsample.0.weight", f"{target}/shortcut/kernel", conv2d))
        result += batch_norm(f"{source}.downsample.1", f"{target}/shortcut_bn")
    return result
