"""Vocoders of Real-Time-Voice-Cloning (``vocoder.pt``, MIT): read with their Adam, and written.

Its files are ``{"model_state": ..., "optimizer_state": ...}`` or the state dictionary alone. The
optimizer counts parameters in the order of the state dictionary, ``step`` first, which has no
gradient and so no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.digests import file_sha256
from myxtts.errors import ConfigError, WeightsError
from myxtts.models.wavernn import MIXTURES, WaveRNN
from myxtts.settings import to_dict
from myxtts.vocoder_config import WaveRNNConfig
from myxtts.weights.conversion import Rule, affine, batch_norm, conv1d, convert, linear, pointwise
from myxtts.weights.rtvc import (
    MODEL,
    OPTIMIZER,
    STEP,
    Adam,
    adam_from_torch,
    adam_to_torch,
    count_in,
    gru,
    require_kind,
    smoothing,
    undone,
)
from myxtts.weights.torch_file import read_torch_content, write_torch_file

KIND = "vocoder"
IGNORED = {
    STEP: "a count, kept beside the weights",
    "*num_batches_tracked": "a count that torch does not use here",
}


@dataclass(frozen=True)
class VocoderFile:
    """What a ``vocoder.pt`` holds.

    Attributes:
        arrays: the state dictionary.
        step: steps behind it.
        optimizer: as torch keeps it; None where there is none.
    """

    arrays: dict[str, np.ndarray]
    step: int
    optimizer: dict | None


def rules(sizes: WaveRNNConfig) -> list[Rule]:
    """Rules of every weight of a :class:`~myxtts.models.wavernn.WaveRNN`, in torch's order."""
    resnet = "upsample.resnet"
    result = [Rule(f"{resnet}.conv_in.weight", "resnet/conv_in/kernel", conv1d)]
    result += batch_norm(f"{resnet}.batch_norm", "resnet/batch_norm")
    for index in range(sizes.res_blocks):
        source, target = f"{resnet}.layers.{index}", f"resnet/block_{index}"
        for part in (1, 2):
            result.append(
                Rule(f"{source}.conv{part}.weight", f"{target}/conv{part}/kernel", pointwise)
            )
        for part in (1, 2):
            result += batch_norm(f"{source}.batch_norm{part}", f"{target}/batch_norm{part}")
    result += affine(f"{resnet}.conv_out", "resnet/conv_out", pointwise)
    for index in range(len(sizes.upsample_factors)):
        source = f"upsample.up_layers.{2 * index + 1}.weight"
        result.append(Rule(source, f"up_{index}/kernel", smoothing))
    result += affine("I", "input_layer", linear)
    for name in ("rnn1", "rnn2"):
        result += gru(name, f"{name}/gru_cell")
    return result + [rule for name in ("fc1", "fc2", "fc3") for rule in affine(name, name, linear)]


def parameters(sizes: WaveRNNConfig) -> list[str]:
    """Keys of torch's parameters in their order, ``step`` first; buffers are none."""
    keys = [key for rule in rules(sizes) for key in rule.sources]
    return [STEP, *(key for key in keys if ".running_" not in key)]


def read(path: str | Path) -> VocoderFile:
    """Read a ``vocoder.pt``, or a bare state dictionary of one.

    Raises:
        WeightsError: it cannot be read or is no vocoder.
    """
    content = read_torch_content(path)
    wrapped = isinstance(content, dict) and isinstance(content.get(MODEL), dict)
    arrays = content[MODEL] if wrapped else content
    require_kind(path, arrays, KIND)
    arrays = {key: value for key, value in arrays.items() if isinstance(value, np.ndarray)}
    step = count_in(path, arrays.get(STEP, 0), STEP)
    optimizer = content.get(OPTIMIZER) if wrapped else None
    return VocoderFile(arrays, step, optimizer if isinstance(optimizer, dict) else None)


