"""Voices that cost syntheses: searches from the centroid and the map, and the trained map.

What a search may take is counted in processor time, so that whatever else the machine does is
nobody's loss.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import kokoro_voice
from benchmarks.kokoro_voice_sides import Search
from benchmarks.styletts2_kokoro_readers import Reader
from benchmarks.styletts2_kokoro_table import Made, Table
from myxtts.audio.io import write_audio
from myxtts.files import write_whole
from myxtts.timing import SPEAKER_RATE
from tools import judges
from tools.kokoro.voices import load_voice
from tools.kokoro_voice.optimizer import VoiceGradientOptimizer
from tools.styletts2_kokoro.config import TrainingConfig

logger = logging.getLogger(__name__)

SEARCHES = ("cma", "autograd")
TRAINED = "trained"
ROWS = (*SEARCHES, TRAINED)
STEPS = 30
# A piece of a reference that a training speaks, in seconds, and the pause that ends one.
SHORTEST_PIECE, LONGEST_PIECE, PAUSE = 1.5, 3.5, 0.06


class Fits:
    """Searches and trainings for readers, beside a table's other ways.

    Args:
        table: where references, maps and results are kept.
        seconds: of processor time that a search may take.
        epochs: of a training.
        voices: folder of Kokoro's voices.
    """

    def __init__(self, table: Table, seconds: float, epochs: int, voices: str) -> None:
        self.table, self.seconds, self.epochs, self.voices = table, seconds, epochs, voices
        self._bench: kokoro_voice.Bench | None = None
        for method in SEARCHES:
            table.more[method] = lambda reader, method=method: self.search(method, reader)
        table.more[TRAINED] = self.trained

    def optimizer(self, method: str, steps: int = 1_000_000) -> VoiceGradientOptimizer:
        """As ``benchmarks/kokoro_voice.py`` has it, without a limit of time."""
        if self._bench is None:
            given = ["--recordings", ".", "--voices", self.voices]
            self._bench = kokoro_voice.Bench(kokoro_voice.parser().parse_args(given))
        return self._bench.optimizer(method, max_seconds=0.0, num_iterations=steps)

    def search(self, method: str, reader: Reader) -> Made:
        """A search from the centroid for as long as it may take."""
        folder = self.table.folder / "searches" / method / reader.name
        optimizer = self.optimizer(method)
        result = run_within(
            optimizer, reader.source, folder, lambda spent, _: spent >= self.seconds
        )
        name = f"{result['similarity_best']:.3f} in the objective"
        return Made(load_voice(result["voice"]), result["syntheses"], result["spent"], name)

    def steps_saved(self, readers: Sequence[Reader], row: str) -> Iterator[str]:
        """What a start at the map's voice is worth to a search by autograd."""
        yield f"| | centroid, step 0 | {STEPS} | map, step 0 | steps to the same | saved |"
        yield "|---|---|---|---|---|---|"
        for reader in readers:
            goal = self._steps("centroid", reader, None, 2.0)
            best = [max(goal[: step + 1]) for step in range(len(goal))]
            voice = self.table.made(row, reader).voice
            ours = self._steps("map", reader, voice, best[STEPS])
            reached = next((n for n, value in enumerate(ours) if value >= best[STEPS]), None)
            saved = "none" if reached is None else str(STEPS - reached)
            needed = f"not in {len(ours) - 1}" if reached is None else str(reached)
            yield (
                f"| {reader.name} | {goal[0]:.3f} | {best[STEPS]:.3f} | {ours[0]:.3f} | "
                f"{needed} | {saved} |"
            )

    def _steps(
        self, name: str, reader: Reader, voice: np.ndarray | None, enough: float
    ) -> list[float]:
        """Similarity of each point of a search of 30 steps, the start first."""
        folder = self.table.folder / "steps" / name / reader.name
        if not (folder / "steps.json").is_file():
            optimizer = self.optimizer("autograd", STEPS + 1)
            if voice is not None:
                optimizer.start = optimizer.space.coordinates(voice).astype("float32")
            rows: list[float] = []

            def done(_: float, similarity: float) -> bool:
                rows.append(similarity)
                return similarity >= enough

            run_within(optimizer, reader.source, folder, done)
            write_whole(folder / "steps.json", json.dumps(rows) + "\n")
        return json.loads((folder / "steps.json").read_text(encoding="utf-8"))

    def trained(self, reader: Reader) -> Made:
        """The map trained on pieces of the reference, for as many epochs."""
        from tools.styletts2_kokoro.voice_training import VoiceTrainer

        folder = self.table.folder / "lessons" / reader.name
        pieces = write_lesson(reader, folder)
        config = TrainingConfig(
            encoder="speaker",
            epochs_projection=self.epochs,
            clips_per_epoch=1,
            validation_clips=1,
            voices=self.voices,
        )
        out = self.table.folder / "trained"
        began = time.process_time()
        going_on = (out / reader.name / "checkpoints" / "last.pt").is_file()
        trainer = VoiceTrainer.open(config)
        result = trainer.train(folder, out, reader.name, resume=going_on)
        name = f"epoch {result['best_epoch']} of {result['epochs']}, {pieces} pieces"
        # With its backward pass a step is one synthesis; an epoch is judged by another.
        spoken = 2 * result["epochs"]
        return Made(load_voice(result["voices"][0]), spoken, time.process_time() - began, name)


