"""Coqui's ``HifiganGenerator`` to :class:`~myxtts.models.hifigan.HifiDecoder`.

In an XTTS-v2 checkpoint its keys start with ``hifigan_decoder.waveform_decoder.``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myxtts.models.hifigan import HifiDecoder
from myxtts.weights.conversion import (
    Rule,
    affine,
    conv1d,
    conv_transpose1d,
    convert,
    fold_weight_norm,
    pointwise,
)


def rules(decoder: HifiDecoder) -> list[Rule]:
    """Rules of every weight of ``decoder``, for arrays whose weight norms are folded."""
    result = affine("conv_pre", "conv_pre", conv1d) + affine("cond_layer", "cond_pre", pointwise)
    kernels = len(decoder.resblock_kernels)
    for stage in range(len(decoder.upsample_rates)):
        result += affine(f"ups.{stage}", f"up_{stage}", conv_transpose1d)
        result += affine(f"conds.{stage}", f"cond_{stage}", pointwise)
        for kernel in range(kernels):
            source, target = f"resblocks.{stage * kernels + kernel}", f"res_{stage}_{kernel}"
            for index in range(len(decoder.resblock_dilations)):
                result += affine(f"{source}.convs1.{index}", f"{target}/dilated_{index}", conv1d)
                result += affine(f"{source}.convs2.{index}", f"{target}/plain_{index}", conv1d)
    return [*result, Rule("conv_post.weight", "conv_post/kernel", conv1d)]


def load(decoder: HifiDecoder, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the weights of ``decoder`` from the upstream's state dictionary.

    Raises:
        WeightsError: the two do not fit.
    """
    convert(fold_weight_norm(arrays), rules(decoder), decoder)
