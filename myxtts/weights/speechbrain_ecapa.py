"""SpeechBrain's ``ECAPA_TDNN`` (``spkrec-ecapa-voxceleb``, Apache-2.0) to its Keras twin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

from myxtts.audio.frontends import SPEECHBRAIN_ECAPA
from myxtts.errors import WeightsError
from myxtts.models.ecapa_tdnn import ECAPATDNN, SERes2NetBlock
from myxtts.weights.conversion import Rule, affine, batch_norm, conv1d, convert, pointwise

HYPERPARAMETERS = "hyperparams.yaml"
IGNORED = {"*.num_batches_tracked": "counts the upstream's training batches"}
# The upstream's names of what ``ECAPAConfig`` calls otherwise.
NAMES = {
    "attention_channels": "attention_dim",
    "se_channels": "squeeze_dim",
    "lin_neurons": "embedding_dim",
}


def rules(encoder: ECAPATDNN) -> list[Rule]:
    """Rules of every weight of ``encoder``."""
    result = _tdnn("blocks.0", "first")
    for number, block in enumerate(encoder.blocks, start=1):
        result += _block(f"blocks.{number}", block)
    result += _tdnn("mfa", "aggregation")
    result += _tdnn("asp.tdnn", "pooling/context")
    result += affine("asp.conv.conv", "pooling/score", pointwise)
    result += batch_norm("asp_bn.norm", "pooled_norm")
    return result + affine("fc.conv", "projection", pointwise)


def load(encoder: ECAPATDNN, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the weights of ``encoder`` from the upstream's state dictionary.

    Raises:
        WeightsError: the two do not fit.
    """
    convert(arrays, rules(encoder), encoder, IGNORED)


def check_configuration(file: Path, encoder: ECAPATDNN) -> None:
    """Compare ``hyperparams.yaml`` beside a weights file, if there is one, with ``encoder``.

    Dilations show in no weight's shape, so that only this file can tell.

    Raises:
        WeightsError: it cannot be read, has an attribute of the encoder that is unknown
            here, or another value.
    """
    path = file.with_name(HYPERPARAMETERS)
    if not path.is_file():
        return
    values = _read(path)
    for name, value in values.get("embedding_model", {}).items():
        own = NAMES.get(name, name)
        expected = SPEECHBRAIN_ECAPA.n_mels if own == "input_size" else getattr(encoder.sizes, own, None)
        if expected is None:
            raise WeightsError(f"{path}: embedding_model has {name}, which is not supported here.")
        found = tuple(value) if isinstance(value, list) else value
        if found != expected:
            raise WeightsError(f"{path}: {name} is {value}, model.ecapa expects {expected}.")


def _read(path: Path) -> dict:
    """The plain data of a HyperPyYAML file; its tags name classes and are not followed."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WeightsError(f"{path} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path} is no hyper-parameter file of SpeechBrain.")
    references = {f"<{name}>": value for name, value in values.items() if _is_plain(value)}
    model = values.get("embedding_model")
    if isinstance(model, dict):
        values["embedding_model"] = {
            name: references.get(value, value) if isinstance(value, str) else value
            for name, value in model.items()
        }
    return values


def _is_plain(value: object) -> bool:
    return isinstance(value, (int, float, str))


class _PlainLoader(yaml.SafeLoader):
    """Reads what stands behind an unknown tag as plain data."""


def _plain(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_PlainLoader.add_multi_constructor("!", _plain)


def _block(source: str, block: SERes2NetBlock) -> list[Rule]:
    target = block.name
    result = _tdnn(f"{source}.tdnn1", f"{target}/before")
    result += _tdnn(f"{source}.tdnn2", f"{target}/after")
    for number, group in enumerate(block.groups):
        result += _tdnn(f"{source}.res2net_block.blocks.{number}", f"{target}/{group.name}")
    result += affine(f"{source}.se_block.conv1.conv", f"{target}/squeeze", pointwise)
    result += affine(f"{source}.se_block.conv2.conv", f"{target}/excite", pointwise)
    if block.shortcut is not None:
        result += affine(f"{source}.shortcut.conv", f"{target}/shortcut", conv1d)
    return result


def _tdnn(source: str, target: str) -> list[Rule]:
    return [
        *affine(f"{source}.conv.conv", f"{target}/conv", conv1d),
        *batch_norm(f"{source}.norm.norm", f"{target}/norm"),
    ]
