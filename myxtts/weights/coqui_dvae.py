"""Coqui's ``DiscreteVAE`` (``dvae.pth`` of XTTS-v2) to :class:`~myxtts.models.dvae.DVAE`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myxtts.models.dvae import DVAE
from myxtts.weights.conversion import Rule, affine, conv1d, convert

IGNORED = {"discrete_loss.*": "running averages of a loss that only the upstream's training uses"}


def rules(dvae: DVAE) -> list[Rule]:
    """Rules of every weight of ``dvae``."""
    blocks = dvae.num_resnet_blocks
    result = affine("encoder.0.0", "down_0", conv1d) + affine("encoder.1.0", "down_1", conv1d)
    result += affine(f"encoder.{2 + blocks}", "to_codebook", conv1d)
    result += affine("decoder.0", "from_codebook", conv1d)
    for block in range(blocks):
        for index, layer in enumerate((0, 2, 4)):
            source, target = f"net.{layer}", f"conv_{index}"
            result += affine(
                f"encoder.{2 + block}.{source}", f"encoder_block_{block}/{target}", conv1d
            )
            result += affine(
                f"decoder.{1 + block}.{source}", f"decoder_block_{block}/{target}", conv1d
            )
    result += affine(f"decoder.{1 + blocks}.0.conv", "up_0", conv1d)
    result += affine(f"decoder.{2 + blocks}.0.conv", "up_1", conv1d)
    result += affine(f"decoder.{3 + blocks}", "to_mel", conv1d)
    names = ("embed", "cluster_size", "embed_avg")
    return result + [Rule(f"codebook.{name}", f"codebook/{name}") for name in names]


def load(dvae: DVAE, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the weights of ``dvae`` from the upstream's state dictionary.

    Raises:
        WeightsError: the two do not fit.
    """
    convert(arrays, rules(dvae), dvae, IGNORED)
