"""XTTS-v2 here beside coqui-tts: same random weights, same text, same number of codes.

    python benchmarks/xtts.py [--size small|full] [--measures NAME ...] [--xla] [--int8]

Needs torch and coqui-tts (`make reference`). Both sides run on two threads, in float32 but for
``--int8``, by which ours speaks with ``--engine int8``, too. One JSON line a measure: medians over
the rounds, lower is better, their ranges, and how many times faster than Coqui. The first line,
``agreement``, says how far apart the results of both lie.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.measuring import in_turns, report, seconds
from benchmarks.xtts_sides import DECODED, Coqui, MyXTTS, prepare
from myxtts.flags import make_parser, run
from myxtts.timing import SECONDS_PER_CODE
from myxtts.weights.coqui_xtts import convert_checkpoint

Side = Coqui | MyXTTS

# Their difference leaves the prompt, and what a call costs at all, out of a token's time.
SHORT, LONG = 20, 120
# Of what is spoken and decoded: six seconds.
SPOKEN_SECONDS = DECODED * SECONDS_PER_CODE
STREAMED = 150


def token(side: Side) -> float:
    """Milliseconds of one step of greedy decoding."""
    extra = seconds(side.generate, LONG) - seconds(side.generate, SHORT)
    return 1000 * extra / (LONG - SHORT)


class Measure(NamedTuple):
    """One thing to time."""

    of: Callable[[Side], float]  # lower is better
    unit: str
    call: str  # of the side's methods, the one that is timed


MEASURES = {
    "token": Measure(token, "ms", "generate"),
    # From latents to a waveform.
    "decoder": Measure(lambda side: seconds(side.decode) / SPOKEN_SECONDS, "RTF", "decode"),
    # From a reference's file to its latents and embedding.
    "conditioning": Measure(lambda side: seconds(side.condition), "s", "condition"),
    # From text to a waveform.
    "end_to_end": Measure(
        lambda side: seconds(side.speak, DECODED) / SPOKEN_SECONDS, "RTF", "speak"
    ),
    # To the first audio of a stream, and to its last.
    "first_chunk": Measure(lambda side: seconds(next, side.stream(STREAMED)), "s", "stream"),
    "stream": Measure(lambda side: seconds(list, side.stream(STREAMED)), "s", "stream"),
}
# What of our side may be chosen beside its defaults.
VARIANTS = {"xla": {"xla": True}, "int8": {"engine": "int8"}}
# How many times faster than Coqui each shall be.
AIMS = {
    "small": {"token": 2.0, "decoder": 1.8, "first_chunk": 2.0, "stream": 3.0},
    "full": {"token": 1.3, "decoder": 1.8, "first_chunk": 2.0, "stream": 3.0},
}


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        variants = [name for name in VARIANTS if getattr(args, name)]
        sides = make_sides(Path(args.workdir or temporary) / args.size, args.size, variants)
        report({"measure": "agreement", "size": args.size, **agreement(sides)})
        for name in args.measures:
            report({"measure": name, "size": args.size, **compare(name, sides, args)})


def make_sides(folder: Path, size: str, variants: Iterable[str] = ()) -> dict[str, Side]:
    """Coqui's model and ours under the same weights; written to ``folder`` unless there."""
    # All live in one process. The threads of one library sleep while the other computes.
    reference = prepare(folder, size)
    model = convert_checkpoint(folder)
    sides = {"coqui": Coqui(folder, reference), "ours": MyXTTS(model, reference)}
    return sides | {f"ours_{name}": MyXTTS(model, reference, **VARIANTS[name]) for name in variants}


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
    calls = {
        key: functools.partial(measure.of, side)
        for key, side in sides.items()
        if key in ("coqui", "ours") or measure.call in side.changed
    }
    line = summary(in_turns(calls, args.rounds + 1))
    return {**line, "unit": measure.unit, "aim": AIMS[args.size].get(name)}


def summary(times: dict[str, list[tuple[float, float]]]) -> dict:
    """Medians and ratios of each side's rounds of (seconds, value); the first warmed up.

    ``compile_s`` is what our first round took more than the others, where it is over a second.
    """
    wall, value = (
        {key: statistics.median(pair[item] for pair in rounds[1:]) for key, rounds in times.items()}
        for item in (0, 1)
    )
    own = [key for key in times if key != "coqui"]
    ratios = {key.replace("ours", "ratio"): round(value["coqui"] / value[key], 2) for key in own}
    extra = {key.replace("ours", "compile_s"): times[key][0][0] - wall[key] for key in own}
    spread = {
        key: [round(pick(pair[1] for pair in rounds[1:]), 4) for pick in (min, max)]
        for key, rounds in times.items()
    }
    return {
        **{key: round(number, 4) for key, number in value.items()},
        "range": spread,
        **ratios,
        **{key: round(number, 1) for key, number in extra.items() if number > 1},
    }


def parser() -> argparse.ArgumentParser:
    parser = make_parser("xtts.py", __doc__)
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--rounds", type=int, default=3, help="times each side runs")
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--xla", action="store_true", help="time ours under XLA, too")
    parser.add_argument("--int8", action="store_true", help="time ours by its int8 engine, too")
    parser.add_argument("--workdir", help="folder to keep the checkpoint in, and to find it in")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
