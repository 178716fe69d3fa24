"""WaveRNN's step as one compiled loop on a processor (numba), folds as the batch.

A product of weights with the vectors of all folds goes through the weights once: thirty-two rows
of them against six or nine folds at a time, whose sums stay in registers. That inner loop is
written in LLVM's vector operations, which become the widest instructions that a processor has;
numba's own loops come to half its speed.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import float32, int32
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from myxtts.generation.compiling import compiled
from myxtts.generation.wavernn_forms import FORMS, OFFSET, ROWS, WIDE
from myxtts.vocoder_losses import LEAST_LOG_SCALE

# Beyond these float32's exponential is 0 or infinite.
LEAST, MOST = -87.0, 88.0


@intrinsic
def _as_float(context, bits):
    """The float32 whose bits an int32 has."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


@compiled(inline="always")
def _exp(value):
    """Exponential of a float32, to 2e-7 of itself; unlike ``math.exp`` it becomes vector code."""
    value = min(max(value, float32(LEAST)), float32(MOST))
    bits = int32(value * float32(1.442695040888963) + float32(127.5))
    power = float32(int32(bits - int32(127)))
    # The logarithm of two in two parts, so that their product with a small integer is exact.
    rest = value - power * float32(0.693359375) - power * float32(-2.12194440e-4)
    series = float32(1 / 5040)
    for factor in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        series = series * rest + float32(factor)
    return series * _as_float(int32(bits << int32(23)))


def _multiplied(builder, weights, entries, total):
    """Code of ``total`` and the products of a step's weights with a vector's entries.

    Of integers, neighbours are multiplied and added, for which processors have one instruction.
    """
    if isinstance(total.type.element, ir.FloatType):
        products = builder.fmul(weights, entries, flags=("contract",))
        return builder.fadd(total, products, flags=("contract",))
    if weights.type.count == 4 * ROWS:
        # LLVM does not find this one by itself.
        called = ir.FunctionType(total.type, [total.type] * 3)
        name = "llvm.x86.avx512.vpdpbusd.512"
        function = cgutils.get_or_insert_function(builder.module, called, name)
        return builder.call(
            function, [total, *(builder.bitcast(item, total.type) for item in (weights, entries))]
        )
    wide = ir.VectorType(ir.IntType(32), 2 * ROWS)
    products = builder.mul(builder.sext(weights, wide), builder.sext(entries, wide))
    lanes = ir.VectorType(ir.IntType(32), ROWS)
    halves = [ir.Constant(lanes, list(range(start, 2 * ROWS, 2))) for start in (0, 1)]
    parts = [builder.shuffle_vector(products, products, half) for half in halves]
    return builder.add(total, builder.add(*parts))


def _repeated(builder, array, place, count):
    """Code of ``ROWS`` times the ``count`` entries of ``array`` at the step ``place``."""
    number = ir.IntType(32)
    start = builder.gep(array.data, [builder.mul(place, ir.Constant(place.type, count))])
    kind = ir.VectorType(array.data.type.pointee, count)
    entries = builder.load(builder.bitcast(start, kind.as_pointer()), align=1)
    order = [ir.Constant(number, index % count) for index in range(ROWS * count)]
    mask = ir.Constant(ir.VectorType(number, len(order)), [item.constant for item in order])
    return builder.shuffle_vector(entries, entries, mask)


