"""HiFi-GAN's convolutions in half the multiplications, compiled by numba.

Four neighbouring outputs of a convolution are computed together, as values of a polynomial at
six or seven points (Toom-Cook; Winograd 1980, Lavin and Gray 2016): a kernel of 3 taps costs 1.5
products an output, of 7 taps 3.5, of 11 taps 5.25. What goes to and from the points is done for
blocks that fit the processor's caches, and so are the activation before and the sum behind.

Importing this file needs numba. Arrays are float32; time is the first axis, channels the last.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import prange
from numba.core import cgutils, types
from numba.extending import intrinsic

from myxtts.generation.compiling import compiled

# Columns of a panel of weights: a whole number of any processor's registers.
COLUMNS = 16
# Rows that meet a panel at a time: as many sums fit the registers of AVX2.
ROWS = 6
# Outputs that are computed together.
TILE = 4
# Where the polynomials are evaluated, besides infinity.
POINTS = (0, 1, -1, Fraction(1, 2), Fraction(-1, 2), 2)
MOST_POINTS = len(POINTS) + 1
# Rows at each point of one block, a multiple of ROWS and of every dilation in use; and columns.
BLOCK_ROWS, BLOCK_COLUMNS = 60, 64
# What becomes of a result: it is stored, added to an input, and the mean of such sums is taken.
STORED, ADDED, AVERAGED = 0, 1, 2


class Kernel(NamedTuple):
    """A convolution as :func:`convolve` wants it.

    Attributes:
        weights: ``(points, panels, groups * inputs * COLUMNS)``, of each point.
        forth: ``(points, MOST_POINTS)``, from seven neighbours to the points.
        back: ``(TILE, MOST_POINTS)``, from the points to neighbours.
        bias: ``(outputs,)``.
        groups: taps at every point.
        dilation: of the taps.
        before: taps before the one in the middle.
    """

    weights: np.ndarray
    forth: np.ndarray
    back: np.ndarray
    bias: np.ndarray
    groups: int
    dilation: int
    before: int


def make_kernel(weights: np.ndarray, bias: np.ndarray, dilation: int = 1) -> Kernel:
    """A kernel ``(taps, inputs, outputs)`` of an odd number of taps, prepared."""
    taps = len(weights)
    together = 3 if taps == 3 else TILE
    forth, there, back = transforms(TILE, together)
    groups = -(-taps // together)
    full = np.zeros((groups * together, *weights.shape[1:]))
    full[:taps] = weights
    full = full.reshape(groups, together, *weights.shape[1:])
    at_points = np.einsum("pk,gkio->pgio", there, full)
    packed = np.stack([pack(point) for point in at_points])
    return Kernel(packed, wide(forth), wide(back), single(bias), groups, dilation, taps // 2)


def transforms(outputs: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices of the Toom-Cook algorithm for so many outputs of so many taps.

    Returns:
        ``forth`` ``(points, outputs + taps - 1)`` for the inputs, ``there`` ``(points, taps)``
        for the kernel, ``back`` ``(outputs, points)``: a convolution is
        ``back @ ((there @ kernel) * (forth @ inputs))``. float64.
    """
    count = outputs + taps - 1
    points = [float(point) for point in POINTS[: count - 1]]

    def powers(width: int) -> np.ndarray:
        rows = [[point**power for power in range(width)] for point in points]
        return np.array([*rows, [0.0] * (width - 1) + [1.0]])

    back, there = powers(outputs).T, powers(taps)
    others = [math.prod(x - y for y in points if y != x) for x in points]
    there /= np.array([*others, 1.0])[:, None]
    # Transposed, it is the product of two polynomials; what is left follows from both.
    products = np.einsum("jp,pk->jkp", back, there).reshape(-1, count)
    wanted = np.zeros((outputs, taps, count))
    for output in range(outputs):
        for tap in range(taps):
            wanted[output, tap, output + tap] = 1.0
    return np.linalg.lstsq(products, wanted.reshape(-1, count))[0], there, back


