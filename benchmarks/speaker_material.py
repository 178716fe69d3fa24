"""Corpus, noises and rooms to train a speaker encoder on where there are no downloads.

    python benchmarks/speaker_material.py --corpus runs/voice_corpus/train --corpus kokoro54 \
        --validation libritts_mini --output runs/material

Writes corpora of recordings that stay where they are (``train``, ``val``), and sounds that are
computed:
noises and rooms to augment with, and others, of other seeds and other kinds, to judge by
(``noise``, ``rooms``, ``noise_held_out``, ``rooms_held_out``).
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy.signal import butter, sosfilt

from benchmarks.measuring import report, write_corpus
from myxtts.audio.io import write_audio
from myxtts.data.formats import Utterance, find_utterances
from myxtts.flags import make_parser, run

logger = logging.getLogger(__name__)

RATE = 16_000
SECONDS = 10
# What tools/make_voice_corpus.py puts before the name of a voice of Kokoro's.
KOKORO = "k_"
SOUND_M_S = 343.0


def main(args: argparse.Namespace) -> None:
    found = corpus(args.corpus, args.per_speaker)
    kept = [item for item in found if item.speaker not in args.held_out]
    write_corpus(kept, args.output / "train")
    held = [item for item in found if item.speaker in args.held_out]
    held += corpus(args.validation, args.per_speaker)
    write_corpus(held, args.output / "val")
    for number, (name, kinds) in enumerate((("noise", TRAINED), ("noise_held_out", HELD_OUT))):
        count = args.noises if number == 0 else args.noises // 4
        write_sounds(args.output / name, count, number, lambda rng, kinds=kinds: noise(rng, kinds))
    for number, name in enumerate(("rooms", "rooms_held_out"), 10):
        count = args.rooms if number == 10 else args.rooms // 4
        write_sounds(args.output / name, count, number, room)
    names = {item.speaker for item in kept}
    told = {"clips": len(kept), "speakers": len(names), "validation_clips": len(held)}
    report({**told, "output": str(args.output)})


def parser() -> argparse.ArgumentParser:
    parser = make_parser("speaker_material.py", __doc__)
    parser.add_argument("--corpus", type=Path, action="append", required=True, help="may repeat")
    parser.add_argument("--output", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--per-speaker", type=int, default=12, help="recordings of one at most")
    parser.add_argument(
        "--held-out", nargs="+", default=[], metavar="NAME", help="speakers for validation"
    )
    parser.add_argument(
        "--validation", type=Path, action="append", default=[], help="corpus for validation alone"
    )
    parser.add_argument("--noises", type=int, default=160, help="files; a quarter more held out")
    parser.add_argument("--rooms", type=int, default=80, help="files; a quarter more held out")
    return parser


def corpus(folders: Sequence[Path], most: int) -> list[Utterance]:
    """At most so many utterances of every speaker, evenly spread over what there is."""
    members: dict[str, list[Utterance]] = {}
    for folder in folders:
        for item in find_utterances(folder):
            name = item.speaker.removeprefix(KOKORO)
            named = dataclasses.replace(item, speaker=name)
            members.setdefault(name, []).append(named)
    return [own[place] for own in members.values() for place in _spread(len(own), most)]


def write_sounds(folder: Path, count: int, seed: int, make: Callable) -> None:
    """``count`` files of what ``make`` gives for a generator."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        samples = make(np.random.default_rng([seed, number]))
        loud = 0.5 * samples / np.abs(samples).max()
        write_audio(folder / f"{number:04d}.wav", loud.astype("float32"), RATE)
    logger.info("%s: %d files", folder, count)


def noise(rng: np.random.Generator, kinds: Sequence[Callable]) -> np.ndarray:
    """One kind of noise, or two at once."""
    made = [kinds[rng.integers(len(kinds))](rng) for _ in range(rng.integers(1, 3))]
    return sum(part / part.std() * rng.uniform(0.3, 1.0) for part in made)


def coloured(rng: np.random.Generator) -> np.ndarray:
    """Steady noise whose power falls by 0 to 9 dB an octave."""
    return _shaped(rng, rng.uniform(0.0, 1.5))


def swelling(rng: np.random.Generator) -> np.ndarray:
    """Coloured noise that comes and goes, as cars or waves do."""
    return coloured(rng) * _envelope(rng, rng.uniform(0.2, 4.0), rng.uniform(1.0, 3.0))


def band(rng: np.random.Generator) -> np.ndarray:
    """White noise between two frequencies, as fans and vents have it."""
    low = rng.uniform(60, 2000)
    edges = low, min(low * rng.uniform(1.5, 6.0), 7500)
    return _filtered(rng.standard_normal(SECONDS * RATE), edges)


