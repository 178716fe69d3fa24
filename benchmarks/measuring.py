"""What the benchmarks share: turns and clocks, memory, recordings, and where a figure was taken."""

from __future__ import annotations

import datetime
import functools
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from myxtts.audio.io import SUFFIXES
from myxtts.data.formats import Utterance
from myxtts.errors import DataError
from myxtts.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
DEMO_CORPUS = ROOT / "examples" / "demo_corpus"


def timed(call: Callable, *arguments: Any) -> tuple[float, Any]:
    """Seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = call(*arguments)
    return time.perf_counter() - start, result


def seconds(call: Callable, *arguments: Any) -> float:
    """Seconds that a call takes."""
    return timed(call, *arguments)[0]


def in_turns(
    sides: Mapping[str, Callable[[], Any]], rounds: int
) -> dict[str, list[tuple[float, Any]]]:
    """Seconds and result of every side's call, a row for each round.

    All take turns, so that whatever else the machine does meets all alike.
    """
    rows: dict[str, list] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            rows[name].append(timed(call))
    return rows


def kept_rows(
    folder: Path, title: str, jobs: Iterable[tuple], work: Callable[..., dict]
) -> list[dict]:
    """Rows of the jobs, each kept in the folder by its name: a broken run goes on where it was.

    Args:
        folder: that holds them.
        title: of the progress bar.
        jobs: each a name and what ``work`` gets, with the path of that name behind it.
        work: makes a row.
    """
    rows = []
    for name, *arguments in tqdm(list(jobs), desc=title, delay=2, disable=None):
        path = folder / f"{name}.json"
        if not path.is_file():
            write_whole(path, json.dumps(work(*arguments, path)) + "\n")
        rows.append(json.loads(path.read_text(encoding="utf-8")))
    return rows


def resident_mb() -> float:
    """Megabytes of this process in memory; Linux only."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return round(int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def forget_peak() -> None:
    """Let :func:`peak_mb` begin anew; Linux only."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    """Most megabytes that this process has had in memory; Linux only.

    The peak of ``getrusage`` is no measure of one: a process that another starts begins with the
    peak of that.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return round(int(line.split()[1]) / 1024, 1)


@functools.cache
def taken() -> dict[str, str]:
    """Processor, date and commit of a figure that is measured now."""
    # Of changes that are not committed, the commit says "-dirty".
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        commit = found.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "date": datetime.date.today().isoformat(),
        "commit": commit,
    }


def _processor() -> str:
    """Its name, and what tells its generation where the name is vague: family and model."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    facts = dict(re.findall(r"^(model name|cpu family|model)\s*: (.+)", told, re.M))
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    return f"{facts['model name']} (family {facts.get('cpu family')}, model {facts.get('model')})"


def report(result: Mapping[str, Any]) -> None:
    """Print a result as one JSON line, together with where it was taken."""
    print(json.dumps({**result, "taken": taken()}), flush=True)


def recordings(folder: str | Path, most: int | None = None) -> list[Path]:
    """Audio files of a folder and those in it, in order; at most so many, evenly spread."""
    files = [path for path in sorted(Path(folder).rglob("*")) if path.suffix.lower() in SUFFIXES]
    return files[:: max(1, len(files) // most)][:most] if most else files


def write_corpus(utterances: Iterable[Utterance], folder: Path) -> Path:
    """The utterances as a corpus of their own, which names the clips where they are."""
    lines = [
        {"file_name": str(item.path.resolve()), "text": item.text, "speaker": item.speaker}
        for item in utterances
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_whole(folder / "metadata.jsonl", text, DataError)
    return folder
