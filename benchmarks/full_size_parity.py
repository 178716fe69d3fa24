"""A checkpoint of XTTS-v2's full size, written by Coqui's classes, converted and compared.

    python benchmarks/full_size_parity.py [--workdir DIR] [--clips DIR] [--json]

Needs torch and coqui-tts (`make reference`), 8 GB of memory, 6 GB of disk and some minutes.
The weights are random. Coqui runs in a process of its own, and so does
`tools/convert_xtts.py`, whose peak of resident memory is the first quantity; the others are
those of the parity tests. The exit code is 1 when one is out of its bound.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.measuring import DEMO_CORPUS, ROOT, recordings, report, taken, timed
from myxtts.errors import DataError, MyXTTSError
from myxtts.files import replacing
from myxtts.flags import make_parser, run

logger = logging.getLogger(__name__)

PEAK_GB = 8.0
CLIPS = 10
REFERENCES = 2
MODEL, PRESET, RESULTS = "XTTS-v2", "preset", "coqui.npz"


def main(args: argparse.Namespace) -> None:
    failed = []
    for row in rows(args):
        report(row) if args.json else print(line(row), flush=True)
        failed += [] if row["passed"] else [row["name"]]
    if not args.json:
        print(*taken().values(), sep="; ")
    if failed:
        raise MyXTTSError(f"out of bound: {', '.join(failed)}.")


def parser() -> argparse.ArgumentParser:
    parser = make_parser("full_size_parity.py", __doc__)
    parser.add_argument(
        "--workdir",
        type=Path,
        default=ROOT / "outputs" / "full_size_parity",
        help="where checkpoint, preset and Coqui's results are kept; those that are there "
        "are used again",
    )
    parser.add_argument(
        "--clips",
        default=DEMO_CORPUS,
        help="folder of recordings: ten become audio codes, two of them are the references",
    )
    parser.add_argument("--size", choices=("full", "tiny"), default="full", help="of the GPT")
    parser.add_argument("--json", action="store_true", help="print one JSON line a quantity")
    return parser


def rows(args: argparse.Namespace) -> Iterator[dict]:
    """Name, measured value, bound and verdict of every quantity."""
    workdir = args.workdir
    workdir.mkdir(parents=True, exist_ok=True)
    if not (workdir / RESULTS).is_file():
        logger.info("Coqui writes a checkpoint and speaks: some minutes ...")
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            process.submit(run_coqui, workdir, args.clips, args.size).result()
    # TensorFlow is imported only after this: a child's peak begins at its parent's memory.
    logger.info("The checkpoint is converted and compared ...")
    words = [f"--source={workdir / MODEL}", f"--output={workdir / PRESET}"]
    seconds, peak = timed(peak_gb, [str(ROOT / "tools" / "convert_xtts.py"), *words])
    yield {
        "name": "conversion_peak_gb",
        "measured": round(peak, 2),
        "bound": PEAK_GB,
        "passed": peak < PEAK_GB,
        "seconds": round(seconds, 1),
    }
    yield from compared(workdir, args.clips)


def peak_gb(words: list[str]) -> float:
    """Run a Python program; its peak of resident memory in GB."""
    process = subprocess.Popen([sys.executable, *words], stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise MyXTTSError(f"{words[0]} failed with exit code {process.returncode}.")
    # The kernel counts in KiB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / 1e9


def run_coqui(workdir: Path, clips: str | Path, size: str) -> None:
    """Write the checkpoint and Coqui's results; in a process of its own."""
    from benchmarks.upstream import coqui

    sizes = {"full": coqui.XTTS_V2, "tiny": coqui.TINY}[size]
    folder = workdir / MODEL
    results = coqui.results(*coqui.write_checkpoint(folder, sizes), folder, inputs(clips))
    with replacing(workdir / RESULTS) as temporary:
        np.savez(temporary, **results)


def compared(workdir: Path, clips: str | Path) -> Iterator[dict]:
    """The quantities of the parity tests from the preset beside Coqui's."""
    from benchmarks.upstream import parity
    from myxtts.models.xtts import XTTS

    with np.load(workdir / RESULTS) as archive:
        theirs = {name: archive[name] for name in archive.files}
    ours = parity.results(XTTS.from_preset(workdir / PRESET), inputs(clips), theirs["codes"])
    for row in parity.compare(ours, theirs):
        more = divergence(ours, theirs) if row["name"] == "codes" else {}
        yield row | {"count": int(theirs[row["name"]].size)} | more


def divergence(ours: dict, theirs: dict) -> dict:
    """Variety of Coqui's codes, the least margin of a choice, and the first differences."""
    codes = theirs["codes"]
    steps = [int(np.argmax(row)) if row.any() else None for row in ours["codes"] != codes]
    return {
        "distinct": len(np.unique(codes)),
        "distinct_rows": len(np.unique(codes, axis=0)),
        "least_margin": float(margins(theirs["audio_logits"][:, :-1], codes).min()),
        "first_differences": steps,
    }


def margins(logits: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """How far each chosen code ``(texts, steps)`` lay before the next, repetitions penalised."""
    from benchmarks.upstream.parity import REPETITION_PENALTY

    spoken = np.eye(logits.shape[-1])[codes].cumsum(axis=1) - np.eye(logits.shape[-1])[codes]
    # Coqui takes code 1 and the start code for spoken, and the stop code has to wait.
    spoken[..., [1, -2]] = 1
    penalised = np.where(logits > 0, logits / REPETITION_PENALTY, logits * REPETITION_PENALTY)
    scores = np.where(spoken > 0, penalised, logits)[..., :-1]
    chosen = np.take_along_axis(scores, codes[..., None], axis=-1)[..., 0]
    return chosen - np.sort(scores, axis=-1)[..., -2]


def inputs(folder: str | Path):
    """References, clips and the texts of the parity tests; all hundred codes are decoded."""
    from benchmarks.upstream.drawn import RATE
    from benchmarks.upstream.parity import Inputs
    from myxtts.audio.io import read_audio

    files = recordings(folder, CLIPS)
    if len(files) < CLIPS:
        raise DataError(f"{folder} has {len(files)} recordings; {CLIPS} are needed.")
    clips = [read_audio(path, RATE)[0] for path in files]
    return Inputs(clips[:REFERENCES], clips, decoded=100)


def line(row: dict) -> str:
    verdict = "ok" if row["passed"] else "OUT OF BOUND"
    return f"{row['name']:<20} {row['measured']:<12.3g} bound {row['bound']:<8.3g} {verdict}"


if __name__ == "__main__":
    sys.exit(run(main, parser()))
