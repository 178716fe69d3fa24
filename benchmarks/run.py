"""The figures of docs/results.md, made again: a row each, as JSON and as one Markdown table.

    python benchmarks/run.py --quick
    python benchmarks/run.py
    python benchmarks/run.py --only voice --recordings path/to/audio

Each row is another program's work (``--list`` names them), in which both sides take turns. Rows
that last hours run by name alone. What is made is kept in ``--output``: a second call goes on,
``--again`` starts anew. A row is left out, with the reason, where a package or its material is
missing; one that fails costs no other. While something else works on the machine, figures are
worth little: such rows are marked.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import FIGURES, Figure
from benchmarks.measuring import ROOT, taken
from myxtts.errors import ConfigError, DataError, MyXTTSError
from myxtts.files import write_whole
from myxtts.flags import make_parser, run

logger = logging.getLogger(__name__)

# What others may have of the cores before a row is marked.
QUIET = 0.1
VERSIONS = ("tensorflow", "keras", "numpy", "numba", "torch", "coqui-tts", "speechbrain")
# Lines of the output that are kept where a program prints no JSON, or fails.
KEPT_LINES = 12
MATERIALS = {
    "recordings": "real speakers: a folder with one for each",
    "corpus": "recordings with their texts",
    "trials": "list 'label enrol test' of recordings",
    "kokoro_clips": "of each of Kokoro's voices",
    "checkout": "another checkout of MyXTTS",
}


def main(args: argparse.Namespace) -> None:
    figures = chosen(FIGURES, args.only)
    if args.list:
        print("\n".join(told(figure, args.quick) for figure in figures))
        return
    # Whoever ends this program ends the row's with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(args.output)
    given = {name: getattr(args, name) for name in MATERIALS}
    rows = [
        kept_or_made(figure, folder, given, quick=args.quick, again=args.again)
        for figure in figures
        if args.only or figure.is_of_all(args.quick)
    ]
    write(folder, rows)
    print(table(rows))
    failed = [row["name"] for row in rows if row["state"] == "failed"]
    if failed:
        raise MyXTTSError(f"{', '.join(failed)} failed; all other rows are in {folder}.")


def chosen(figures: Sequence[Figure], only: Sequence[str] | None) -> list[Figure]:
    """The rows of these names, or all.

    Raises:
        ConfigError: there is no row of a name.
    """
    names = [figure.name for figure in figures]
    unknown = [name for name in only or () if name not in names]
    if unknown:
        raise ConfigError(f"--only {unknown[0]}: there are {', '.join(names)}.")
    return [figure for figure in figures if not only or figure.name in only]


def told(figure: Figure, quick: bool) -> str:
    """One line of ``--list``."""
    when = ", by name only" if figure.long else ""
    return f"{figure.name} ({figure.heading}{when}): python {' '.join(figure.command(quick))}"


def kept_or_made(
    figure: Figure, folder: Path, given: Mapping[str, str | None], *, quick: bool, again: bool
) -> dict:
    """A row: that of an earlier call, if it was made with the same command, or a new one."""
    words = figure.command(quick)
    path = folder / f"{figure.name}.json"
    reason = missing(figure, given, quick)
    if reason:
        logger.warning("%s is left out: %s", figure.name, reason)
        return {"name": figure.name, "heading": figure.heading, "state": "skipped"} | {
            "reason": reason
        }
    words = [word.format(**given, workdir=folder / "work") for word in words]
    if not again and (row := kept(path, words)):
        logger.info("%s: kept from %s", figure.name, row["taken"]["date"])
        return row
    logger.info("%s: python %s", figure.name, " ".join(words))
    row = {"name": figure.name, "heading": figure.heading, "command": words, "quick": quick}
    row |= measured(words, 60 * figure.minutes, folder)
    write_whole(path, json.dumps(row, indent=1) + "\n", DataError)
    if row["state"] == "failed":
        logger.error("%s failed: %s", figure.name, row["reason"])
    elif row["busy"]:
        logger.warning("%s: other work was on the machine; the row is marked.", figure.name)
    return row


def missing(figure: Figure, given: Mapping[str, str | None], quick: bool) -> str:
    """Why a row cannot be made; empty where it can."""
    if lacking := [name for name in figure.packages if not is_installed(name)]:
        return f"{', '.join(lacking)} not installed (make reference)"
    known = {name for name, value in given.items() if value} | {"workdir"}
    if lacking := [name for name in figure.materials(quick) if name not in known]:
        return ", ".join(f"--{name.replace('_', '-')} not given" for name in lacking)
    return ""


def is_installed(module: str) -> bool:
    """Whether a module could be imported."""
    return importlib.util.find_spec(module) is not None


def kept(path: Path, command: Sequence[str]) -> dict | None:
    """A row that was made with this command; one that failed is none."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if row.get("command") == list(command) and row["state"] == "done" else None


