"""Voices of real speakers by every way of ``benchmarks/styletts2_kokoro.py``, and their table."""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kokoro_voice import UNSEEN
from benchmarks.kokoro_voice_sides import BLENDED_VOICES, blends
from benchmarks.styletts2_kokoro_readers import (
    Reader,
    Spoken,
    figures,
    nearest,
    nearest_shuffled,
    own_figures,
    remembered,
)
from myxtts.files import write_whole
from tools.kokoro.voice_sources import find_voices
from tools.kokoro.voices import load_voice, load_voices, save_voice
from tools.styletts2_kokoro.hearing import BOTH, ECAPA, LONGEST_S, open_speakers, prepared, split
from tools.styletts2_kokoro.speaker_map import load_maps

logger = logging.getLogger(__name__)

# What a search speaks.
TEXT = "Hello, this is a test."
RATE = 16_000
CENTROID = "centroid"
FIGURES = ("resemblyzer", "ecapa", "wer", "dnsmos")
HEADS = ("Resemblyzer", "ECAPA-TDNN", "WER, %", "DNSMOS")
SHUFFLES = 1000


@dataclass(frozen=True)
class Made:
    """A voice ``(510, 1, 256)`` and what it cost.

    Attributes:
        voice: the table of styles.
        syntheses: clips that were spoken on the way.
        seconds: of processor time; of starting nothing.
        name: of the voice, where it has one.
    """

    voice: np.ndarray
    syntheses: int = 0
    seconds: float = 0.0
    name: str = ""