def pack(weights: np.ndarray) -> np.ndarray:
    """``(taps, inputs, outputs)`` as panels ``(panels, taps * inputs * COLUMNS)``."""
    taps, inputs, outputs = weights.shape
    panels = weights.reshape(taps * inputs, outputs // COLUMNS, COLUMNS).swapaxes(0, 1)
    return single(panels.reshape(len(panels), -1))


def single(array) -> np.ndarray:
    """A float32 array of its own."""
    return np.array(array, "float32", order="C")


def wide(matrix: np.ndarray) -> np.ndarray:
    """A matrix with MOST_POINTS columns, zeros behind its own."""
    return single(np.pad(matrix, [(0, 0), (0, MOST_POINTS - matrix.shape[1])]))


@intrinsic
def _tile(context, inputs, start, tap_stride, weights, taps, width, outputs, place, stride):
    """Products of ROWS rows with a panel, all arrays flat.

    Row ``r`` of tap ``k`` begins in ``inputs`` at ``start + k * tap_stride + r * width``; the
    results go into ``outputs`` at ``place + r * stride``.
    """
    signature = types.none(inputs, start, tap_stride, weights, taps, width, outputs, place, stride)
    lanes = ir.VectorType(ir.FloatType(), COLUMNS)

    def generate(context, builder, signature, args):
        def data(number):
            kind = signature.args[number]
            return context.make_array(kind)(context, builder, args[number]).data

        source, panel, into = data(0), data(3), data(6)
        start, tap_stride, taps, width, place, stride = (args[i] for i in (1, 2, 4, 5, 7, 8))
        number = start.type
        zero = ir.Constant(lanes, [0.0] * COLUMNS)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), COLUMNS), [0] * COLUMNS)
        totals = [cgutils.alloca_once_value(builder, zero) for _ in range(ROWS)]
        for total in totals:
            builder.store(zero, total)
        with cgutils.for_range(builder, taps) as outer:
            first = builder.add(start, builder.mul(outer.index, tap_stride))
            held = builder.mul(outer.index, width)
            rows = [
                builder.gep(
                    source,
                    [builder.add(first, builder.mul(width, ir.Constant(number, row)))],
                )
                for row in range(ROWS)
            ]
            with cgutils.for_range(builder, width) as inner:
                at = builder.mul(builder.add(held, inner.index), ir.Constant(number, COLUMNS))
                address = builder.bitcast(builder.gep(panel, [at]), lanes.as_pointer())
                column = builder.load(address, align=4)
                for row, total in zip(rows, totals, strict=True):
                    value = builder.load(builder.gep(row, [inner.index]))
                    one = builder.insert_element(
                        ir.Constant(lanes, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
                    )
                    many = builder.shuffle_vector(one, one, mask)
                    product = builder.fmul(many, column, flags=("contract",))
                    new = builder.fadd(builder.load(total), product, flags=("contract",))
                    builder.store(new, total)
        for row, total in enumerate(totals):
            at = builder.add(place, builder.mul(stride, ir.Constant(number, row)))
            address = builder.bitcast(builder.gep(into, [at]), lanes.as_pointer())
            builder.store(builder.load(total), address, align=4)
        return context.get_dummy_value()

    return signature, generate


@compiled()
def _activated(inputs, first, slope, heard):
    """Leaky inputs from step ``first`` on into ``heard``; zeros where there are none."""
    length, width = inputs.shape
    for row in range(heard.shape[0]):
        step = first + row
        own = heard[row]
        if 0 <= step < length:
            given = inputs[step]
            for index in range(width):
                own[index] = max(given[index], slope * given[index])
        else:
            for index in range(width):
                own[index] = np.float32(0)


@compiled()
def _to_points(heard, forth, dilation, tiles, points):
    """Values of the tiles in ``heard`` at ``points`` ``(points, rows, inputs)``."""
    width = heard.shape[1]
    for tile in range(tiles):
        for phase in range(dilation):
            first = TILE * tile * dilation + phase
            a, b, c = heard[first], heard[first + dilation], heard[first + 2 * dilation]
            d, e = heard[first + 3 * dilation], heard[first + 4 * dilation]
            f, g = heard[first + 5 * dilation], heard[first + 6 * dilation]
            for point in range(forth.shape[0]):
                u, v, w, x, y, z, last = forth[point]
                own = points[point, tile * dilation + phase]
                for i in range(width):
                    own[i] = (
                        u * a[i] + v * b[i] + w * c[i] + x * d[i] + y * e[i] + z * f[i]
                        + last * g[i]
                    )  # fmt: skip


@compiled()
def _from_points(made, kernel, first_tile, tiles, column, inputs, outputs, kind, share):
    """Results of a block's columns from ``made`` ``(MOST_POINTS, rows, columns)``."""
    length, count = outputs.shape[0], made.shape[2]
    back, dilation = kernel.back, kernel.dilation
    bias = kernel.bias[column : column + count]
    for tile in range(tiles):
        for phase in range(dilation):
            row = tile * dilation + phase
            a, b, c, d = made[0, row], made[1, row], made[2, row], made[3, row]
            e, f, g = made[4, row], made[5, row], made[6, row]
            for part in range(TILE):
                step = (TILE * (first_tile + tile) + part) * dilation + phase
                if step >= length:
                    continue
                u, v, w, x = back[part, 0], back[part, 1], back[part, 2], back[part, 3]
                y, z, last = back[part, 4], back[part, 5], back[part, 6]
                own = outputs[step, column : column + count]
                old = inputs[step, column : column + count]
                if kind == STORED:
                    for i in range(count):
                        own[i] = (
                            bias[i] + u * a[i] + v * b[i] + w * c[i] + x * d[i] + y * e[i]
                            + z * f[i] + last * g[i]
                        )  # fmt: skip
                elif kind == ADDED:
                    for i in range(count):
                        own[i] = old[i] + (
                            bias[i] + u * a[i] + v * b[i] + w * c[i] + x * d[i] + y * e[i]
                            + z * f[i] + last * g[i]
                        )  # fmt: skip
                else:
                    for i in range(count):
                        own[i] += share * (
                            old[i] + bias[i] + u * a[i] + v * b[i] + w * c[i] + x * d[i]
                            + y * e[i] + z * f[i] + last * g[i]
                        )  # fmt: skip


@compiled(parallel=True)
def convolve(inputs, kernel, slope, old, outputs, kind, share):
    """Convolution, as long as its inputs, of leaky inputs.

    Args:
        inputs: ``(steps, inputs)``.
        kernel: a :class:`Kernel`.
        slope: of the activation before it, below zero.
        old: ``(steps, outputs)``, what ``ADDED`` and ``AVERAGED`` add to the result.
        outputs: ``(steps, outputs)``, written, or by ``AVERAGED`` added to.
        kind: ``STORED``, ``ADDED`` or ``AVERAGED``.
        share: what ``AVERAGED`` multiplies by.
    """
    length, width = inputs.shape
    count, panels = kernel.weights.shape[:2]
    dilation, groups = kernel.dilation, kernel.groups
    size = BLOCK_ROWS // dilation
    tiles = -(-length // (TILE * dilation))
    columns = min(BLOCK_COLUMNS, panels * COLUMNS)
    for block in prange(-(-tiles // size)):
        first = block * size
        heard_tiles = size + groups - 1
        heard = np.empty(((TILE * heard_tiles + 3) * dilation, width), np.float32)
        points = np.empty((count, heard_tiles * dilation, width), np.float32)
        made = np.zeros((MOST_POINTS, BLOCK_ROWS, columns), np.float32)
        _activated(inputs, (TILE * first - kernel.before) * dilation, slope, heard)
        _to_points(heard, kernel.forth, dilation, heard_tiles, points)
        rows = min(size, tiles - first) * dilation
        for column in range(0, panels * COLUMNS, columns):
            for point in range(count):
                flat, into = points[point].reshape(-1), made[point].reshape(-1)
                for panel in range(columns // COLUMNS):
                    weights = kernel.weights[point, column // COLUMNS + panel]
                    for row in range(0, rows, ROWS):
                        _tile(
                            flat, row * width, dilation * width, weights, groups, width,
                            into, row * columns + panel * COLUMNS, columns,
                        )  # fmt: skip
            own = min(size, tiles - first)
            _from_points(made, kernel, first, own, column, old, outputs, kind, share)


@compiled(parallel=True)
def convolve_plainly(inputs, weights, bias, taps, before, slope, outputs):
    """Convolution of leaky inputs by all its products.

    Args:
        inputs: ``(steps, inputs)``.
        weights: of :func:`pack`.
        bias: ``(outputs,)``.
        taps: of the kernel, of which ``before`` meet earlier steps than the result's own.
        slope: of the activation before it, below zero; 1 for none.
        outputs: ``(steps, outputs)``, maybe more steps than there are inputs.
    """
    length, width = outputs.shape[0], inputs.shape[1]
    count = outputs.shape[1]
    for block in prange(-(-length // BLOCK_ROWS)):
        first = block * BLOCK_ROWS
        rows = min(BLOCK_ROWS, length - first)
        heard = np.empty((BLOCK_ROWS + taps - 1, width), np.float32)
        made = np.empty(ROWS * COLUMNS, np.float32)
        _activated(inputs, first - before, slope, heard)
        flat = heard.reshape(-1)
        for panel in range(count // COLUMNS):
            column = panel * COLUMNS
            for row in range(0, rows, ROWS):
                _tile(flat, row * width, width, weights[panel], taps, width, made, 0, COLUMNS)
                for part in range(min(ROWS, rows - row)):
                    own = outputs[first + row + part, column : column + COLUMNS]
                    for index in range(COLUMNS):
                        own[index] = made[part * COLUMNS + index] + bias[column + index]


@compiled()
def to_samples(inputs, weights, slope, outputs):
    """The last convolution ``(taps, inputs)`` of leaky inputs, and the tangent that bounds it."""
    length, width = inputs.shape
    half = weights.shape[0] // 2
    for step in range(length):
        total = np.float32(0)
        for tap in range(max(0, half - step), min(2 * half + 1, length + half - step)):
            given, weight = inputs[step + tap - half], weights[tap]
            for index in range(width):
                total += max(given[index], slope * given[index]) * weight[index]
        outputs[step] = math.tanh(total)