def hum(rng: np.random.Generator) -> np.ndarray:
    """Harmonics of the mains or of a motor whose speed wanders a little."""
    pitch = rng.choice([50.0, 60.0, rng.uniform(20, 200)]) * (1 + 0.01 * _wander(rng, 0.5))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    count, fall = rng.integers(5, 30), rng.uniform(0.3, 1.5)
    starts = rng.uniform(0, 2 * np.pi, count)
    parts = [np.sin(k * phase + starts[k - 1]) / k**fall for k in range(1, count + 1)]
    return np.sum(parts, axis=0) + 0.1 * coloured(rng)


def clatter(rng: np.random.Generator) -> np.ndarray:
    """Short ringing blows at random moments over a little noise: dishes, keys, steps."""
    made = np.zeros(SECONDS * RATE)
    for start in rng.integers(0, len(made) - RATE // 2, rng.integers(8, 80)):
        length = int(RATE * rng.uniform(0.01, 0.3))
        decay = np.exp(-6.0 * np.arange(length) / length)
        low = rng.uniform(200, 4000)
        blow = _filtered(rng.standard_normal(length), (low, min(2 * low, 7500)))
        made[start : start + length] += blow * decay * rng.uniform(0.2, 1.0)
    return made + 0.02 * coloured(rng)


def rain(rng: np.random.Generator) -> np.ndarray:
    """Thousands of drops a second: held out, of a kind that is never trained on."""
    drops = rng.standard_normal(SECONDS * RATE) * (rng.random(SECONDS * RATE) < 0.02)
    return _filtered(drops, (rng.uniform(300, 1500), rng.uniform(4000, 7500)))


def siren(rng: np.random.Generator) -> np.ndarray:
    """A gliding tone with harmonics in traffic: held out, of a kind that is never trained on."""
    glide = 700 * 2 ** (0.7 * np.sin(2 * np.pi * rng.uniform(0.1, 2) * _times()))
    phase = 2 * np.pi * np.cumsum(glide) / RATE
    tone = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.3 * np.sin(3 * phase)
    return tone + rng.uniform(0.5, 3.0) * _shaped(rng, 1.0)


def machine(rng: np.random.Generator) -> np.ndarray:
    """Noise that pulses regularly: held out, of a kind that is never trained on."""
    beat = 1 + np.sin(2 * np.pi * rng.uniform(3, 25) * _times())
    return _shaped(rng, rng.uniform(0.3, 1.2)) * beat ** rng.integers(1, 5)


TRAINED = (coloured, swelling, band, hum, clatter)
HELD_OUT = (rain, siren, machine)


def room(rng: np.random.Generator) -> np.ndarray:
    """Impulse response of a shoebox by image sources (Allen and Berkley 1979)."""
    size = rng.uniform((2.5, 2.5, 2.2), (9.0, 7.0, 4.0))
    speaker, hearer = (rng.uniform(0.15, 0.85, 3) * size for _ in range(2))
    decay = rng.uniform(0.15, 0.8)  # seconds until 60 dB are lost
    surface = 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    absorbed = min(0.161 * size.prod() / (surface * decay), 0.95)  # Sabine
    order = 8
    cells = np.stack(np.meshgrid(*[np.arange(-order, order + 1)] * 3), -1).reshape(-1, 3)
    places = cells * size + np.where(cells % 2, size - speaker, speaker)
    distance = np.maximum(np.linalg.norm(places - hearer, axis=1), 0.1)
    bounces = np.abs(cells).sum(axis=1)
    signs = np.where(rng.random(len(cells)) < 0.5, -1.0, 1.0) ** (bounces > 1)
    gains = signs * np.sqrt(1 - absorbed) ** bounces / distance
    arrivals = (distance / SOUND_M_S * RATE).astype(int)
    response = np.zeros(RATE)
    inside = arrivals < RATE
    np.add.at(response, arrivals[inside], gains[inside])
    return _filtered(response, (60, 7500))


def _spread(count: int, most: int) -> np.ndarray:
    """At most so many places of ``count``, evenly spread."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)


def _times() -> np.ndarray:
    return np.arange(SECONDS * RATE) / RATE


def _shaped(rng: np.random.Generator, slope: float) -> np.ndarray:
    """White noise whose amplitude falls as frequency to the ``slope``."""
    spectrum = np.fft.rfft(rng.standard_normal(SECONDS * RATE))
    frequency = np.maximum(np.fft.rfftfreq(SECONDS * RATE, 1 / RATE), 30.0)
    return np.fft.irfft(spectrum / frequency**slope)


def _filtered(samples: np.ndarray, edges: tuple[float, float]) -> np.ndarray:
    return sosfilt(butter(2, edges, "bandpass", fs=RATE, output="sos"), samples)


def _wander(rng: np.random.Generator, rate: float) -> np.ndarray:
    """A slow random curve of deviation one; ``rate`` is in Hz."""
    points = rng.standard_normal(max(int(SECONDS * rate), 2) + 2)
    return np.interp(np.linspace(0, len(points) - 1, SECONDS * RATE), range(len(points)), points)


def _envelope(rng: np.random.Generator, rate: float, depth: float) -> np.ndarray:
    return np.exp(depth * _wander(rng, rate))


if __name__ == "__main__":
    sys.exit(run(main, parser()))
