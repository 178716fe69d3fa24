"""WavLM as ``transformers`` keeps it to its Keras twin in ``models/wavlm.py``.

A folder of ``save_pretrained`` or a repository of the hub: ``config.json``,
``preprocessor_config.json``, and ``model.safetensors`` or ``pytorch_model.bin``.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from myxtts.errors import ConfigError, WeightsError
from myxtts.files import read_object
from myxtts.models.wavlm import WavLMEncoder
from myxtts.timing import SPEAKER_RATE
from myxtts.wavlm_config import WavLMConfig
from myxtts.weights.conversion import (
    Rule,
    affine,
    conv1d,
    convert,
    fold_weight_norm,
    linear,
    norm,
)
from myxtts.weights.safetensors_file import read_safetensors
from myxtts.weights.torch_file import read_torch_file

logger = logging.getLogger(__name__)

CONFIGURATION, PREPROCESSOR = "config.json", "preprocessor_config.json"
FILES = ("model.safetensors", "pytorch_model.bin")
# Of all keys but the head's, in files of the class with the head.
PREFIX = "wavlm."
HEADLESS, WITH_HEAD = "WavLMModel", "WavLMForXVector"
IGNORED = {
    "masked_spec_embed": "stands for masked frames in the upstream's pre-training",
    "classifier.*": "between the embedding and the upstream's training loss",
    "objective.*": "the upstream's training loss",
}
# Settings that ``config.json`` says: its names, and what the upstream takes where it has none.
NAMES = {
    "conv_channels": ("conv_dim", [512] * 7),
    "conv_kernels": ("conv_kernel", [10, 3, 3, 3, 3, 2, 2]),
    "conv_strides": ("conv_stride", [5, 2, 2, 2, 2, 2, 2]),
    "conv_bias": ("conv_bias", False),
    "conv_norm": ("feat_extract_norm", "group"),
    "hidden_dim": ("hidden_size", 768),
    "layers": ("num_hidden_layers", 12),
    "heads": ("num_attention_heads", 12),
    "feed_forward_dim": ("intermediate_size", 3072),
    "pre_norm": ("do_stable_layer_norm", False),
    "position_kernel": ("num_conv_pos_embeddings", 128),
    "position_groups": ("num_conv_pos_embedding_groups", 16),
    "position_buckets": ("num_buckets", 320),
    "position_distance": ("max_bucket_distance", 800),
    "layer_sum": ("use_weighted_layer_sum", False),
    "head_channels": ("tdnn_dim", [512, 512, 512, 512, 1500]),
    "head_kernels": ("tdnn_kernel", [5, 3, 3, 1, 1]),
    "head_dilations": ("tdnn_dilation", [1, 2, 3, 1, 1]),
    "head_dim": ("xvector_output_dim", 512),
}
# What a file says, or leaves out, in which this port has no choice.
FIXED = {
    CONFIGURATION: {
        "model_type": "wavlm",
        "hidden_act": "gelu",
        "feat_extract_activation": "gelu",
        "layer_norm_eps": 1e-5,
        "add_adapter": False,
    },
    PREPROCESSOR: {"feature_size": 1, "sampling_rate": SPEAKER_RATE, "padding_value": 0.0},
}
# What the upstream takes where the file leaves it out.
NORMALISED = True


def read(path: Path) -> dict[str, np.ndarray]:
    """State dictionary of a weights file, whose suffix says of which kind it is.

    Raises:
        WeightsError: it cannot be read.
    """
    return read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)


def described(file: Path, sizes: WavLMConfig) -> WavLMConfig:
    """``sizes`` as the configuration files beside a weights file say; unchanged without any.

    Args:
        file: the weights.
        sizes: what the user has set, and defaults for the rest.

    Raises:
        WeightsError: a file cannot be read, describes something that is not supported, or
            contradicts what was set.
    """
    found = _found(file)
    for name, (value, where) in found.items():
        default, own = getattr(WavLMConfig(), name), getattr(sizes, name)
        if own not in (default, value):
            raise WeightsError(f"{where} is {_shown(value)}, but model.wavlm.{name} is {own}.")
    try:
        return dataclasses.replace(sizes, **{name: value for name, (value, _) in found.items()})
    except ConfigError as error:
        raise WeightsError(f"{file.with_name(CONFIGURATION)}: {error}") from error


def check_configuration(file: Path, encoder: WavLMEncoder) -> None:
    """Compare the configuration files beside a weights file, if there are any, with ``encoder``.

    Raises:
        WeightsError: they cannot be read, or describe another network.
    """
    for name, (value, where) in _found(file).items():
        wanted = getattr(encoder.sizes, name)
        if value != wanted:
            raise WeightsError(
                f"{where} is {_shown(value)}, {_shown(wanted)} is expected here "
                f"(model.wavlm.{name})."
            )


def load(encoder: WavLMEncoder, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the weights of ``encoder`` from the upstream's state dictionary.

    Raises:
        WeightsError: the two do not fit.
    """
    bare = {key.removeprefix(PREFIX): value for key, value in arrays.items()}
    if len(bare) < len(arrays):
        raise WeightsError(f"the source has keys both with and without {PREFIX!r} before them.")
    convert(fold_weight_norm(bare, kept=2), rules(encoder), encoder, IGNORED)


