"""A training step of XTTS's GPT, DVAE and decoder beside Coqui's classes, in turns.

    python benchmarks/training_coqui.py
    python benchmarks/training_coqui.py --stages gpt --bfloat16 --xla

Both sides have the same weights and see the same batch; first they are seen to lose the same.
Each is a process of its own, so that neither's memory or threads are the other's, and they take
turns. Peers: of the GPT, coqui-tts's ``GPTTrainer``, which computes the audio codes and the mels
of the prompts in each step; of the DVAE and the decoder, for which Coqui has released no trainer,
its classes put together (see ``benchmarks/training_torch.py``). *Cached*: our step with the codes
in the batch, as ``train_main.py`` has them, beside the same step of Coqui's. *Bare*: the codes
and mels are there on both sides.

Prints a JSON line a stage: median seconds a step by the clock and of the processor, the medians
of the ratios of each round, higher is faster here, and each side's peak of memory meanwhile.
Needs torch and coqui-tts (`make reference`). On a machine that others use, look at one thread's
time of the processor.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.measuring import forget_peak, peak_mb, report
from benchmarks.training_material import BATCH, ROWS, SIZES, write_material
from myxtts.errors import MyXTTSError
from myxtts.flags import make_parser, run

logger = logging.getLogger(__name__)

COQUI = "coqui"
VARIANTS = {"bfloat16": {"bfloat16": True}, "xla": {"xla": True}}
# How many times faster than Coqui's each row shall be.
AIMS = {"ratio": 1.5, "ratio_cached": 3.0}
# Of losses, relative.
TOLERANCE = 1e-3
# Each with whether Coqui's and our side have codes and mels already.
ROWS_OF = {
    "gpt": {"": (False, False), "_cached": (False, True), "_bare": (True, True)},
    "dvae": {"": (True, True)},
    "decoder": {"": (True, True)},
}


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.workdir or temporary) / f"training_{args.size}"
        folder.mkdir(parents=True, exist_ok=True)
        in_process(write_material, folder, args.size)
        for stage in args.stages:
            report({"stage": stage, "size": args.size, **measured(stage, folder, args)})


def measured(stage: str, folder: Path, args: argparse.Namespace) -> dict:
    """Figures of one stage."""
    own = {"ours": {}} | {
        f"ours_{name}": VARIANTS[name] for name in VARIANTS if getattr(args, name)
    }
    sides = {
        name: Side(folder, args.size, args.threads, more)
        for name, more in ({COQUI: None} | own).items()
    }
    try:
        agreed = agreement(stage, sides)
        found = {"rows": ROWS[stage], "threads": args.threads, "loss_off": agreed}
        for suffix, (theirs, ours) in ROWS_OF[stage].items():
            cached = {name: theirs if name == COQUI else ours for name in sides}
            found |= timed_rows(stage, suffix, sides, cached, args.rounds)
        return found | {"peak_mb": {name: side.call("peak") for name, side in sides.items()}}
    finally:
        for side in sides.values():
            side.close()


def agreement(stage: str, sides: dict[str, Side]) -> float:
    """How far our loss, in float32, is from Coqui's, relative.

    Raises:
        MyXTTSError: too far to compare the two.
    """
    theirs, ours = (sides[name].call("loss", stage) for name in (COQUI, "ours"))
    off = abs(ours - theirs) / abs(theirs)
    if not off < TOLERANCE:
        raise MyXTTSError(f"{stage}: the losses are {theirs:.6g} and {ours:.6g}: not the same.")
    return float(f"{off:.1e}")


def timed_rows(stage, suffix: str, sides: dict, cached: dict[str, bool], rounds: int) -> dict:
    """Seconds and ratios of the sides' steps, in turns after a round that warms up."""
    rows: dict[str, list] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            taken = side.call("step", stage, cached[name])
            rows[name] += [taken] if turn else []
            logger.info("%s%s, round %d: %s %.2f s (%.2f)", stage, suffix, turn, name, *taken)
    return summary(rows, suffix)


def summary(rows: dict[str, list[tuple[float, float]]], suffix: str = "") -> dict:
    """Medians of (clock, processor) seconds by side, and of the ratios of each round."""
    found: dict[str, Any] = {}
    for place, kind in enumerate(("seconds", "processor_seconds")):
        taken = {name: [row[place] for row in own] for name, own in rows.items()}
        found[f"{kind}{suffix}"] = {name: round(median(own), 3) for name, own in taken.items()}
        for name in taken:
            if name != COQUI:
                each = [a / b for a, b in zip(taken[COQUI], taken[name], strict=True)]
                of = name.replace("ours", "") + suffix
                key = f"ratio{of}" if place == 0 else f"processor_ratio{of}"
                found[key] = round(median(each), 2)
                if place == 0:
                    found[f"range{of}"] = [round(min(each), 2), round(max(each), 2)]
    return found | ({"aim" + suffix: AIMS["ratio" + suffix]} if "ratio" + suffix in AIMS else {})


class Side:
    """A process with one side's model.

    Args:
        folder: of the material.
        size: of the GPT.
        threads: that it computes with.
        more: arguments of ours, or None for Coqui's.
    """

    def __init__(self, folder: Path, size: str, threads: int, more: dict | None):
        context = multiprocessing.get_context("spawn")
        given = folder, size, threads, more
        self.pool = ProcessPoolExecutor(1, context, initializer=_begin, initargs=given)

    def call(self, name: str, *arguments: Any) -> Any:
        """What a function below returns there."""
        calls = {"loss": _loss, "step": _step, "peak": peak_mb}
        return self.pool.submit(calls[name], *arguments).result()

    def close(self) -> None:
        self.pool.shutdown()


def in_process(call, *arguments: Any) -> Any:
    """The call in a process that ends, with all its memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *arguments).result()


# Of a side's process: its model, and its steps by stage.
_here: dict[str, Any] = {}


def _begin(folder: Path, size: str, threads: int, more: dict | None) -> None:
    with np.load(folder / BATCH) as file:
        arrays = dict(file)
    if more is None:
        import torch

        from benchmarks.training_torch import Coqui

        # One of Coqui's modules sets one when it is imported.
        torch.set_num_threads(threads)
        _here["side"] = Coqui(folder, SIZES[size], arrays)
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from benchmarks.training_sides import MyXTTS

    _here["side"] = MyXTTS(folder, SIZES[size], arrays, **more)


def _loss(stage: str) -> float:
    return _here["side"].loss(stage)


def _step(stage: str, cached: bool) -> tuple[float, float]:
    """Seconds by the clock and of this process's processor time that a step takes."""
    if ("step", cached) not in _here:
        _here["step", cached] = _here["side"].step(stage, cached)
        # What was needed to read the model, and at the first step, is not counted.
        forget_peak()
    start, before = time.perf_counter(), time.process_time()
    _here["step", cached]()
    return time.perf_counter() - start, time.process_time() - before


def parser() -> argparse.ArgumentParser:
    parser = make_parser("training_coqui.py", __doc__)
    parser.add_argument("--size", choices=tuple(SIZES), default="small", help="of the GPT")
    parser.add_argument("--stages", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=5, help="steps of each side")
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--bfloat16", action="store_true", help="time ours in bfloat16, too")
    parser.add_argument("--xla", action="store_true", help="time ours under XLA, too")
    parser.add_argument("--workdir", help="folder to keep the checkpoint in, and to find it in")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
