"""SpeechBrain's ``ECAPA_TDNN`` (``spkrec-ecapa-voxceleb``, Apache-2.0) to its Keras twin."""

from __future__ import annotations

import dataclasses
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
    "attention_dim": "attention_channels",
    "squeeze_dim": "se_channels",
    "embedding_dim": "lin_neurons",
}
# They widen the context of frames, which ``context`` turns on.
UNUSED = ("left_frames", "right_frames")
# What the upstream takes for an attribute that the file leaves out and no weight shows.
DEFAULTS = {
    "embedding_model": {"dilations": [1, 2, 3, 4, 1]},
    "compute_features": {
        "n_mels": 40,
        "sample_rate": SPEECHBRAIN_ECAPA.sample_rate,
        "n_fft": SPEECHBRAIN_ECAPA.n_fft,
        "f_min": 0,
        "f_max": SPEECHBRAIN_ECAPA.f_max,
        "win_length": 25,
        "hop_length": 10,
        "deltas": False,
        "context": False,
        "filter_shape": "triangular",
    },
    "mean_var_norm": {"norm_type": "global", "mean_norm": True, "std_norm": True},
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

    Dilations and the front-end show in no weight's shape, so that only this file can tell.
    A section that is left out is not compared.

    Raises:
        WeightsError: it cannot be read, has an attribute that is unknown here, or another
            value.
    """
    path = file.with_name(HYPERPARAMETERS)
    if not path.is_file():
        return
    values = _read(path)
    for section, expected in _expected(encoder).items():
        if section in values:
            _compare(f"{path}: {section}", values[section], DEFAULTS[section], expected)


def _expected(encoder: ECAPATDNN) -> dict[str, dict]:
    spec = SPEECHBRAIN_ECAPA
    own = dataclasses.asdict(encoder.sizes)
    return {
        "embedding_model": {NAMES.get(name, name): value for name, value in own.items()}
        | {"input_size": spec.n_mels},
        "compute_features": DEFAULTS["compute_features"] | {"n_mels": spec.n_mels},
        "mean_var_norm": {"norm_type": "sentence", "mean_norm": True, "std_norm": False},
    }


def _compare(name: str, values: object, defaults: dict, expected: dict) -> None:
    if not isinstance(values, dict):
        raise WeightsError(f"{name} is no section of attributes.")
    for key, value in (defaults | values).items():
        if key in UNUSED:
            continue
        if key not in expected:
            raise WeightsError(f"{name} has {key}, which is not supported here.")
        wanted = expected[key]
        if value != (list(wanted) if isinstance(wanted, tuple) else wanted):
            raise WeightsError(f"{name}: {key} is {value}, {wanted} is expected here.")


def _read(path: Path) -> dict:
    """The plain data of a HyperPyYAML file; its tags name classes and are not followed."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)
    # A value such as the date 2020-99-99 is a ValueError, as are bytes that are no text.
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{path} cannot be read: {reason}.") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path} is no hyper-parameter file of SpeechBrain.")
    plain = {name: value for name, value in values.items() if isinstance(value, (int, float, str))}
    references = {f"<{name}>": value for name, value in plain.items()}
    return {name: _followed(value, references) for name, value in values.items()}


def _followed(section: object, references: dict) -> object:
    """``section`` with its references to plain values of the file replaced by these."""
    if not isinstance(section, dict):
        return section
    return {
        name: references.get(value, value) if isinstance(value, str) else value
        for name, value in section.items()
    }


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