class Table:
    """Makes voices of readers and keeps them.

    Args:
        spoken: Kokoro's clips.
        folder: where all is kept.
        voices: folder or archive of Kokoro's voices.
    """

    def __init__(self, spoken: Spoken, folder: Path, voices: str) -> None:
        self.spoken, self.folder = spoken, folder
        self.stock = load_voices(find_voices(voices))
        self.maps = load_maps()
        self.space = self.maps[BOTH].space(find_voices(voices))
        self.more: dict[str, Callable[[Reader], Made]] = {}

    def ways(self) -> dict[str, Callable[[Reader], Made]]:
        """By name of the row: from a reader to a voice."""
        one_pass = {name: functools.partial(self.one_pass, name) for name in (CENTROID, *self.maps)}
        fixed = {"stock": self.best_stock, "blend": self.best_blend}
        return {**fixed, **one_pass, **self.more}

    def one_pass(self, name: str, reader: Reader) -> Made:
        """By a map, from what it hears of the reference."""
        kept = self.folder / "reference" / f"{reader.name}.npz"
        heard = remembered(kept, lambda: hear(reader))
        began = time.process_time()
        voice = one_pass_voices(self.maps, self.space, heard["embedding"])[name]
        cost = float(heard["cost"]) + time.process_time() - began
        return Made(voice, 0, 0.0 if name == CENTROID else cost)

    def ranked(self, reader: Reader) -> tuple[list[str], float]:
        """Kokoro's voices, the most alike first, and the seconds to find that out."""
        found = {name: self.spoken.heard(voice, TEXT) for name, voice in self.stock.items()}
        order = sorted(found, key=lambda name: -found[name]["resemblyzer"] @ reader.target)
        return order, float(sum(one["cost"] for one in found.values()))

    def best_stock(self, reader: Reader) -> Made:
        order, seconds = self.ranked(reader)
        return Made(self.stock[order[0]], len(self.stock), seconds, order[0])

    def best_blend(self, reader: Reader) -> Made:
        """The best mixture of two of the first voices, in three proportions."""
        order, seconds = self.ranked(reader)
        first = order[:BLENDED_VOICES]
        points = {name: self.space.coordinates(self.stock[name]) for name in first}
        best = Made(self.stock[order[0]])
        highest, mixed = -1.0, blends(points, order)
        for name, point in mixed.items():
            voice = self.space.pack(point)
            heard = self.spoken.heard(voice, TEXT)
            seconds += float(heard["cost"])
            if (likeness := float(heard["resemblyzer"] @ reader.target)) > highest:
                best, highest = Made(voice, name=name), likeness
        return Made(best.voice, len(self.stock) + len(mixed), seconds, best.name)

    def made(self, row: str, reader: Reader) -> Made:
        """The voice of a row and a reader, which is made if it is not there."""
        folder = self.folder / "voices" / row / reader.name
        if not (folder / "made.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            made = self.ways()[row](reader)
            save_voice(folder / "voice.npz", made.voice)
            cost = {"syntheses": made.syntheses, "seconds": made.seconds, "name": made.name}
            write_whole(folder / "made.json", json.dumps(cost) + "\n")
            logger.info("%s, %s: %s", reader.name, row, cost)
        cost = json.loads((folder / "made.json").read_text(encoding="utf-8"))
        return Made(load_voice(folder / "voice.npz"), **cost)

    def clips(self, row: str, reader: Reader, sentences: int) -> list[dict[str, np.ndarray]]:
        """Judged clips of the unseen sentences."""
        voice = self.made(row, reader).voice
        return [self.spoken.judged(voice, text) for text in UNSEEN[:sentences]]


def hear(reader: Reader) -> dict[str, np.ndarray]:
    """What both speaker encoders hear of a reference, as the one-pass program does."""
    hearing = open_speakers(BOTH)
    began = time.process_time()
    clip = prepared(reader.reference, reader.name)[: int(LONGEST_S * RATE)]
    embedding = hearing.embed(clip)
    return {"embedding": embedding, "cost": np.array(time.process_time() - began)}


def one_pass_voices(maps: Mapping, space, heard: np.ndarray) -> dict[str, np.ndarray]:
    """The median voice, and what each map makes of an embedding by both encoders."""
    parts = dict(zip(BOTH.split("+"), split(heard, BOTH), strict=True)) | {BOTH: heard}
    points = {name: maps[name].coordinates(part) for name, part in parts.items()}
    points = {CENTROID: np.zeros(space.components, "float32"), **points}
    return {name: space.pack(point) for name, point in points.items()}


def table(table: Table, rows: Mapping[str, Sequence[Reader]], sentences: int) -> Iterator[str]:
    """Means over readers and sentences, line by line; a row has the readers that are done."""
    yield "| | readers | " + " | ".join(HEADS) + " | syntheses | seconds |"
    yield "|---" * (len(HEADS) + 4) + "|"
    everybody = next(iter(rows.values()))
    yield line("the speakers themselves", everybody, list(own_figures(everybody)), [])
    for row, readers in rows.items():
        if readers:
            clips = [
                figures(reader, clip)
                for reader in readers
                for clip in table.clips(row, reader, sentences)
            ]
            yield line(row, readers, clips, [table.made(row, reader) for reader in readers])


def line(
    name: str, readers: Sequence[Reader], found: Sequence[Mapping], made: Sequence[Made]
) -> str:
    """A row of the table."""
    cells = [name, str(len(readers))]
    for figure in FIGURES:
        values = [one[figure] for one in found if figure in one]
        factor, digits = (100, 1) if figure == "wer" else (1, 2 if figure == "dnsmos" else 3)
        cells.append(f"{factor * np.mean(values):.{digits}f}" if values else "")
    for attribute in ("syntheses", "seconds"):
        values = [getattr(one, attribute) for one in made]
        cells.append(f"{np.mean(values):.{attribute == 'seconds':d}f}" if values else "")
    return f"| {' | '.join(cells)} |"


def by_reader(
    table: Table, rows: Mapping[str, Sequence[Reader]], sentences: int, figure: str
) -> Iterator[str]:
    """One figure of every row and reader."""
    everybody = next(iter(rows.values()))
    yield f"| {figure} | " + " | ".join(reader.name for reader in everybody) + " |"
    yield "|---" * (len(everybody) + 1) + "|"
    for row, readers in rows.items():
        cells = []
        for reader in everybody:
            there = any(reader is one for one in readers)
            clips = table.clips(row, reader, sentences) if there else []
            values = [figures(reader, clip)[figure] for clip in clips]
            cells.append(f"{np.mean(values):.3f}" if values else "")
        yield f"| {row} | " + " | ".join(cells) + " |"


def identity(
    table: Table, rows: Mapping[str, Sequence[Reader]], sentences: int, seed: int
) -> Iterator[str]:
    """Of each row's voices, how many are nearest to their own reader, by ECAPA-TDNN."""
    yield "| | nearest to their own reader | readers shuffled |"
    yield "|---|---|---|"
    for row, readers in rows.items():
        if len(readers) > 1:
            voices = np.stack([voiceprint(table.clips(row, one, sentences)) for one in readers])
            centres = np.stack([reader.centre for reader in readers])
            own = nearest(voices, centres)
            chance = nearest_shuffled(voices, centres, SHUFFLES, seed)
            yield f"| {row} | {own} of {len(readers)} | {chance:.2f} |"


def voiceprint(clips: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """ECAPA-TDNN's mean ``(192,)`` over clips, of length one."""
    mean = np.mean([clip[ECAPA] for clip in clips], axis=0)
    return mean / np.linalg.norm(mean)


def progress(table: Table, rows: Mapping[str, Sequence[Reader]], sentences: int) -> dict[str, Any]:
    """Make and speak whatever is not there yet, and tell the readers of each row."""
    for number in range(1, sentences + 1):
        for row, readers in rows.items():
            for reader in readers:
                clip = table.clips(row, reader, number)[-1]
                logger.info("%s, %s, %d: %s", reader.name, row, number, figures(reader, clip))
    return dict(rows)