def run_within(
    optimizer: VoiceGradientOptimizer,
    target: Path,
    folder: Path,
    enough: Callable[[float, float], bool],
) -> dict[str, Any]:
    """A search until ``enough(processor seconds, similarity)``: its result, and what was spent."""
    search, began = Search(), time.process_time()

    def keep(progress) -> None:
        spent = time.process_time() - began
        search.offer(progress.best, progress.history["syntheses"][-1], spent)
        if enough(spent, progress.history["similarity"][-1]):
            # As a user would who has heard enough: the best so far is kept.
            raise KeyboardInterrupt

    result = optimizer.optimize(target, folder, on_step=keep)
    write_whole(folder / "trace.json", json.dumps(search.trace) + "\n")
    return {**result, "spent": time.process_time() - began}


def write_lesson(reader: Reader, folder: Path) -> int:
    """The reference in pieces with what Whisper hears in them; tells how many.

    The last piece of some length judges, the others are trained with.
    """
    words = judges.heard_words(reader.reference, SPEAKER_RATE)
    pieces = list(cut(words))
    for kind, chosen in (("train", pieces[:-1]), ("validation", pieces[-1:])):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        lines = []
        for number, (start, end, text) in enumerate(chosen):
            name = f"{number:02}.wav"
            clip = reader.reference[int(start * SPEAKER_RATE) : int(end * SPEAKER_RATE)]
            write_audio(folder / kind / name, clip, SPEAKER_RATE)
            lines.append(json.dumps({"file_name": name, "text": text}))
        write_whole(folder / kind / "metadata.jsonl", "\n".join(lines) + "\n")
    return len(pieces)


def cut(words: Sequence[tuple[str, float, float]]) -> Iterator[tuple[float, float, str]]:
    """Start, end and text of pieces between pauses; a rest that is too short is left out."""
    piece: list[tuple[str, float, float]] = []
    for place, word in enumerate(words):
        piece.append(word)
        following = words[place + 1][1] if place + 1 < len(words) else word[2] + 1
        long = word[2] - piece[0][1]
        pause = following - word[2]
        if (long >= SHORTEST_PIECE and pause >= PAUSE) or long >= LONGEST_PIECE:
            middle = word[2] + min(pause / 2, 0.1)
            yield max(0.0, piece[0][1] - 0.05), middle, " ".join(one[0] for one in piece)
            piece = []
