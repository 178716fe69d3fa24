"""Resemblyzer's weights (Apache-2.0), as its PyPI package ships them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myxtts.models.resemblyzer import LAYERS, ResemblyzerEncoder
from myxtts.weights.conversion import Rule, added, affine, convert, linear

SECTION = "model_state"
IGNORED = {"similarity_*": "scale and bias of the upstream's training loss"}


def rules(layers: int = LAYERS) -> list[Rule]:
    """Rules of every weight of :class:`~myxtts.models.resemblyzer.ResemblyzerEncoder`."""
    result = affine("linear", "linear", linear)
    for layer in range(layers):
        cell = f"lstm_{layer}/lstm_cell"
        result += [
            Rule(f"lstm.weight_ih_l{layer}", f"{cell}/kernel", linear),
            Rule(f"lstm.weight_hh_l{layer}", f"{cell}/recurrent_kernel", linear),
            Rule((f"lstm.bias_ih_l{layer}", f"lstm.bias_hh_l{layer}"), f"{cell}/bias", added),
        ]
    return result


def load(encoder: ResemblyzerEncoder, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the weights of ``encoder``.

    Raises:
        WeightsError: ``arrays`` are not Resemblyzer's.
    """
    convert(arrays, rules(len(encoder.lstms)), encoder, IGNORED)
