"""What grows with the number of clips, of speakers, of characters and of streams, and how fast?

    python benchmarks/growth.py
    python benchmarks/growth.py --only text --quick

Corpora, features and weights are synthetic. Each size is measured in a process of its own, in
seconds of the processor, which other work on the machine changes little. A slope on logarithmic
axes of 1 is a cost that doubles with the size, of 0 one that stays. Prints a JSON line an axis and
draws one picture; exits with 1 where anything grows faster than its size. Linux only.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.growth_measures import MEASURES
from benchmarks.measuring import report
from myxtts.errors import MyXTTSError
from myxtts.flags import make_parser, run
from myxtts.plots import new_figure, save_figure

logger = logging.getLogger(__name__)

# Sizes of each axis, and what they count.
SIZES = {
    "clips": ("clips", (1_000, 10_000, 30_000, 100_000)),
    "speakers": ("speakers", (100, 1_000, 10_000)),
    "text": ("characters", (1_000, 10_000, 100_000, 1_000_000)),
    "speech": ("sentences", (1, 4, 16)),
    "streams": ("streams", (1, 2, 4)),
}
# Sizes beyond are left out of a first look.
QUICK = {"clips": 1_000, "speakers": 1_000, "text": 100_000, "speech": 4, "streams": 2}
# Of a slope: a cost that is linear, with what rounding and caches add.
LINEAR = 1.15
# What is less does not count: clocks and allocators have their own steps.
LEAST = {"_s": 0.02, "_ms": 0.02, "_mb": 2.0}

# Axes beside each other in the picture.
COLUMNS = 3

Costs = dict[str, list[float]]


def main(args: argparse.Namespace) -> None:
    found, steep = {}, []
    for axis in args.only or SIZES:
        sizes = [size for size in sizes_of(axis, args.quick) if size <= args.most]
        found[axis] = sizes, measured(axis, sizes)
        slopes = slopes_of(sizes, found[axis][1])
        report({"axis": axis, SIZES[axis][0]: sizes, **rounded(found[axis][1]), "slopes": slopes})
        steep += [f"{axis} {name} ({slope})" for name, slope in slopes.items() if is_steep(slope)]
    draw(args.output, found)
    if steep:
        raise MyXTTSError(f"these grow faster than their size: {', '.join(steep)}.")


def sizes_of(axis: str, quick: bool) -> list[int]:
    """Sizes to measure."""
    return [size for size in SIZES[axis][1] if not quick or size <= QUICK[axis]]


def measured(axis: str, sizes: Sequence[int]) -> Costs:
    """Costs by name, in the order of the sizes."""
    rows = []
    for size in sizes:
        # What one size leaves in memory shall not help the next.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            rows.append(pool.submit(MEASURES[axis], size).result())
        told = ", ".join(f"{name} {value:.3g}" for name, value in rows[-1].items())
        logger.info("%d %s: %s", size, SIZES[axis][0], told)
    return {name: [row[name] for row in rows] for name in rows[0]}


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Of the line through the logarithms of both, by least squares; 0 for one size."""
    if len(sizes) < 2:
        return 0.0
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def slopes_of(sizes: Sequence[int], costs: Mapping[str, Sequence[float]]) -> dict:
    """The slope of each cost between the largest sizes, None where it is too small to tell.

    Costs that matter at a small size only, to load and to trace, would hide what comes later: the
    line goes through the sizes whose cost can be told, three at most.
    """
    found = {}
    for name, values in costs.items():
        least = LEAST[name[name.rindex("_") :]]
        told = [pair for pair in zip(sizes, values, strict=True) if pair[1] >= least][-3:]
        found[name] = round(slope(*zip(*told, strict=True)), 2) if len(told) > 1 else None
    return found


def is_steep(value: float | None) -> bool:
    """Whether a slope is that of a cost which grows faster than its size."""
    return value is not None and value > LINEAR


def rounded(costs: Costs) -> dict[str, list[float]]:
    """Three digits of each."""
    return {name: [float(f"{value:.3g}") for value in values] for name, values in costs.items()}


def draw(path: str, found: Mapping[str, tuple[Sequence[int], Costs]]) -> None:
    """Write a picture: each axis beside a line of slope 1."""
    columns = min(len(found), COLUMNS)
    rows = -(-len(found) // columns)
    figure, axes = new_figure(rows, columns, (5.0 * columns, 5.4 * rows))
    places = np.atleast_1d(axes).ravel()
    for place in places[len(found) :]:
        place.remove()
    for place, (axis, (sizes, costs)) in zip(places[: len(found)], found.items(), strict=True):
        slopes = slopes_of(sizes, costs)
        for name, values in costs.items():
            told = "" if slopes[name] is None else f", slope {slopes[name]:.2f}"
            place.loglog(sizes, values, ".-", label=name + told)
        most = max(max(values) for values in costs.values())
        line = [most * size / sizes[-1] for size in sizes]
        place.loglog(sizes, line, "--", color="0.6", label="slope 1")
        place.set(xlabel=SIZES[axis][0], title=axis)
        place.grid(color="0.9")
        place.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    figure.suptitle("Seconds or milliseconds of the processor, and MB")
    save_figure(figure, path)


def parser() -> argparse.ArgumentParser:
    parser = make_parser("growth.py", __doc__)
    parser.add_argument("--only", action="append", choices=tuple(SIZES), help="repeatable")
    parser.add_argument("--quick", action="store_true", help="the smaller sizes")
    parser.add_argument("--most", type=int, default=10**9, metavar="N", help="no larger sizes")
    parser.add_argument("--output", default="outputs/growth.png", metavar="PNG", help="picture")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
