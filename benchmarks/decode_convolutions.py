"""The full-size HiFi-GAN decoder and its convolutions, each computed in several ways, in turns.

    python benchmarks/decode_convolutions.py [--rounds 5] [--seconds 3]

One JSON line a shape: GFLOP/s of a computation of all products (Toom-Cook does with half of
them), by TensorFlow, by XLA, as a matrix product a tap and as one, by torch with channels last
where that is installed, and as ``--engine int8`` does it. Then the decoder: seconds of compute
for a second of speech. Medians, and of the decoder the range.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

from benchmarks.measuring import in_turns, report
from benchmarks.xtts_sides import DECODED, THREADS, random_latents
from myxtts.flags import make_parser, run
from myxtts.inference.compiled_decoder import CompiledDecoder
from myxtts.models.hifigan import LEAK, HifiDecoder
from myxtts.timing import SECONDS_PER_CODE

# Channels and steps a second of XTTS-v2's decoder.
WIDTHS = {256: 750, 128: 6000, 64: 12000, 32: 24000}
SHAPES = [(width, taps, rate) for width in WIDTHS for taps in (3, 7, 11) for rate in (1, 5)]
XTTS_V2 = {"latent_dim": 1024, "speaker_dim": 512}
Calls = dict[str, Callable[[], object]]


def main(args: argparse.Namespace) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for width, taps, dilation in SHAPES[:: args.every]:
        steps = int(args.seconds * WIDTHS[width])
        found = medians(convolutions(width, taps, dilation, steps), args.rounds)
        products = 2e-9 * taps * width**2 * steps
        facts = {"measure": "convolution", "channels": width, "taps": taps, "dilation": dilation}
        speeds = {name: round(products / middle) for name, (middle, _, _) in found.items()}
        report({**facts, "unit": "GFLOP/s", **speeds})
    length = DECODED * SECONDS_PER_CODE
    found = medians(decoders(), args.rounds)
    figures = {name: [round(value / length, 3) for value in row] for name, row in found.items()}
    line = {name: {"median": row[0], "range": row[1:]} for name, row in figures.items()}
    report({"measure": "decoder", "unit": "RTF", **line})


def medians(calls: Calls, rounds: int) -> dict[str, tuple[float, float, float]]:
    """Median, least and most seconds of each call, after a round that warms them up."""
    rows = in_turns(calls, rounds + 1)
    times = {name: [pair[0] for pair in row[1:]] for name, row in rows.items()}
    return {name: (statistics.median(row), min(row), max(row)) for name, row in times.items()}


def convolutions(width: int, taps: int, dilation: int, steps: int) -> Calls:
    """The same convolution ``(steps, width)`` by each way."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(1, steps, width)).astype("float32")
    weights = rng.normal(size=(taps, width, width)).astype("float32")
    reach = taps // 2 * dilation

    def direct(inputs, weights):
        return tf.nn.convolution(inputs, weights, 1, "SAME", dilations=dilation)

    def shifted(inputs):
        padded = tf.pad(inputs, [(0, 0), (reach, reach), (0, 0)])[0]
        return [padded[tap * dilation : tap * dilation + steps] for tap in range(taps)]

    def a_product_a_tap(inputs, weights):
        return sum(tf.matmul(part, weights[tap]) for tap, part in enumerate(shifted(inputs)))

    def one_product(inputs, weights):
        flat = tf.reshape(weights, (taps * width, width))
        return tf.matmul(tf.concat(shifted(inputs), 1), flat)

    held = tf.constant(inputs), tf.constant(weights)
    calls = {
        "tensorflow": graph(direct, *held),
        "xla": graph(direct, *held, jit_compile=True),
        "a_product_a_tap": graph(a_product_a_tap, *held),
        "one_product": graph(one_product, *held),
    }
    if importlib.util.find_spec("torch"):
        calls["torch"] = by_torch(inputs, weights, dilation)
    return calls | {"toom_cook": by_toom_cook(inputs[0], weights, dilation)}


def graph(function: Callable, *inputs, **options) -> Callable:
    """A call of a graph that waits for its result."""
    compiled = tf.function(function, autograph=False, **options)
    return lambda: compiled(*inputs).numpy()


def by_torch(inputs: np.ndarray, weights: np.ndarray, dilation: int) -> Callable:
    """torch's convolution with channels last."""
    import torch

    torch.set_num_threads(THREADS)
    last = {"memory_format": torch.channels_last}
    image = torch.from_numpy(inputs.swapaxes(1, 2)[:, :, None].copy()).contiguous(**last)
    kernel = torch.from_numpy(weights.transpose(2, 1, 0)[:, :, None].copy()).contiguous(**last)
    reach = (0, len(weights) // 2 * dilation)

    def call():
        with torch.inference_mode():
            return torch.conv2d(image, kernel, None, 1, reach, (1, dilation))

    return call


def by_toom_cook(inputs: np.ndarray, weights: np.ndarray, dilation: int) -> Callable:
    """With the activation before it and the bias behind it, as it is used."""
    from myxtts.inference import convolution_kernels as kernels

    kernel = kernels.make_kernel(weights, np.zeros(weights.shape[2], "float32"), dilation)
    result, ways = np.empty_like(inputs), (kernels.STORED, np.float32(1))
    return lambda: kernels.convolve(inputs, kernel, np.float32(LEAK), inputs, result, *ways)


def decoders() -> Calls:
    """XTTS-v2's decoder with random weights."""
    decoder = HifiDecoder(**XTTS_V2)
    decoder.build()
    compiled = CompiledDecoder(decoder)
    latents = tf.constant(random_latents(XTTS_V2["latent_dim"]))
    voice = tf.ones((1, XTTS_V2["speaker_dim"])) / XTTS_V2["speaker_dim"] ** 0.5
    frames = decoder.frames(latents)
    return {
        "tensorflow": graph(decoder.vocode, frames, voice),
        "xla": graph(decoder.vocode, frames, voice, jit_compile=True),
        "int8": graph(compiled.vocode, frames, voice),
    }


def parser() -> argparse.ArgumentParser:
    parser = make_parser("decode_convolutions.py", __doc__)
    parser.add_argument("--rounds", type=int, default=5, help="times each way runs")
    parser.add_argument("--seconds", type=float, default=3.0, help="of speech, for a convolution")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="shape is measured")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
