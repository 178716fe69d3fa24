"""What damaged files and kills do: counts for the table of docs/results.md.

    python benchmarks/faults.py --quick
    python benchmarks/faults.py --inputs 20000 --kills 200 --output runs/faults

Every input is drawn from the seed and its number, so that a run that was broken off goes on
where it was, and any input can be made again. A process of its own reads them: one that crashes,
takes over 10 s or over 500 MB is counted and replaced. What is a fault is kept under
``OUTPUT/found``.
"""

from __future__ import annotations

import argparse
import json
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fault_inputs import digest, mutated, readers
from benchmarks.measuring import forget_peak, peak_mb
from myxtts.errors import ConfigError, MyXTTSError
from myxtts.files import writable_folder
from myxtts.flags import make_parser, run

ROOT = Path(__file__).resolve().parents[1]
EQUAL, OTHER, REFUSED = "read equal", "read as changed", "refused in a sentence"
RAW, SILENT, CRASHED = "refused otherwise", "changed silently", "crashed"
SLOW, LARGE = "over 10 s", "over 500 MB"
OUTCOMES = (EQUAL, OTHER, REFUSED, RAW, SILENT, CRASHED, SLOW, LARGE)
FAULTS = OUTCOMES[3:]
LONGEST_S, MOST_MB = 10.0, 500
# Seconds for a process to import everything; a sentence of more is no sentence.
START_S, LONGEST_SENTENCE = 240.0, 1000
QUICK = 400


def parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = make_parser("faults.py", __doc__, json=True)
    parser.add_argument("--inputs", type=int, default=20_000, metavar="N", help="mutated files")
    parser.add_argument(
        "--kills", type=int, default=200, metavar="N", help="SIGKILLs of a training"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--output", default="runs/faults", metavar="DIR", help="of the counts")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK} inputs and no kill, in a folder that goes"
    )
    parser.add_argument("--worker", metavar="DIR", help=argparse.SUPPRESS)
    return parser


def main(args: argparse.Namespace) -> None:
    """Run what is missing, and print the table."""
    if args.inputs < 0 or args.kills < 0 or args.seed < 0:
        raise ConfigError("--inputs, --kills and --seed must be at least 0.")
    if args.worker:
        work(Path(args.worker), args.seed)
        return
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            told = measure(Path(folder), args.seed, QUICK, 0)
    else:
        told = measure(writable_folder(args.output), args.seed, args.inputs, args.kills)
    print(json.dumps(told) if args.json else table(told))


def measure(folder: Path, seed: int, inputs: int, kills: int) -> dict:
    """Counts of every outcome by kind of file, and of the kills."""
    from benchmarks.fault_kills import kill

    counts: dict[str, Counter] = {name: Counter() for name in readers()}
    for name, outcome in damage(folder, seed, inputs):
        counts[name][outcome] += 1
    killed = kill(folder / "kills", seed, kills) if kills else Counter()
    return {"files": {name: dict(count) for name, count in counts.items()}, "kills": dict(killed)}


def damage(folder: Path, seed: int, inputs: int) -> Iterator[tuple[str, str]]:
    """Kind and outcome of each input, those of an earlier run of this seed first."""
    kept = folder / f"inputs-{seed}.jsonl"
    known = _read_lines(kept)[:inputs]
    yield from ((line["kind"], line["outcome"]) for line in known)
    names = list(readers())
    with (
        kept.open("a", encoding="utf-8") as file,
        tempfile.TemporaryDirectory() as place,
        Worker(Path(place), seed) as worker,
    ):
        for number in tqdm(range(len(known), inputs), "inputs", disable=None):
            outcome, told = worker.read(number)
            kind = names[number % len(names)]
            line = {"number": number, "kind": kind, "outcome": outcome, "told": told}
            file.write(json.dumps(line) + "\n")
            file.flush()
            if outcome in FAULTS:
                _keep(folder / "found", Path(place), number, outcome)
            yield kind, outcome