def measured(command: Sequence[str], seconds: float, folder: Path) -> dict:
    """What a program prints, and what was going on meanwhile."""
    (folder / "work").mkdir(parents=True, exist_ok=True)
    load, before = os.getloadavg()[0], busy_share(1.0)
    clocks, start = Clocks(), time.perf_counter()
    code, out, error = ran([sys.executable, *command], seconds)
    others = clocks.others()
    facts = {
        "seconds": round(time.perf_counter() - start, 1),
        "load_before": round(load, 2),
        "others_before": before,
        "others": others,
        "busy": max(before, others) > QUIET,
        "taken": taken() | {"python": platform.python_version(), "versions": versions()},
    }
    if code:
        words = error.strip().splitlines() or [f"exit code {code}"]
        return {"state": "failed", "reason": words[-1], "log": words[-KEPT_LINES:], **facts}
    return {"state": "done", "figures": figures_of(out), **facts}


def ran(command: Sequence[str], seconds: float) -> tuple[int, str, str]:
    """Exit code and what was written; what runs for longer is ended with all it started."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)
    try:
        out, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        end(process)
        process.communicate()
        return 1, "", f"was not done in {seconds / 60:g} minutes"
    except BaseException:
        end(process)
        raise
    return process.returncode, out, error


def end(process: subprocess.Popen) -> None:
    """Kill a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Clocks:
    """Processor time of the machine and of what this program starts, since it was made."""

    def __init__(self):
        self._start = self._now()

    def _now(self) -> tuple[float, float, float]:
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        used = sum(usage.ru_utime + usage.ru_stime for usage in own)
        return time.perf_counter(), busy_seconds(), used

    def others(self) -> float:
        """Share of all cores that went to somebody else."""
        wall, busy, own = (new - old for new, old in zip(self._now(), self._start, strict=True))
        return round(max(0.0, busy - own) / (wall * (os.cpu_count() or 1)), 3)


def busy_seconds() -> float:
    """Seconds that all cores together have worked, those that a hypervisor took too.

    0 where there is no /proc.
    """
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
    except OSError:
        return 0.0
    user, nice, system, _, _, interrupts, soft, steal = map(int, line.split()[1:9])
    return (user + nice + system + interrupts + soft + steal) / os.sysconf("SC_CLK_TCK")


def busy_share(seconds: float) -> float:
    """Share of all cores that works while this program sleeps for so long."""
    clocks = Clocks()
    time.sleep(seconds)
    return clocks.others()


def versions() -> dict[str, str]:
    """Of the packages that figures depend on, as far as they are installed."""
    found = {}
    for name in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def figures_of(out: str) -> list[dict]:
    """The JSON lines of an output; without any, its last lines as they are."""
    lines = out.strip().splitlines()
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                found.append({name: item for name, item in value.items() if name != "taken"})
    return found or [{"output": "\n".join(lines[-KEPT_LINES:])}]


def write(folder: Path, rows: Sequence[dict]) -> None:
    """All rows as ``benchmark.json`` and ``benchmark.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "benchmark.json", json.dumps(rows, indent=1) + "\n", DataError)
    write_whole(folder / "benchmark.md", table(rows) + "\n", DataError)


def table(rows: Sequence[dict]) -> str:
    """The rows in Markdown, a line for each line that a program printed."""
    lines = ["| row | figures | others' share | taken |", "|---|---|---|---|"]
    for row in rows:
        if row["state"] != "done":
            lines.append(f"| {row['name']} | {row['state']}: {cell(row['reason'])} | | |")
            continue
        where = row["taken"]
        place = f"{where['processor']}; {where['date']}; `{where['commit']}`"
        share = f"{max(row['others_before'], row['others']):.0%}"
        share += ", **not to be trusted**" if row["busy"] else ""
        for figures in row["figures"]:
            told = "; ".join(words(figures))
            lines.append(f"| {row['name']} | {cell(told)} | {share} | {place} |")
    return "\n".join(lines)


def words(figures: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Each figure with its name, and with its range where it has one."""
    ranges = figures.get("range")
    for name, value in figures.items():
        span = ranges.get(name) if isinstance(ranges, Mapping) else None
        if isinstance(value, Mapping) and "median" in value and "range" in value:
            low, high = value["range"]
            yield f"{prefix}{name} {value['median']} ({low} to {high})"
        elif isinstance(value, Mapping):
            if name != "range":
                yield from words(value, f"{prefix}{name} ")
        elif value is not None and name != "range":
            yield f"{prefix}{name} {value}" + (f" ({span[0]} to {span[1]})" if span else "")


def cell(text: str) -> str:
    """Text that fits one cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def parser() -> argparse.ArgumentParser:
    parser = make_parser("run.py", __doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="this row; repeatable")
    parser.add_argument("--quick", action="store_true", help="few rounds: a first look")
    parser.add_argument("--list", action="store_true", help="name the rows and their commands")
    parser.add_argument("--again", action="store_true", help="make kept rows anew")
    parser.add_argument("--output", default="outputs/benchmark", help="folder of all rows")
    for name, text in MATERIALS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="PATH", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
