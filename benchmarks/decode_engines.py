"""Milliseconds of a step of greedy decoding: TensorFlow, XLA, int8 and Coqui's, in turns.

    python benchmarks/decode_engines.py [--size tiny|base|small|full] [--beside-coqui] [--threads N]

All decode with the same random weights and never stop. The difference of a long and a short speech
is taken, so that prompt and call are left out. ``--beside-coqui`` takes the weights from a
checkpoint of Coqui's own classes and lets coqui-tts decode too; it needs torch and coqui-tts
(`make reference`). One JSON line: median, fastest and slowest of the rounds, by the wall clock
and (``cpu``) by the processor's time of all threads, which other programs of the machine disturb
less; how many times faster than TensorFlow; and seconds until each engine had compiled.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.measuring import report, seconds
from benchmarks.xtts_sides import NEVER, SIZES, Coqui, prepare
from myxtts.config import SynthesisConfig, XTTSConfig
from myxtts.flags import make_parser, run
from myxtts.inference.coder import Coder, Request
from myxtts.models.gpt import GPT
from myxtts.weights.coqui_xtts import convert_checkpoint

ENGINES = ("tensorflow", "xla", "int8")
TEXT_IDS = 60
# Given the codes to make, a side makes them.
Side = Callable[[int], object]


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        sides = make_sides(args, Path(args.workdir or temporary) / args.size)
        compile_s = {name: round(seconds(side, args.codes[0]), 1) for name, side in sides.items()}
        steps = measured(sides, args.rounds, *args.codes)
    facts = {"measure": "decode_step", "size": args.size, "unit": "ms", "cores": os.cpu_count()}
    load = round(os.getloadavg()[0], 1)
    report({**facts, **summary(steps), "compile_s": compile_s, "load": load})


def make_sides(args: argparse.Namespace, folder: Path) -> dict[str, Side]:
    """What is to be timed, by name."""
    if not args.beside_coqui:
        gpt, sides = random_gpt(args.size), {}
    else:
        reference = prepare(folder, args.size)
        gpt = convert_checkpoint(folder).gpt
        sides = {"coqui": Coqui(folder, reference).generate}
    bias = np.array(gpt.audio_head.bias)
    bias[gpt.stop_audio_token] = NEVER
    gpt.audio_head.bias.assign(bias)
    own = {name: functools.partial(speak, coder(gpt, name, args.threads)) for name in args.engines}
    return own | sides


def random_gpt(size: str) -> GPT:
    """XTTS-v2's GPT but for its size."""
    sizes = dict(zip(("layers", "model_dim", "heads"), SIZES[size], strict=True))
    gpt = GPT.from_section(XTTSConfig.preset("xtts_v2").merged({"model": {"gpt": sizes}}).model)
    gpt.build()
    return gpt


def coder(gpt: GPT, engine: str, threads: int) -> Coder:
    """One that decodes greedily."""
    settings = SynthesisConfig(temperature=0.0, stream_codes=20)
    changes = {"int8": {"engine": "int8", "threads": threads}, "xla": {"xla": True}}
    return Coder(gpt, dataclasses.replace(settings, **changes.get(engine, {})))


def speak(coder: Coder, codes: int) -> None:
    """Decode so many codes behind a prompt of 32 latents and a sentence."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1, coder.gpt.start_text_token, TEXT_IDS)
    latents = rng.normal(size=(1, 32, coder.gpt.model_dim)).astype("float32")
    coder.whole(Request(ids, latents, codes, codes, rng))


def measured(sides: dict[str, Side], rounds: int, short: int, long: int) -> dict[str, np.ndarray]:
    """Wall and processor milliseconds of a step, ``(rounds, 2)``, of sides that take turns."""
    rows: dict[str, list] = {name: [] for name in sides}
    for side in sides.values():
        side(long)
    for _ in range(rounds):
        for name, side in sides.items():
            rows[name].append(clocks(side, long) - clocks(side, short))
    return {name: 1000 * np.array(row) / (long - short) for name, row in rows.items()}


def clocks(side: Side, codes: int) -> np.ndarray:
    """Wall and processor seconds of a speech of so many codes."""
    wall, cpu = time.perf_counter(), time.process_time()
    side(codes)
    return np.array([time.perf_counter() - wall, time.process_time() - cpu])


def summary(steps: dict[str, np.ndarray]) -> dict:
    """Median and range of each side, and how many times faster than TensorFlow it is."""
    line: dict = {}
    for name, (wall, cpu) in ((name, rows.T) for name, rows in steps.items()):
        line[name] = {
            "median": round(statistics.median(wall), 3),
            "range": [round(float(wall.min()), 3), round(float(wall.max()), 3)],
            "cpu": round(statistics.median(cpu), 3),
        }
    if "tensorflow" in line:
        base = line["tensorflow"]["median"]
        line["ratio"] = {name: round(base / line[name]["median"], 2) for name in steps}
    return line


def parser() -> argparse.ArgumentParser:
    parser = make_parser("decode_engines.py", __doc__)
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--beside-coqui", action="store_true", help="let coqui-tts decode, too")
    parser.add_argument("--threads", type=int, default=0, help="of int8 (default: what pays)")
    parser.add_argument("--rounds", type=int, default=5, help="times each side runs")
    parser.add_argument(
        "--codes", type=int, nargs=2, default=(20, 120), metavar="N", help="short and long speech"
    )
    parser.add_argument("--workdir", help="folder to keep the checkpoint in, and to find it in")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