def _tile(context, panels, vectors, out):
    """The intrinsic of two panels of weights and some vectors, all contiguous.

    What it makes of each vector, ``2 * ROWS`` numbers, goes into the rows of ``out``.
    """
    kind = panels[0].dtype
    (together,) = {form.together for form in FORMS.values() if form.weights == str(kind)}
    element = ir.IntType(32) if isinstance(kind, types.Integer) else ir.FloatType()
    lanes = ir.VectorType(element, ROWS)

    def generate(context, builder, signature, args):
        arrays = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args, args, strict=True)
        ]
        weights, inputs, into = arrays[:2], arrays[2:-1], arrays[-1]
        totals = [[cgutils.alloca_once_value(builder, ir.Constant(lanes, None)) for _ in weights]
                  for _ in inputs]  # fmt: skip
        for own in totals:
            for total in own:
                builder.store(ir.Constant(lanes, None), total)
        steps = cgutils.unpack_tuple(builder, weights[0].shape)[0]
        with cgutils.for_range(builder, steps) as loop:
            place = loop.index
            start = builder.mul(place, ir.Constant(place.type, ROWS * together))
            held = []
            for panel in weights:
                kind = ir.VectorType(panel.data.type.pointee, ROWS * together)
                address = builder.gep(panel.data, [start])
                held.append(builder.load(builder.bitcast(address, kind.as_pointer()), align=1))
            for vector, own in zip(inputs, totals, strict=True):
                pair = _repeated(builder, vector, place, together)
                for values, total in zip(held, own, strict=True):
                    new = _multiplied(builder, values, pair, builder.load(total))
                    builder.store(new, total)
        flat = [total for own in totals for total in own]
        for number, total in enumerate(flat):
            address = builder.gep(into.data, [ir.Constant(ir.IntType(64), number * ROWS)])
            address = builder.bitcast(address, lanes.as_pointer())
            builder.store(builder.load(total), address, align=4)
        return context.get_dummy_value()

    return types.none(*panels, *vectors, out), generate


@intrinsic
def _tile_of_six(context, first, second, x0, x1, x2, x3, x4, x5, out):
    """Two panels with six vectors."""
    return _tile(context, (first, second), (x0, x1, x2, x3, x4, x5), out)


@intrinsic
def _tile_of_nine(context, first, second, x0, x1, x2, x3, x4, x5, x6, x7, x8, out):
    """Two panels with nine vectors."""
    return _tile(context, (first, second), (x0, x1, x2, x3, x4, x5, x6, x7, x8), out)


@intrinsic
def _tile_of_three(context, first, second, x0, x1, x2, out):
    """Two panels with three vectors."""
    return _tile(context, (first, second), (x0, x1, x2), out)


@intrinsic
def _tile_of_one(context, first, second, x0, out):
    """Two panels with one vector."""
    return _tile(context, (first, second), (x0,), out)


@compiled()
def product(weights, scales, inputs, sizes, shifts, room, results):
    """``results[f, r] = scales[r] * sizes[f] * sum over k of weights[r, k] * inputs[f, k]``.

    Args:
        weights: :func:`packed`.
        scales: float32, one a row, as many as the panels have.
        inputs: ``(folds, inputs)`` of the form's vectors.
        sizes: float32 ``(folds,)``.
        shifts: of the form's sums, ``(folds,)``: what to take away from those of each fold.
        room: to work in, ``(TOGETHER, 2 * ROWS)`` of the form's sums.
        results: float32 ``(folds, outputs)``.
    """
    folds, outputs = results.shape
    for panel in range(0, len(weights), 2):
        first, second = weights[panel], weights[panel + 1]
        begin = panel * ROWS
        count = min(outputs - begin, 2 * ROWS)
        own = scales[begin : begin + count]
        fold = 0
        while fold < folds:
            x = inputs[fold]
            if WIDE and folds - fold >= 9:
                made = 9
                _tile_of_nine(
                    first, second, x, inputs[fold + 1], inputs[fold + 2], inputs[fold + 3],
                    inputs[fold + 4], inputs[fold + 5], inputs[fold + 6], inputs[fold + 7],
                    inputs[fold + 8], room,
                )  # fmt: skip
            # Without AVX-512, sums of six in float32 have not enough registers.
            elif (WIDE or weights.itemsize < 4) and folds - fold >= 6:
                made = 6
                _tile_of_six(
                    first, second, x, inputs[fold + 1], inputs[fold + 2], inputs[fold + 3],
                    inputs[fold + 4], inputs[fold + 5], room,
                )  # fmt: skip
            elif folds - fold >= 3:
                made = 3
                _tile_of_three(first, second, x, inputs[fold + 1], inputs[fold + 2], room)
            else:
                made = 1
                _tile_of_one(first, second, x, room)
            for place in range(made):
                size, shift, sums = sizes[fold + place], shifts[fold + place], room[place]
                if shift:
                    for row in range(count):
                        sums[row] -= shift
                into = results[fold + place, begin : begin + count]
                for row in range(count):
                    into[row] = float32(sums[row]) * own[row] * size
            fold += made