def rules(encoder: WavLMEncoder) -> list[Rule]:
    """Rules of every weight of ``encoder``."""
    result = backbone_rules(encoder)
    if encoder.layer_weights is not None:
        result.append(Rule("layer_weights", "layer_weights"))
    return result + (head_rules(encoder) if encoder.head is not None else [])


def backbone_rules(encoder: WavLMEncoder) -> list[Rule]:
    """Rules of what a file without a head has."""
    result = []
    for number, conv in enumerate(encoder.convs):
        source = f"feature_extractor.conv_layers.{number}"
        kernel, bias = affine(f"{source}.conv", f"{conv.name}/conv", conv1d)
        result += [kernel, bias] if encoder.sizes.conv_bias else [kernel]
        result += norm(f"{source}.layer_norm", f"{conv.name}/norm") if conv.norm else []
    result += norm("feature_projection.layer_norm", "feature_norm")
    result += affine("feature_projection.projection", "projection", linear)
    result += affine("encoder.pos_conv_embed.conv", "positional/conv", conv1d)
    result += norm("encoder.layer_norm", "norm")
    result.append(Rule("encoder.layers.0.attention.rel_attn_embed.weight", "positions/table"))
    for number, block in enumerate(encoder.blocks):
        result += _block(f"encoder.layers.{number}", block.name)
    return result


def head_rules(encoder: WavLMEncoder) -> list[Rule]:
    """Rules of the x-vector head."""
    head = encoder.head
    result = affine("projector", "head/projector", linear)
    for number, (conv, size) in enumerate(zip(head.convs, head.kernel_sizes, strict=True)):
        result += affine(f"tdnn.{number}.kernel", f"head/{conv.name}", _unfolded(size))
    return result + affine("feature_extractor", "head/embedding", linear)


def joined(*arrays: np.ndarray) -> np.ndarray:
    """torch ``nn.Linear`` layers of one input to one Dense kernel, or their biases to one."""
    return np.concatenate([array.T for array in arrays], axis=-1)


def _unfolded(size: int):
    """Transform of a convolution that is kept as a Linear (out, size * in)."""

    def unfolded(array: np.ndarray) -> np.ndarray:
        if array.ndim == 1:
            return array
        return array.reshape(len(array), size, -1).transpose(1, 2, 0)

    return unfolded


def _block(source: str, target: str) -> list[Rule]:
    attention, own = f"{source}.attention", f"{target}/attention"
    parts = [f"{attention}.{part}_proj" for part in "qkv"]
    return [
        Rule(tuple(f"{part}.weight" for part in parts), f"{own}/qkv/kernel", joined),
        Rule(tuple(f"{part}.bias" for part in parts), f"{own}/qkv/bias", joined),
        *affine(f"{attention}.out_proj", f"{own}/out", linear),
        *affine(f"{attention}.gru_rel_pos_linear", f"{own}/gate", linear),
        Rule(f"{attention}.gru_rel_pos_const", f"{own}/gate_scale"),
        *norm(f"{source}.layer_norm", f"{target}/attention_norm"),
        *affine(f"{source}.feed_forward.intermediate_dense", f"{target}/widen", linear),
        *affine(f"{source}.feed_forward.output_dense", f"{target}/narrow", linear),
        *norm(f"{source}.final_layer_norm", f"{target}/norm"),
    ]


def _found(file: Path) -> dict[str, tuple]:
    """What the files beside ``file`` say: settings by name, with the place that says them."""
    path = file.with_name(CONFIGURATION)
    values = _read(path)
    if values is None:
        logger.warning(
            "%s is not there: the sizes of the WavLM are those of model.wavlm, and what no "
            "weight's shape shows is taken for granted.",
            path,
        )
        return {}
    found = {
        name: (_plain(values.get(theirs, default)), f"{path}: {theirs}")
        for name, (theirs, default) in NAMES.items()
    }
    found["head"] = (_has_head(path, values), f"{path}: the presence of a head")
    return found | _level(file.with_name(PREPROCESSOR))


def _has_head(path: Path, values: dict) -> bool:
    names = values.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or names[0] not in (HEADLESS, WITH_HEAD):
        raise WeightsError(
            f"{path}: architectures is {_shown(names)}, [{HEADLESS!r}] or [{WITH_HEAD!r}] is "
            "supported."
        )
    return names[0] == WITH_HEAD


def _level(path: Path) -> dict[str, tuple]:
    """Whether clips are brought to one level, as the feature extractor's file says."""
    values = _read(path)
    if values is None:
        logger.warning("%s is not there: model.wavlm.normalise says whether clips are.", path)
        return {}
    normalised = values.get("do_normalize", NORMALISED)
    if not isinstance(normalised, bool):
        raise WeightsError(f"{path}: do_normalize is {_shown(normalised)}, true or false it is.")
    return {"normalise": (normalised, f"{path}: do_normalize")}


def _read(path: Path) -> dict | None:
    """The object in a JSON file, with nothing in it that is not supported; None without one."""
    if not path.is_file():
        return None
    values = read_object(path, WeightsError, "cannot be read as a configuration")
    for name, wanted in FIXED[path.name].items():
        if values.get(name, wanted) != wanted:
            raise WeightsError(f"{path}: {name} is {_shown(values[name])}, {wanted} is supported.")
    return values


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _shown(value: object) -> str:
    told = repr(list(value) if isinstance(value, tuple) else value)
    return told if len(told) <= 80 else f"{told[:80]}..."