def sizes_of(arrays: Mapping[str, np.ndarray]) -> WaveRNNConfig:
    """Sizes that a state dictionary has by its shapes.

    Raises:
        WeightsError: they are those of no WaveRNN.
    """
    try:
        conv_in = arrays["upsample.resnet.conv_in.weight"]
        taps = [arrays[f"upsample.up_layers.{2 * index + 1}.weight"] for index in range(
            sum(key.startswith("upsample.up_layers.") for key in arrays))]  # fmt: skip
        blocks = {key.split(".")[3] for key in arrays if key.startswith("upsample.resnet.layers.")}
        outputs = len(arrays["fc3.weight"])
        mixed = outputs == 3 * MIXTURES
        values: dict[str, Any] = {
            "mode": "MOL" if mixed else "RAW",
            "mu_law": not mixed,
            "bits": 9 if mixed else outputs.bit_length() - 1,
            "feat_dims": conv_in.shape[1],
            "compute_dims": conv_in.shape[0],
            "pad": (conv_in.shape[2] - 1) // 2,
            "res_out_dims": len(arrays["upsample.resnet.conv_out.weight"]),
            "res_blocks": len(blocks),
            "upsample_factors": tuple((array.shape[-1] - 1) // 2 for array in taps),
            "rnn_dims": len(arrays["I.weight"]),
            "fc_dims": len(arrays["fc1.weight"]),
        }
        return WaveRNNConfig(**values)
    except (KeyError, IndexError, TypeError, ConfigError) as error:
        raise WeightsError(f"the state dictionary is that of no WaveRNN: {error}.") from error


def load(model: WaveRNN, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the weights of ``model``, built, from a state dictionary.

    Raises:
        WeightsError: it is that of another model.
    """
    convert(arrays, rules(model.sizes), model, IGNORED)


def open_vocoder(path: str | Path) -> tuple[WaveRNN, Adam | None]:
    """A model with the weights of a ``vocoder.pt``, and the state of its Adam.

    Raises:
        WeightsError: the file cannot be read or is no vocoder.
    """
    found = read(path)
    model = WaveRNN(sizes_of(found.arrays))
    model.build()
    load(model, found.arrays)
    model.trained_steps = found.step
    model.provenance = f"local:{Path(path).name}@sha256:{file_sha256(path)}"
    return model, adam_of(path, found, model.sizes)


def adam_of(path: str | Path, found: VocoderFile, sizes: WaveRNNConfig) -> Adam | None:
    """State of Adam by the paths of the model's variables; None where there is none yet.

    Raises:
        WeightsError: it is that of another model.
    """
    stored = adam_from_torch(path, found.optimizer, parameters(sizes), found.arrays)
    if stored is None:
        return None
    try:
        means, squares = (
            {
                rule.target: rule.transform(*(moments[key] for key in rule.sources))
                for rule in _learned(sizes)
            }
            for moments in (stored.means, stored.squares)
        )
    except KeyError as error:
        raise WeightsError(f"{path}: its optimizer has no state of {error}.") from error
    return Adam(stored.step, means, squares)


def state_dict(model: WaveRNN, step: int) -> dict[str, np.ndarray]:
    """Every key of RTVC's state dictionary, in its order."""
    variables, arrays = model.variables_by_name(), {STEP: np.array([step], "int64")}
    for rule in rules(model.sizes):
        arrays |= undone([rule], variables)
        if rule.target.endswith("moving_variance"):
            counter = rule.source.replace("running_var", "num_batches_tracked")
            arrays[counter] = np.array(step, "int64")
    return arrays


def optimizer_state(model: WaveRNN, adam: Adam | None, rate: float) -> dict:
    """What ``torch.optim.Adam.load_state_dict`` takes of an Adam by the variables' paths."""
    if adam is not None:
        learned = _learned(model.sizes)
        adam = Adam(adam.step, undone(learned, adam.means), undone(learned, adam.squares))
    return adam_to_torch(adam, parameters(model.sizes), rate)


def write(
    path: str | Path, model: WaveRNN, step: int, adam: Adam | None = None, rate: float = 1e-4
) -> None:
    """Write a ``vocoder.pt`` that Real-Time-Voice-Cloning loads, and trains on.

    Args:
        path: of the file.
        model: to write.
        step: steps behind it.
        adam: state of its optimizer.
        rate: of it.

    Raises:
        WeightsError: torch is not installed.
        CheckpointError: the file cannot be written.
    """
    content = {
        MODEL: state_dict(model, step),
        OPTIMIZER: optimizer_state(model, adam, rate),
    }
    write_torch_file(path, content)


def described(path: str | Path) -> dict:
    """Plain values of the ``model`` section of a ``vocoder.pt``."""
    return to_dict(sizes_of(read(path).arrays))


def _learned(sizes: WaveRNNConfig) -> list[Rule]:
    return [rule for rule in rules(sizes) if "/moving_" not in rule.target]
