"""Bulk work by one process and by two: how much of a processor an item takes.

    python benchmarks/bulk.py
    python benchmarks/bulk.py --only features

Runs ``tools/bulk.py`` on the demo corpus, one thread a worker, with one worker and with two, on
few items and on many: the difference is what items take, without the start of workers. Counted is
the time of processors, which other work on the machine changes little. Prints a JSON line a job.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import DEMO_CORPUS, ROOT, recordings, report, seconds
from myxtts.errors import MyXTTSError
from myxtts.flags import make_parser, run

# Items of the long run of each job: enough that they outweigh what a start takes more or less.
JOBS = {"features": 400, "embed": 200, "synthesise": 128}
WORKERS = (1, 2)
# Items of the short run, one a worker at least.
FEW = 2


def main(args: argparse.Namespace) -> None:
    for job in args.only or JOBS:
        with tempfile.TemporaryDirectory() as folder:
            items = args.items or JOBS[job]
            report({"job": job, "items": items, **measured(job, items, Path(folder))})


def measured(job: str, items: int, folder: Path) -> dict:
    """Figures of a job, for each number of workers."""
    found, own = {}, {}
    materials = {count: material(job, folder / f"{count}", count) for count in (FEW, items)}
    for workers in WORKERS:
        took = {
            count: taken(job, words, folder / f"{workers}-{count}", workers)
            for count, words in materials.items()
        }
        own[workers] = (took[items][1] - took[FEW][1]) / (items - FEW)
        found[f"workers_{workers}"] = {
            "wall_s": round(took[items][0], 1),
            "processor_s": round(took[items][1], 1),
            "processor_s_an_item": round(own[workers], 3),
        }
    return found | {"throughput_per_core": round(per_core(own[1], own[2]), 2)}


def per_core(alone: float, together: float) -> float:
    """Items a second of a processor, by several workers beside one."""
    return alone / together


def material(job: str, folder: Path, count: int) -> list[str]:
    """Arguments that name so many items of the demo corpus, each as often as need be."""
    clips = list(islice(cycle(recordings(DEMO_CORPUS)), count))
    folder.mkdir(parents=True)
    if job == "synthesise":
        texts = [item["text"] for item in islice(cycle(lines()), count)]
        (folder / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        return ["--texts", str(folder / "texts.txt")]
    for number, clip in enumerate(clips):
        shutil.copy(clip, folder / f"{number:03d}_{clip.name}")
    if job == "embed":
        return ["--audio", str(folder), "--encoder", "resemblyzer"]
    named = [{"file_name": path.name, "text": "A sentence."} for path in recordings(folder)]
    text = "".join(json.dumps(item) + "\n" for item in named)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return ["--train-data", str(folder)]


def lines() -> list[dict]:
    """Of the metadata of the demo corpus."""
    text = (DEMO_CORPUS / "train" / "metadata.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def taken(job: str, words: list[str], output: Path, workers: int) -> tuple[float, float]:
    """Seconds by the clock and of processors that a run takes.

    Raises:
        MyXTTSError: it failed.
    """
    where = "--cache-dir" if job == "features" else "--output"
    command = [sys.executable, "tools/bulk.py", job, *words, where, str(output)]
    command += ["--workers", str(workers), "--threads", "1", "--json"]
    before = processors()

    def call() -> None:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MyXTTSError(done.stderr.strip().splitlines()[-1])

    wall = seconds(call)
    return wall, processors() - before


def processors() -> float:
    """Seconds of processors that ended children took, and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def parser() -> argparse.ArgumentParser:
    parser = make_parser("bulk.py", __doc__)
    parser.add_argument("--only", action="append", choices=tuple(JOBS), help="repeatable")
    parser.add_argument("--items", type=int, default=0, help="of the long runs")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
