"""Do time per chunk and memory stay flat over a long stream? A plot and one JSON line.

    python benchmarks/stream_profile.py [--size tiny|small] [--codes 600] [--beside-coqui]

Streams a model with random weights that never stops. ``--beside-coqui`` converts the model
from a checkpoint of Coqui's classes and streams that by coqui-tts too; it needs torch and
coqui-tts (`make reference`), and minutes: Coqui decodes all that went before with each chunk.
Memory is read from /proc, so it runs on Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import xtts_sides
from benchmarks.measuring import report, resident_mb
from benchmarks.xtts_sides import STREAM_CODES, Coqui, MyXTTS
from myxtts.flags import make_parser, run
from myxtts.plots import new_figure, save_figure
from myxtts.timing import OUTPUT_RATE, SECONDS_PER_CODE
from myxtts.weights.coqui_xtts import convert_checkpoint

logger = logging.getLogger(__name__)

# A stream's beginning traces graphs and fills allocators: growth counts from here on.
SETTLED = 3


class Chunk(NamedTuple):
    """One chunk of a stream."""

    codes: int  # whose samples have been given out by now
    seconds: float  # since the chunk before
    samples: int
    memory: float  # resident megabytes of the process behind it


Streams = dict[str, list[Chunk]]


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        streams = {
            name: record(name, side, args.codes)
            for name, side in make_sides(args, Path(temporary)).items()
        }
    draw(args.output, streams, f"A stream of {args.codes} audio codes, {args.size} model, on CPU")
    result = {name: slopes(chunks) for name, chunks in streams.items()}
    report({"size": args.size, "codes": args.codes, "plot": args.output, **result})


def make_sides(args: argparse.Namespace, folder: Path) -> dict[str, Coqui | MyXTTS]:
    """Our model, first, so that only its own memory is seen; and Coqui's under its weights."""
    if not args.beside_coqui:
        xtts_sides.write_reference(folder / "reference.wav")
        return {"MyXTTS": MyXTTS(xtts_sides.random_model(args.size), folder / "reference.wav")}
    reference = xtts_sides.prepare(folder, args.size)
    port = MyXTTS(convert_checkpoint(folder), reference)
    return {"MyXTTS": port, "coqui-tts": Coqui(folder, reference)}


def record(name: str, side: Coqui | MyXTTS, codes: int) -> list[Chunk]:
    """Stream so many codes, after a short stream that traces the graphs."""
    list(itertools.islice(side.stream(codes), SETTLED))
    chunks: list[Chunk] = []
    samples, start = 0, time.perf_counter()
    for audio in side.stream(codes):
        taken = time.perf_counter() - start
        samples += len(audio)
        spoken = round(samples / OUTPUT_RATE / SECONDS_PER_CODE)
        chunks.append(Chunk(spoken, taken, len(audio), resident_mb()))
        logger.info("%s: %d codes, %.2f s, %.0f MB", name, spoken, taken, chunks[-1].memory)
        start = time.perf_counter()
    return chunks


def slopes(chunks: Sequence[Chunk]) -> dict:
    """Time a chunk at both ends of the stream, and how memory grew."""
    times = [chunk.seconds for chunk in chunks]
    third = max(1, len(chunks) // 3)
    settled = chunks[min(SETTLED, len(chunks)) - 1]
    return {
        "chunks": len(chunks),
        "seconds_of_audio": round(sum(chunk.samples for chunk in chunks) / OUTPUT_RATE, 2),
        "seconds": round(sum(times), 2),
        "first_third_s": round(float(np.median(times[:third])), 3),
        "last_third_s": round(float(np.median(times[-third:])), 3),
        "memory_growth_mb": round(chunks[-1].memory - settled.memory, 1),
    }


def draw(path: str, streams: Streams, title: str) -> None:
    """Write a picture: time a chunk beside memory, over the audio codes spoken."""
    figure, (left, right) = new_figure(1, 2)
    for name, chunks in streams.items():
        codes = [chunk.codes for chunk in chunks]
        left.plot(codes, [chunk.seconds for chunk in chunks], ".-", label=name)
        grown = [chunk.memory - chunks[0].memory for chunk in chunks]
        right.plot(codes, grown, ".-", label=name)
    length = STREAM_CODES * SECONDS_PER_CODE
    left.axhline(
        length, color="0.5", linestyle="--", label=f"length of {STREAM_CODES} codes, {length:.2f} s"
    )
    left.set(title="Time a chunk", ylabel="seconds", ylim=(0, None))
    right.set(title="Resident memory since the first chunk", ylabel="MB")
    least, most = right.get_ylim()
    # Small steps of the allocator shall look small.
    right.set_ylim(min(least, 0), max(most, 100))
    for axes in (left, right):
        axes.set_xlabel("audio codes spoken")
        axes.grid(color="0.9")
        axes.legend(loc="best")
    figure.suptitle(title)
    save_figure(figure, path)


def parser() -> argparse.ArgumentParser:
    parser = make_parser("stream_profile.py", __doc__)
    parser.add_argument("--size", choices=tuple(xtts_sides.SIZES), default="small")
    parser.add_argument("--codes", type=int, default=600, help="length of the stream, up to 602")
    parser.add_argument("--beside-coqui", action="store_true", help="stream by coqui-tts, too")
    parser.add_argument(
        "--output", default="outputs/stream_profile.png", metavar="PNG", help="plot to write"
    )
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
