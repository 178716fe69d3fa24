"""XTTS-v2 here beside coqui-tts: same random weights, same text, same number of codes.

    python benchmarks/xtts.py [--size small|full] [--measures NAME ...] [--xla]

Needs torch and coqui-tts (`make reference`). Both sides run in float32 on two threads. One
JSON line a measure: medians over the rounds, lower is better, and how many times faster
than Coqui. The first line, ``agreement``, says how far apart the results of both lie.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import xtts_sides  # noqa: E402
from benchmarks.xtts_sides import Coqui, MyXTTS  # noqa: E402
from myxtts.flags import run  # noqa: E402
from myxtts.timing import SECONDS_PER_CODE  # noqa: E402
from myxtts.weights.coqui_xtts import convert_checkpoint  # noqa: E402

Side = Coqui | MyXTTS

# Their difference leaves the prompt, and what a call costs at all, out of a token's time.
SHORT, LONG = 20, 120
# Six seconds of speech.
SPOKEN = xtts_sides.DECODED
STREAMED = 150


def token(side: Side) -> float:
    """Milliseconds of one step of greedy decoding."""
    extra = seconds(side.generate, LONG) - seconds(side.generate, SHORT)
    return 1000 * extra / (LONG - SHORT)


def decoder(side: Side) -> float:
    """Seconds that a second of speech takes from latents to waveform."""
    return seconds(side.decode) / (SPOKEN * SECONDS_PER_CODE)


def conditioning(side: Side) -> float:
    """Seconds from a reference's file to its latents and embedding."""
    return seconds(side.condition)


def end_to_end(side: Side) -> float:
    """Seconds that a second of speech takes from text to waveform."""
    return seconds(side.speak, SPOKEN) / (SPOKEN * SECONDS_PER_CODE)


def first_chunk(side: Side) -> float:
    """Seconds to the first audio of a stream."""
    return seconds(next, side.stream(STREAMED))


def stream(side: Side) -> float:
    """Seconds to the last audio of a stream."""
    return seconds(list, side.stream(STREAMED))


def seconds(function: Callable, *arguments) -> float:
    """What one call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


@dataclass(frozen=True)
class Measure:
    """One thing to time.

    Attributes:
        of: from a side to a number, lower is better.
        unit: of that number.
        aims: how many times faster than Coqui it shall be, by size.
        call: of the side's methods, the one that is timed.
    """

    of: Callable[[Side], float]
    unit: str
    aims: dict[str, float]
    call: str


MEASURES = {
    "token": Measure(token, "ms", {"small": 2.0, "full": 1.3}, "generate"),
    "decoder": Measure(decoder, "RTF", {"small": 1.8, "full": 1.8}, "decode"),
    "conditioning": Measure(conditioning, "s", {}, "condition"),
    "end_to_end": Measure(end_to_end, "RTF", {}, "speak"),
    "first_chunk": Measure(first_chunk, "s", {"small": 2.0, "full": 2.0}, "stream"),
    "stream": Measure(stream, "s", {"small": 3.0, "full": 3.0}, "stream"),
}


def main(args: argparse.Namespace) -> None:
    xtts_sides.limit_threads()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.workdir or temporary) / args.size
        sides = make_sides(folder, args.size, args.xla)
        report({"measure": "agreement", "size": args.size, **agreement(sides)})
        for name in args.measures:
            report({"measure": name, "size": args.size, **compare(name, sides, args)})


def make_sides(folder: Path, size: str, xla: bool) -> dict[str, Side]:
    """Coqui's model and ours under the same weights; written to ``folder`` unless there."""
    # All live in one process and take turns in it. The threads of one library sleep while
    # the other computes, and whatever else the machine does meets all alike.
    reference = folder / "reference.wav"
    if not reference.is_file():
        xtts_sides.write_checkpoint(folder, size)
        xtts_sides.write_reference(reference)
    return {"coqui": Coqui(folder, reference), **ours(folder, reference, xla)}


def ours(folder: Path, reference: Path, xla: bool) -> dict[str, MyXTTS]:
    """Our ways of running the checkpoint."""
    model = convert_checkpoint(folder)
    sides = {"ours": MyXTTS(model, reference)}
    if xla:
        sides["ours_xla"] = MyXTTS(model, reference, xla=True)
    return sides


def agreement(sides: dict[str, Side]) -> dict:
    """How many greedy codes are Coqui's, and how far other results lie from Coqui's."""
    coqui, port = sides["coqui"], sides["ours"]
    same = np.sum(coqui.generate(LONG) == port.generate(LONG))
    return {
        "same_codes": f"{same} of {LONG}",
        "latents": distance(coqui.voice[0], port.voice.latents),
        "speaker_embedding": distance(coqui.voice[1][..., 0], port.voice.speaker_embedding),
        "waveform": distance(coqui.decode(), port.decode()),
    }


def distance(theirs, own) -> float:
    """Largest difference, by the largest value."""
    theirs = np.asarray(theirs)
    return float(f"{np.abs(own - theirs).max() / np.abs(theirs).max():.1e}")


def compare(name: str, sides: dict[str, Side], args: argparse.Namespace) -> dict:
    """Time one measure on all sides in turns, after a round that warms them up."""
    measure = MEASURES[name]
    times: dict[str, list[tuple[float, float]]] = {
        key: []
        for key, side in sides.items()
        if key != "ours_xla" or measure.call in side.XLA_CALLS
    }
    for _ in range(args.rounds + 1):
        for key, rounds in times.items():
            start = time.perf_counter()
            value = measure.of(sides[key])
            rounds.append((value, time.perf_counter() - start))
    return summary(measure, args.size, times)


def summary(measure: Measure, size: str, times: dict[str, list[tuple[float, float]]]) -> dict:
    """One line from each side's rounds of (value, seconds), of which the first warmed up.

    ``compile_s`` is what our first round took more than the others, where it is over a second.
    """
    value, wall = (
        {key: statistics.median(pair[item] for pair in rounds[1:]) for key, rounds in times.items()}
        for item in (0, 1)
    )
    own = [key for key in times if key != "coqui"]
    ratios = {key.replace("ours", "ratio"): round(value["coqui"] / value[key], 2) for key in own}
    extra = {key.replace("ours", "compile_s"): times[key][0][1] - wall[key] for key in own}
    return {
        **{key: round(number, 4) for key, number in value.items()},
        "unit": measure.unit,
        **ratios,
        "aim": measure.aims.get(size),
        **{key: round(number, 1) for key, number in extra.items() if number > 1},
    }


def report(line: dict) -> None:
    print(json.dumps(line), flush=True)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xtts.py", description=__doc__.split("\n\n")[0], allow_abbrev=False
    )
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--rounds", type=int, default=3, help="times each side runs")
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--xla", action="store_true", help="time ours under XLA, too")
    parser.add_argument("--workdir", help="folder to keep the checkpoint in, and to find it in")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