class Worker:
    """A process that reads inputs by their numbers, and is replaced when it does not answer.

    Args:
        folder: of its files.
        seed: of the damages.
    """

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed, self.process = folder, seed, None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def read(self, number: int) -> tuple[str, str]:
        """The outcome of an input, and what was said."""
        if self.process is None:
            self._start()
        print(number, file=self.process.stdin, flush=True)
        line = self._line(LONGEST_S + 1)
        if line:
            outcome, told = json.loads(line)
            return outcome, told
        crashed = self.process.poll() is not None
        told = f"exit {self.process.poll()}" if crashed else ""
        self._end()
        return (CRASHED if crashed else SLOW), told

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults", "--seed", str(self.seed)]
            + ["--worker", str(self.folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        if not self._line(START_S):
            self._end()
            raise ConfigError("the process that reads the inputs does not start.")

    def _line(self, seconds: float) -> str:
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return self.process.stdout.readline() if ready else ""

    def _end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None


def work(folder: Path, seed: int) -> None:
    """Read inputs whose numbers come on standard input; a line of JSON for each."""
    kinds = readers()
    names, good = list(kinds), {}
    for index, (name, kind) in enumerate(kinds.items()):
        path = _place(folder / str(index), kind.suffix)
        kind.make(path)
        good[name] = (path.read_bytes(), digest(kind.read(path)))
    print("ready", flush=True)
    for line in sys.stdin:
        number = int(line)
        index = number % len(names)
        kind, (content, expected) = kinds[names[index]], good[names[index]]
        rng = np.random.default_rng([seed, number])
        path = _place(folder / str(index), kind.suffix)
        damaged = mutated(content, rng)
        path.write_bytes(damaged)
        told = _outcome(kind, path, expected, damaged == content)
        (folder / "last").write_text(str(path), encoding="utf-8")
        print(json.dumps(told), flush=True)


def _outcome(kind, path: Path, expected: str, same: bool) -> tuple[str, str]:
    forget_peak()
    before, started = peak_mb(), time.monotonic()
    try:
        outcome, told = EQUAL, ""
        if digest(kind.read(path)) != expected:
            outcome = SILENT if kind.sealed or same else OTHER
    except MyXTTSError as error:
        outcome, told = REFUSED, str(error)
        if "\n" in told or len(told) > LONGEST_SENTENCE:
            outcome = RAW
    except Exception as error:
        outcome, told = RAW, f"{type(error).__name__}: {error}"
    if time.monotonic() - started > LONGEST_S:
        outcome = SLOW
    if peak_mb() - before > MOST_MB:
        outcome = LARGE
    return outcome, told[:LONGEST_SENTENCE]


def _place(folder: Path, suffix: str) -> Path:
    folder.mkdir(exist_ok=True)
    return folder / (suffix if not suffix.startswith(".") else f"input{suffix}")


def _keep(found: Path, place: Path, number: int, outcome: str) -> None:
    """Keep the file of a fault."""
    last = place / "last"
    path = Path(last.read_text(encoding="utf-8")) if last.is_file() else None
    if outcome in (CRASHED, SLOW) or path is None:
        paths = [p for p in place.glob("*/*") if p.is_file()]
        path = max(paths, key=lambda p: p.stat().st_mtime)
    found.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, found / f"{number}-{outcome.replace(' ', '_')}-{path.name}")


def _read_lines(path: Path) -> list[dict]:
    """Lines of an earlier run; what was broken off with it is cut away."""
    lines = []
    if path.is_file():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return lines


def table(told: dict) -> str:
    """Markdown for docs/results.md."""
    rows = [["file", *OUTCOMES]]
    total: Counter = Counter()
    for name, counts in told["files"].items():
        total.update(counts)
        rows.append([name, *(str(counts.get(outcome, 0)) for outcome in OUTCOMES)])
    rows.append(["all", *(str(total[outcome]) for outcome in OUTCOMES)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    if told["kills"]:
        parts = ", ".join(f"{count} {name}" for name, count in told["kills"].items())
        lines += ["", f"Kills: {parts}."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
