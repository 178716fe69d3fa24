"""One decode step of the GPT, compiled by numba: int8 matrices, float32 activations.

Importing this file needs numba. A matrix lies row by row, ``(outputs, inputs)``, so that a step
reads it once from beginning to end, whatever the batch; LLVM makes the inner loops vector code.
Axes: L blocks, B rows of the batch, D width, H heads, S slots of the cache.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from myxtts.generation.compiling import compiled

# What becomes of a product: it is stored, its GELU is, or it is added to what is there.
STORED, ACTIVATED, ADDED = 0, 1, 2
GELU_SCALE = np.float32(math.sqrt(2.0 / math.pi))
GELU_CUBE = np.float32(0.044715)
HALF, ONE, LOWEST = np.float32(0.5), np.float32(1.0), np.float32(-3e38)


class Matrix(NamedTuple):
    """The same projection of every block.

    Attributes:
        weights: int8 ``(L, outputs, inputs)``.
        scales: float32 ``(L, outputs)``.
        bias: float32 ``(L, outputs)``.
    """

    weights: np.ndarray
    scales: np.ndarray
    bias: np.ndarray


class Norm(NamedTuple):
    """The same layer norm of every block: float32 ``(L, D)`` both."""

    gamma: np.ndarray
    beta: np.ndarray


class Blocks(NamedTuple):
    """What a step computes with.

    Attributes:
        qkv, out, expand, contract: matrices of the blocks.
        first, second: norms before attention and before the feed-forward layers.
        closing: the two norms behind the last block, as ``(2, D)``.
        epsilon: float32 ``(1,)``, of all norms.
    """

    qkv: Matrix
    out: Matrix
    expand: Matrix
    contract: Matrix
    first: Norm
    second: Norm
    closing: Norm
    epsilon: np.ndarray


@compiled()
def normalise(inputs, gamma, beta, epsilon, outputs):
    """Layer norm of ``inputs`` ``(B, D)`` into ``outputs``, which may be the same array."""
    size = inputs.shape[1]
    for item in range(inputs.shape[0]):
        row, result = inputs[item], outputs[item]
        mean = np.float32(0)
        for index in range(size):
            mean += row[index]
        mean /= np.float32(size)
        variance = np.float32(0)
        for index in range(size):
            variance += (row[index] - mean) * (row[index] - mean)
        factor = ONE / np.float32(math.sqrt(variance / np.float32(size) + epsilon))
        for index in range(size):
            result[index] = (row[index] - mean) * factor * gamma[index] + beta[index]


@compiled(parallel=True)
def multiply(weights, scales, bias, inputs, outputs, kind):
    """Product of a matrix with rows, and what becomes of it.

    Args:
        weights, scales, bias: int8 ``(outputs, inputs)`` and float32 ``(outputs,)`` twice.
        inputs: float32 ``(B, inputs)``.
        outputs: float32 ``(B, outputs)``, written or added to.
        kind: ``STORED``, ``ACTIVATED`` or ``ADDED``.
    """
    for channel in prange(weights.shape[0]):
        weight = weights[channel]
        for item in range(inputs.shape[0]):
            row = inputs[item]
            total = np.float32(0)
            for index in range(weight.shape[0]):
                total += np.float32(weight[index]) * row[index]
            total = total * scales[channel] + bias[channel]
            if kind == ACTIVATED:
                inner = GELU_SCALE * (total + GELU_CUBE * total * total * total)
                total = HALF * total * (ONE + np.float32(math.tanh(inner)))
            elif kind == ADDED:
                total += outputs[item, channel]
            outputs[item, channel] = total


@compiled(parallel=True)
def attend(qkv, keys, values, lengths, outputs):
    """Attention of one new position to itself and all before it, which it joins in the cache.

    Args:
        qkv: float32 ``(B, 3 D)``, query, key and value of the position.
        keys, values: float32 ``(B, H, S, D / H)``, written at ``lengths``.
        lengths: int64 ``(B,)``, slots that are filled.
        outputs: float32 ``(B, D)``.
    """
    heads, size = keys.shape[1], keys.shape[3]
    width = heads * size
    scale = ONE / np.float32(math.sqrt(np.float32(size)))
    for job in prange(keys.shape[0] * heads):
        item, head = job // heads, job % heads
        first, last = head * size, lengths[item]
        key, value = keys[item, head], values[item, head]
        query, result = qkv[item, first : first + size], outputs[item, first : first + size]
        for index in range(size):
            key[last, index] = qkv[item, width + first + index]
            value[last, index] = qkv[item, 2 * width + first + index]
            result[index] = np.float32(0)
        scores = np.empty(last + 1, np.float32)
        largest = LOWEST
        for slot in range(last + 1):
            score = np.float32(0)
            for index in range(size):
                score += key[slot, index] * query[index]
            scores[slot] = score * scale
            largest = max(largest, scores[slot])
        total = np.float32(0)
        for slot in range(last + 1):
            weight = np.float32(math.exp(scores[slot] - largest))
            total += weight
            for index in range(size):
                result[index] += weight * value[slot, index]
        for index in range(size):
            result[index] /= total


@compiled()
def step(hidden, lengths, blocks, keys, values):
    """Read one embedded code a row; its latents take its place.

    Args:
        hidden: float32 ``(B, D)``, embeddings, then latents.
        lengths: int64 ``(B,)``, slots that are filled; one more afterwards.
        blocks: a :class:`Blocks`.
        keys, values: float32 ``(L, B, H, S, D / H)``; nobody looks whether there is room.
    """
    batch, dim = hidden.shape
    epsilon = blocks.epsilon[0]
    qkv, out, expand, contract = blocks.qkv, blocks.out, blocks.expand, blocks.contract
    normed = np.empty((batch, dim), np.float32)
    heard = np.empty((batch, dim), np.float32)
    joined = np.empty((batch, 3 * dim), np.float32)
    wide = np.empty((batch, 4 * dim), np.float32)
    for block in range(keys.shape[0]):
        normalise(hidden, blocks.first.gamma[block], blocks.first.beta[block], epsilon, normed)
        multiply(qkv.weights[block], qkv.scales[block], qkv.bias[block], normed, joined, STORED)
        attend(joined, keys[block], values[block], lengths, heard)
        multiply(out.weights[block], out.scales[block], out.bias[block], heard, hidden, ADDED)
        normalise(hidden, blocks.second.gamma[block], blocks.second.beta[block], epsilon, normed)
        multiply(
            expand.weights[block], expand.scales[block], expand.bias[block], normed, wide, ACTIVATED
        )
        multiply(
            contract.weights[block],
            contract.scales[block],
            contract.bias[block],
            wide,
            hidden,
            ADDED,
        )
    for item in range(batch):
        lengths[item] += 1
    for norm in range(2):
        normalise(hidden, blocks.closing.gamma[norm], blocks.closing.beta[norm], epsilon, hidden)