@compiled()
def as_given(values, held, sizes, shifts, most):
    """Inputs of float32 weights are the vectors themselves."""
    return values


@compiled()
def as_integers(values, held, sizes, shifts, most):
    """Vectors as integers up to ``most`` in ``held``, and in ``sizes`` what one is worth."""
    folds, width = values.shape
    most = float32(most)
    for fold in range(folds):
        row, into = values[fold], held[fold]
        largest = float32(1e-20)
        for k in range(width):
            largest = max(largest, abs(row[k]))
        factor = most / largest
        sizes[fold] = largest / most
        for k in range(width):
            # To the nearest: what is cut off behind the point is positive.
            into[k] = np.int16(int32(row[k] * factor + float32(40_000.5)) - int32(40_000))
        if held.itemsize == 1:
            # Weights without a sign are too large by the offset.
            total = int32(0)
            for k in range(width):
                total += int32(into[k])
            shifts[fold] = OFFSET * total
    return held


def prepared(values, held, sizes, shifts, most):
    """:func:`as_given` or :func:`as_integers`, by the type of ``held``.

    Args:
        values: float32 ``(folds, width)``.
        held: one of :func:`rooms`; gets the integers.
        sizes, shifts: ``(folds,)``, as :func:`product` takes them; get those of the integers.
        most: the largest integer.
    """
    raise NotImplementedError


@overload(prepared)
def _prepared_typed(values, held, sizes, shifts, most):
    chosen = as_integers if isinstance(held.dtype, types.Integer) else as_given

    def prepare(values, held, sizes, shifts, most):
        return chosen(values, held, sizes, shifts, most)

    return prepare


@compiled()
def _gru(own, kept, given, rows, bias, hidden, state):
    """New states into ``state``, and added to ``hidden``; gates are torch's r, z, n.

    Args:
        own, kept: products with the inputs and with the states, ``(folds, 3 * width)``.
        given: to add to ``own``, its bias among them, ``(frames, 3 * width)``.
        rows: the frame of each fold.
        bias: to add to ``kept``.
        hidden, state: ``(folds, width)``.
    """
    folds, width = state.shape
    one = float32(1)
    # Few arrays a loop: of many, LLVM does not ask whether they overlap, and makes no vectors.
    for f in range(folds):
        o, g, k, h, x = own[f], given[rows[f]], kept[f], state[f], hidden[f]
        for u in range(2 * width):
            o[u] = one / (one + _exp(-(o[u] + g[u] + k[u] + bias[u])))
        reset, update, new = o[:width], o[width : 2 * width], o[2 * width :]
        g, k, b = g[2 * width :], k[2 * width :], bias[2 * width :]
        for u in range(width):
            inner = new[u] + g[u] + reset[u] * (k[u] + b[u])
            new[u] = one - (one + one) / (one + _exp(inner + inner))
        for u in range(width):
            h[u] = (one - update[u]) * new[u] + update[u] * h[u]
            x[u] += h[u]


@compiled()
def _rectify(values, given, rows):
    folds, width = values.shape
    for f in range(folds):
        v, g = values[f], given[rows[f]]
        for u in range(width):
            v[u] = max(v[u] + g[u], float32(0))


@compiled(fastmath=False)
def draw_class(logits, uniform, held):
    """How many cumulated chances, in float64, are at most ``uniform`` of their sum."""
    largest = logits.max()
    for place in range(len(logits)):
        held[place] = _exp(logits[place] - largest)
    total = 0.0
    for place in range(len(logits)):
        total += held[place]
    bound, reached, chosen = np.float64(uniform) * total, 0.0, 0
    while chosen < len(logits) - 1:
        reached += held[chosen]
        if reached > bound:
            break
        chosen += 1
    return chosen


