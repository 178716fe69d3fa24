"""A served model beside the same model in Python, and its memory over many requests.

    python benchmarks/serving.py [--preset DIR | --size tiny|small|full] [--requests 400]

Every side speaks the same text greedily, in turns, and must give equally many samples:
``served`` is the export in TensorFlow's C library, without its Python; ``python`` the
package's own graphs, ``jit_compile`` the same compiled by XLA, ``eager`` operation by
operation. One JSON line, and a plot of the memory. Memory is read from /proc: Linux only.
"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import random
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import in_turns, report, seconds
from benchmarks.serving_sides import EXPORTED, SIDES, answer, opened
from myxtts.flags import make_parser, run
from myxtts.plots import new_figure, save_figure
from myxtts.timing import OUTPUT_RATE

logger = logging.getLogger(__name__)

TEXT = "A served model speaks this sentence again and again."
WORDS = ("one", "word", "after", "the", "other,", "as", "they", "come,", "and", "some", "more")


class Side:
    """A side in a process of its own."""

    def __init__(self, role: str, folder: Path):
        self.role, self.folder = role, folder
        self.process = ProcessPoolExecutor(1, get_context("spawn"))
        self.loading = self.process.submit(seconds, opened, role, folder).result()

    def speak(self, text: str) -> dict[str, float]:
        """Seconds, samples and megabytes of one request."""
        told = self.process.submit(answer, self.role, self.folder, text).result()
        logger.info("%s: %.2f s", self.role, told["seconds"])
        return told


def main(args: argparse.Namespace) -> None:
    # What the sides' processes say of themselves is not wanted.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as temporary:
        preset, exports = write_models(args, Path(temporary))
        folders = {role: exports["float32"] if role in EXPORTED else preset for role in SIDES}
        result = {
            "megabytes": {"preset": megabytes(preset)}
            | {name: megabytes(folder) for name, folder in exports.items()},
            "sides": compare({role: folders[role] for role in args.sides}, args.rounds),
        }
        series = memory(exports["float32"], args.requests) if args.requests else []
    if series:
        half = series[: max(len(series) // 2, 1)]
        ends = [statistics.median(part[-10:]) for part in (half, series)]
        result["memory_mb"] = {"first": series[0], "half_way": ends[0], "last": ends[1]}
        result["plot"] = args.output
        draw(args.output, series)
    report({"model": args.preset or args.size, **result})


def write_models(args: argparse.Namespace, folder: Path) -> tuple[Path, dict[str, Path]]:
    """The preset, and its exports by how they store weights."""
    from benchmarks.xtts_sides import random_model
    from myxtts.models.xtts import XTTS
    from myxtts.serving.export import export_saved_model

    preset = Path(args.preset) if args.preset else folder / "preset"
    if not args.preset:
        narrow = {"decoder": {"initial_channels": 64}} if args.size == "tiny" else {}
        random_model(args.size, **narrow).save_to_preset(preset)
    model = XTTS.from_preset(preset)
    names = ("float32", "float16") if args.float16 else ("float32",)
    exports = {name: folder / name / "1" for name in names}
    for name, version in exports.items():
        version.parent.mkdir()
        export_saved_model(model, version, "hifi", half=name == "float16")
    return preset, exports


def compare(folders: dict[str, Path], rounds: int) -> dict[str, dict]:
    """Seconds of each side: loading, two first requests, and the median of later ones."""
    sides = {role: Side(role, folder) for role, folder in folders.items()}
    calls = {role: functools.partial(side.speak, TEXT) for role, side in sides.items()}
    rows = in_turns(calls, 2 + rounds)
    for side in sides.values():
        side.process.shutdown()
    taken = {role: [told for _, told in answers] for role, answers in rows.items()}
    lengths = {role: answers[-1]["samples"] for role, answers in taken.items()}
    if len(set(lengths.values())) > 1:
        raise RuntimeError(f"the sides did not say the same: samples {lengths}.")
    spoken = next(iter(lengths.values())) / OUTPUT_RATE
    later = {
        role: statistics.median(told["seconds"] for told in answers[2:])
        for role, answers in taken.items()
    }
    return {
        role: {
            "loading_s": round(sides[role].loading, 2),
            "first_s": round(answers[0]["seconds"], 2),
            "second_s": round(answers[1]["seconds"], 2),
            "later_s": round(later[role], 3),
            "rtf": round(later[role] / spoken, 3),
        }
        for role, answers in taken.items()
    }


def memory(folder: Path, requests: int) -> list[float]:
    """Megabytes after each of so many requests of random lengths."""
    rng = random.Random(0)
    side = Side("served", folder)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 12))) for _ in range(requests)]
    series = [side.speak(text)["memory"] for text in texts]
    side.process.shutdown()
    return series


def megabytes(folder: Path) -> float:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6, 1)


def draw(path: str, series: list[float]) -> None:
    """Write the picture of the memory."""
    figure, axes = new_figure(size=(8, 4.5))
    axes.plot(range(1, len(series) + 1), series, ".-")
    axes.set(
        title="Memory of a served model over requests of random lengths",
        xlabel="requests",
        ylabel="resident MB",
        ylim=(0, 1.15 * max(series)),
    )
    axes.grid(color="0.9")
    save_figure(figure, path)


def parser() -> argparse.ArgumentParser:
    parser = make_parser("serving.py", __doc__)
    parser.add_argument("--preset", metavar="DIR", help="preset with a trained HiFi decoder")
    parser.add_argument("--size", choices=("tiny", "small", "full"), default="small")
    parser.add_argument("--sides", nargs="+", choices=tuple(SIDES), default=tuple(SIDES))
    parser.add_argument(
        "--float16",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure an export of half the bytes too",
    )
    parser.add_argument("--rounds", type=int, default=5, help="requests after the first two")
    parser.add_argument("--requests", type=int, default=400, help="requests of random lengths")
    parser.add_argument("--output", default="outputs/serving_memory.png", metavar="PNG")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
