"""How near do fitted Kokoro voices come to real speakers, by which method, at what cost?

For each speaker (a folder of recordings) a voice is fitted to the longest recording by every
method of the optimizer within the same wall-clock time, with Resemblyzer as the objective. Held
against them are the centroid, the best stock voice, the best mixture of two, and a random walk.
Judged are sentences that no fit has spoken: likeness to the target by Resemblyzer, to the
speaker's other recordings by ECAPA-TDNN, words by Whisper, quality by DNSMOS.

    python benchmarks/kokoro_voice.py --recordings path/to/audio --seconds 300 \
        --output outputs/kokoro_benchmark

Wants the judges of `make reference` and requirements-kokoro.txt. What is done is kept in the
output folder, one file a voice: a broken run goes on where it was.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.kokoro_voice_sides import Search, Speaker, best_of, blends, random_walk
from benchmarks.kokoro_voice_tables import LENGTH_MODELS, tables
from benchmarks.measuring import recordings, taken, timed
from myxtts.errors import DataError
from myxtts.files import write_whole
from myxtts.flags import make_parser, run
from tools.kokoro.voice_sources import find_voices
from tools.kokoro.voices import load_voice, load_voices, save_voice
from tools.kokoro_voice.config import OptimizerConfig
from tools.kokoro_voice.gradients import METHODS
from tools.kokoro_voice.objective import Objective
from tools.kokoro_voice.optimizer import VoiceGradientOptimizer, create_optimizer

logger = logging.getLogger(__name__)

RESULT = "result.json"
SEARCHES = ("centroid", "stock", "blend", "walk")
LONG = (
    "When the rain finally stopped, the children ran out into the garden and found that the old "
    "wooden bridge had been carried away by the water, along with two chairs, a bucket, and the "
    "gardener's best hat."
)
UNSEEN = (
    "Please close the door.",
    "The morning train was late again, so we walked along the river instead.",
    LONG,
)
# With eSpeak 10, 60 and 300 phonemes.
LENGTHS = (
    "Not a day.",
    "The ferry leaves at seven so we should pack our bags tonight.",
    f"{LONG} Nobody was hurt, and by the evening the whole village had come to look at what was "
    "left of it by the harbour.",
)


def main(args: argparse.Namespace) -> None:
    bench = Bench(args)
    for paths in chosen(args):
        speaker = Speaker(paths)
        logger.info("speaker %s, target %s", speaker.name, speaker.target.name)
        for name in args.method or (*SEARCHES, *METHODS):
            bench.result(speaker, name)
        if args.length_steps:
            for model in LENGTH_MODELS:
                bench.length_result(speaker, model)
    print(tables(bench.collected()), "; ".join(taken().values()), sep="\n\n")


class Bench:
    """Fits and judges, and keeps what is done."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.output = args, Path(args.output)
        self._shared: VoiceGradientOptimizer | None = None
        self._ranked: dict[str, list[str]] = {}

    def result(self, speaker: Speaker, name: str) -> None:
        """Search for a voice by a method and judge it, unless that is done."""

        def work(folder: Path) -> dict[str, Any]:
            optimizer = self.optimizer(name if name in METHODS else "cma")
            search = self._search(optimizer, speaker, name, folder)
            voice = optimizer.space.pack(search.best.coordinates)
            save_voice(folder / "voice.npz", voice)
            rows = [speaker.judged(optimizer.backend, voice, text) for text in UNSEEN]
            return {"voice": search.name, "trace": search.trace, "unseen": rows}

        self._kept(speaker.name, name, work)
        self._kept(speaker.name, "own", lambda folder: speaker.own())

    def length_result(self, speaker: Speaker, model: str) -> None:
        """Fit as many steps with a length model, and judge at three lengths."""

        def work(folder: Path) -> dict[str, Any]:
            steps = {"num_iterations": self.args.length_steps, "length_model": model}
            optimizer = self.optimizer("autograd", max_seconds=0.0, **steps)
            voice = load_voice(optimizer.optimize(speaker.target, folder)["voice"])
            return {"lengths": [speaker.judged(optimizer.backend, voice, t) for t in LENGTHS]}

        self._kept(speaker.name, f"length_{model}", work)

    def optimizer(self, method: str, **changes: Any) -> VoiceGradientOptimizer:
        """As the tool makes it; all share the loaded model."""
        settings = {
            "text_for_generation": self.args.text,
            "num_iterations": 1_000_000,
            "save_every": 1_000_000,
            "max_seconds": float(self.args.seconds),
            "patience": 0,
            "learning_rate": self.args.learning_rate,
            "fd_epsilon": self.args.fd_epsilon,
            "embedder": "resemblyzer",
            "voices": str(find_voices(self.args.voices)),
            "seed": self.args.seed,
        }
        config = OptimizerConfig(**{**settings, "gradient_method": method, **changes})
        self._shared = shared = self._shared or create_optimizer(config=config)
        return VoiceGradientOptimizer(shared.backend, shared.embedder, self.voices, config)

    @functools.cached_property
    def voices(self) -> dict[str, np.ndarray]:
        """Kokoro's own, ``(510, 1, 256)`` by name."""
        return load_voices(find_voices(self.args.voices))

    def _search(
        self, optimizer: VoiceGradientOptimizer, speaker: Speaker, name: str, folder: Path
    ) -> Search:
        if name in METHODS:
            return fit(optimizer, speaker.target, folder)
        objective = optimizer.objective(speaker.target)
        # Loading and the first call of every kernel are nobody's time.
        objective.measure(optimizer.start[None])
        objective.syntheses = 0
        if name == "walk":
            return random_walk(objective, optimizer.start, self.args.seconds, self.args.seed)
        if name == "centroid":
            return best_of(objective, {"centroid": optimizer.start})[0]
        return self._mixture(optimizer, objective, speaker.name, name)

    def _mixture(
        self, optimizer: VoiceGradientOptimizer, objective: Objective, speaker: str, name: str
    ) -> Search:
        """The best stock voice, or the best mixture of two of the first."""
        points = {
            voice: optimizer.space.coordinates(pack).astype("float32")
            for voice, pack in self.voices.items()
        }
        if name == "stock" or speaker not in self._ranked:
            search, self._ranked[speaker] = best_of(objective, points)
        if name == "blend":
            search, _ = best_of(objective, blends(points, self._ranked[speaker]))
        return search

    def _kept(self, speaker: str, name: str, work: Callable[[Path], dict[str, Any]]) -> None:
        folder = self.output / speaker / name
        if not (folder / RESULT).exists():
            seconds, result = timed(work, folder)
            logger.info("%s: %.0f s", folder, seconds)
            write_whole(folder / RESULT, json.dumps({**result, "taken": taken()}) + "\n")

    def collected(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Everything that is done, by speaker and name."""
        return {
            (path.parents[1].name, path.parent.name): json.loads(path.read_text())
            for path in sorted(self.output.glob(f"*/*/{RESULT}"))
        }


def fit(optimizer: VoiceGradientOptimizer, target: Path, folder: Path) -> Search:
    """One run of the optimizer as a trace."""
    search, began = Search(), time.monotonic()

    def keep(progress) -> None:
        spoken = progress.history["syntheses"][-1]
        search.offer(progress.best, spoken, time.monotonic() - began)

    result = optimizer.optimize(target, folder, on_step=keep)
    logger.info("%s: %s", folder, json.dumps(result))
    return search


def chosen(args: argparse.Namespace) -> list[list[Path]]:
    """Recordings of each speaker, for the first speakers that have several."""
    folders = sorted(path for path in Path(args.recordings).iterdir() if path.is_dir())
    wanted = [path for path in folders if not args.speaker or path.name in args.speaker]
    several = [paths for paths in map(recordings, wanted) if len(paths) > 1]
    if not several:
        raise DataError(f"{args.recordings} holds no speaker with two recordings or more.")
    return several if args.speaker else several[: args.speakers]


def parser() -> argparse.ArgumentParser:
    parser = make_parser("kokoro_voice.py", __doc__)
    method = (*SEARCHES, *METHODS)
    parser.add_argument("--recordings", required=True, help="a folder with one for each speaker")
    parser.add_argument("--voices", default="", help="folder of Kokoro's voices (default: found)")
    parser.add_argument("--speaker", action="append", help="only this one; may be repeated")
    parser.add_argument("--speakers", type=int, default=5, help="if none is named (default: 5)")
    parser.add_argument("--method", action="append", choices=method, help="only this one")
    parser.add_argument("--seconds", type=int, default=300, help="of each search (default: 300)")
    parser.add_argument("--text", default="Hello, this is a test.", help="what the fits speak")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument(
        "--fd-epsilon",
        type=float,
        default=0.3,
        help="of finite-diff and spsa; the tool's 0.01 drowns in the roughness (default: 0.3)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--length-steps",
        type=int,
        default=0,
        help="compare the length models after so many autograd steps (default: do not)",
    )
    parser.add_argument("--output", default="outputs/kokoro_benchmark")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