@compiled(fastmath=False)
def draw_mixture(parameters, uniforms):
    """A sample in [-1, 1] of a mixture of logistics; the last uniform draw chooses the place."""
    mixtures = len(parameters) // 3
    chosen, best = 0, -math.inf
    for place in range(mixtures):
        value = parameters[place] - math.log(-math.log(uniforms[place]))
        if value > best:
            chosen, best = place, value
    scale = math.exp(max(parameters[2 * mixtures + chosen], float32(LEAST_LOG_SCALE)))
    place = uniforms[mixtures]
    sample = parameters[mixtures + chosen] + scale * (math.log(place) - math.log(1.0 - place))
    return min(max(sample, -1.0), 1.0)


@compiled()
def advance(matrices, scales, constants, tables, rows, base, uniforms, states, rooms, largest, out):
    """Speak ``len(base)`` samples of every fold.

    Args:
        matrices, scales: of rnn1 (inputs, states), rnn2 (inputs, states), fc1, fc2 and fc3,
            as of :func:`product`.
        constants: what the last sample adds to the input layer, the biases of the states of both
            GRUs, that of fc3, each a vector, and the bias of rnn1's inputs as one row.
        tables: what frames add to rnn2, fc1 and fc2, biases included, ``(frames, outputs)``.
        rows: int32 ``(samples, folds)``, the frame of each sample.
        base: what mels add to the input layer, bias included, ``(samples, folds, width)``.
        uniforms: draws ``(samples, folds, draws)``, one for classes.
        states: of both GRUs, ``(folds, width)``, and the last sample of each fold; changed.
        rooms: of both widths, to work in.
        largest: integers of both that vectors may become.
        out: float32 ``(samples, folds)``: gets classes, or samples of a mixture.
    """
    column, bias1, bias2, bias3, row1 = constants
    state1, state2, last = states
    held, held_fc, sums = rooms
    most, most_fc = largest
    folds, width = state1.shape
    narrow = tables[1].shape[1]
    hidden, own = np.empty((folds, width), np.float32), np.empty((folds, 3 * width), np.float32)
    kept, logits = np.empty_like(own), np.empty((folds, len(bias3)), np.float32)
    one, two = np.empty((folds, narrow), np.float32), np.empty((folds, narrow), np.float32)
    sizes, shifts = np.ones(folds, np.float32), np.zeros(folds, sums.dtype)
    none = np.zeros(folds, np.int32)
    chances, top = np.empty(logits.shape[1], np.float32), float32(logits.shape[1] - 1)
    for step in range(len(base)):
        for fold in range(folds):
            into, given, sample = hidden[fold], base[step, fold], last[fold]
            for unit in range(width):
                into[unit] = given[unit] + column[unit] * sample
        x = prepared(hidden, held, sizes, shifts, most)
        product(matrices[0], scales[0], x, sizes, shifts, sums, own)
        x = prepared(state1, held, sizes, shifts, most)
        product(matrices[1], scales[1], x, sizes, shifts, sums, kept)
        _gru(own, kept, row1, none, bias1, hidden, state1)
        x = prepared(hidden, held, sizes, shifts, most)
        product(matrices[2], scales[2], x, sizes, shifts, sums, own)
        x = prepared(state2, held, sizes, shifts, most)
        product(matrices[3], scales[3], x, sizes, shifts, sums, kept)
        _gru(own, kept, tables[0], rows[step], bias2, hidden, state2)
        x = prepared(hidden, held, sizes, shifts, most)
        product(matrices[4], scales[4], x, sizes, shifts, sums, one)
        _rectify(one, tables[1], rows[step])
        y = prepared(one, held_fc, sizes, shifts, most_fc)
        product(matrices[5], scales[5], y, sizes, shifts, sums, two)
        _rectify(two, tables[2], rows[step])
        y = prepared(two, held_fc, sizes, shifts, most_fc)
        product(matrices[6], scales[6], y, sizes, shifts, sums, logits)
        for fold in range(folds):
            for place in range(logits.shape[1]):
                logits[fold, place] += bias3[place]
            if uniforms.shape[2] == 1:
                chosen = draw_class(logits[fold], uniforms[step, fold, 0], chances)
                out[step, fold] = chosen
                last[fold] = float32(2 * chosen) / top - float32(1)
            else:
                last[fold] = draw_mixture(logits[fold], uniforms[step, fold])
                out[step, fold] = last[fold]
