"""How well is a Kokoro voice told from speech in one pass?

    python benchmarks/styletts2_kokoro.py leave-one-out --clips kokoro54
    python benchmarks/styletts2_kokoro.py gains --clips kokoro54
    python benchmarks/styletts2_kokoro.py speakers --recordings sv_test/audio

``leave-one-out``: each of Kokoro's voices is told from its clips by a map of the others, with
every way that was tried; between the nearest other voice and the nearest point in the others'
span. ``gains``: the same voices are spoken, moved away from the median by several gains, and
judged by how like they are to the voice left out. ``speakers``: the shipped maps make voices of
real speakers by one recording each, which say sentences nobody has fitted anything to; judged as
in ``benchmarks/kokoro_voice.py``. A judge is nothing to go by in the row of a map that hears with
it: look at ECAPA-TDNN for the map from Resemblyzer, and the other way round.

Wants requirements-kokoro.txt and the weights of both speaker encoders; ``speakers`` also the
judges of `make reference`. ``--kept`` keeps what was
heard; it may be the one of tools/build_speaker_map.py.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.measuring import taken
from myxtts.audio.io import resample
from myxtts.errors import ConfigError
from myxtts.files import write_whole
from myxtts.flags import make_parser, run
from myxtts.timing import SPEAKER_RATE
from tools.kokoro.backends.interface import SAMPLE_RATE, speak
from tools.kokoro.voice_sources import find_voices
from tools.kokoro.voice_space import SpaceShape, build_space
from tools.kokoro.voices import load_voices
from tools.styletts2_kokoro import learning, map_corpus, predictors
from tools.styletts2_kokoro.hearing import (
    BOTH,
    ECAPA,
    RESEMBLYZER,
    open_speakers,
    prepared,
    read_reference,
    split,
)
from tools.styletts2_kokoro.leave_one_out import HALVES, folds, predictions, score
from tools.styletts2_kokoro.speaker_map import load_maps

logger = logging.getLogger(__name__)

FIGURES = ("resemblyzer", "ecapa", "wer", "dnsmos")
GAINS = (0.0, 1.0, 1.5, 2.0, 2.5)
TEXT = "The morning train was late again, so we walked along the river instead."
# Of the voices, every so many is spoken with the gains.
EVERY = 5
# As leaving one out chose for ridge alone, and for ridge and softmax together; what it chooses
# anew is told by tools/build_speaker_map.py.
LOUDNESS, STRENGTH, TOGETHER = 1.4, 0.6, (0.3, 0.05)
EPOCHS = (0, 20, 100)


def main(args: argparse.Namespace) -> None:
    lines = real_speakers(args) if args.what == "speakers" else of_voices(args)
    text = "\n".join([*lines, "", "; ".join(taken().values())])
    if args.output:
        write_whole(args.output, text + "\n")
    print(text)


def of_voices(args: argparse.Namespace) -> Iterator[str]:
    """What is measured on Kokoro's own voices."""
    if not args.clips:
        raise ConfigError(f"{args.what} wants --clips.")
    voices = dict(sorted(load_voices(find_voices(args.voices)).items()))
    clips = map_corpus.recorded_clips(args.clips, voices, args.clips_each)
    kept = Path(args.kept) / f"heard-{BOTH}.npz" if args.kept else None
    heard = map_corpus.by_voice(map_corpus.hear(clips, open_speakers(BOTH), kept))
    return leave_one_out(voices, heard) if args.what == "leave-one-out" else gains(voices, heard)


def leave_one_out(voices: Mapping, heard: Mapping[str, np.ndarray]) -> Iterator[str]:
    """The table of all that was tried, line by line."""
    made = {half: folds(np.stack(list(voices.values())), half) for half in HALVES}
    yield "| | timbre R² | cosine | prosody R² | cosine | best gain |"
    yield "|---|---|---|---|---|---|"
    whole = averaged(voices, heard)
    for name, (learned, told, predict) in tried(voices, heard, whole).items():
        scores = [score(of, predictions(of, learned, told, predict)) for of in made.values()]
        yield row(name, scores)
    yield row("ceiling", [score(of, [fold.target for fold in of]) for of in made.values()])


def tried(voices: Mapping, heard: Mapping, whole: np.ndarray) -> dict[str, tuple]:
    """By name: what is learned from, by what a voice is told, and the predictor."""
    louder = loud(whole)
    # Told by one clip, and learned from the others.
    one = loud(averaged(voices, {name: rows[-1:] for name, rows in heard.items()}))
    two = loud(averaged(voices, {name: rows[-2:] for name, rows in heard.items()}))
    rest = loud(averaged(voices, {name: rows[:-2] for name, rows in heard.items()}))
    ridge, mixed = predictors.ridge(STRENGTH), predictors.ridge_and_softmax(*TOGETHER)
    table = {
        "nearest voice": (whole, whole, predictors.nearest),
        "softmax of cosines, temperature 0.07": (whole, whole, predictors.softmax(0.07)),
        "ridge, Resemblyzer": part(whole, RESEMBLYZER, 0.3),
        "ridge, ECAPA-TDNN": part(whole, ECAPA, 0.3),
        "ridge, both equally loud": (whole, whole, predictors.ridge(0.3)),
        "**ridge, both, Resemblyzer 1.4 times as loud**": (louder, louder, ridge),
        "the same, one clip told, two learned": (rest, one, ridge),
        "the same, two clips told, two learned": (rest, two, ridge),
        "kernel ridge": (whole, whole, predictors.kernel_ridge(0.03, 1.0)),
        "mean of ridge and softmax": (louder, louder, mixed),
        "the mean of both, one clip told, two learned": (rest, one, mixed),
    }
    return table | residuals(louder)


def residuals(louder: np.ndarray) -> dict[str, tuple]:
    """The ridge with a network on top, after some epochs."""
    from tools.styletts2_kokoro.residual import ridge_and_residual

    return {
        f"ridge and residual network, {epochs} epochs": (
            louder,
            louder,
            ridge_and_residual(STRENGTH, epochs),
        )
        for epochs in EPOCHS
    }


def part(whole: np.ndarray, name: str, strength: float) -> tuple:
    """A ridge from one of the encoders."""
    own = split(whole, BOTH)[BOTH.split("+").index(name)]
    return own, own, predictors.ridge(strength)


def averaged(voices: Mapping, heard: Mapping[str, np.ndarray]) -> np.ndarray:
    return learning.averages(voices, heard, BOTH)


def loud(embeddings: np.ndarray) -> np.ndarray:
    """With Resemblyzer's part louder."""
    first, second = split(embeddings, BOTH)
    return np.concatenate([LOUDNESS * first, second], axis=1)


def row(name: str, scores: list) -> str:
    timbre, prosody = scores
    shown = [timbre.r2, timbre.cosine, prosody.r2, prosody.cosine]
    gain = f"{timbre.best_gain:.2f}, {prosody.best_gain:.2f}"
    return f"| {name} | " + " | ".join(f"{value:.3f}" for value in shown) + f" | {gain} |"


def gains(voices: Mapping, heard: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Likeness of spoken predictions to the voices left out, by gain."""
    from tools.kokoro.backends.opening import open_backend
    from tools.kokoro.phonemes import phonemize

    backend, hearing, phonemes = open_backend(), open_speakers(BOTH), phonemize(TEXT)
    whole, likeness = averaged(voices, heard), {gain: [] for gain in GAINS}
    for hidden in range(1, len(voices), EVERY):
        space, point = told(voices, heard, hidden)
        for gain in GAINS:
            audio = speak(backend, space.pack((gain * point).astype("float32")), phonemes)
            clip = prepared(resample(audio, SAMPLE_RATE, SPEAKER_RATE), "speech")
            pairs = zip(split(hearing.embed(clip), BOTH), split(whole[hidden], BOTH), strict=True)
            likeness[gain].append([float(ours @ theirs) for ours, theirs in pairs])
    yield "| gain | Resemblyzer | ECAPA-TDNN |"
    yield "|---|---|---|"
    for gain, found in likeness.items():
        yield f"| {gain:g} | " + " | ".join(f"{value:.3f}" for value in np.mean(found, 0)) + " |"


def told(voices: Mapping, heard: Mapping[str, np.ndarray], hidden: int) -> tuple:
    """The space of the other voices, and the hidden one's coordinates by its last clip."""
    packs = np.delete(np.stack(list(voices.values())), hidden, axis=0)
    space = build_space(packs, SpaceShape(components=len(packs)))
    points = np.stack([space.coordinates(pack) for pack in packs]).astype("float64")
    rest = loud(averaged(voices, {name: rows[:-1] for name, rows in heard.items()}))
    last = loud(averaged(voices, {name: rows[-1:] for name, rows in heard.items()}))
    others = np.delete(rest, hidden, axis=0)
    return space, predictors.ridge(STRENGTH)(others, points, last[hidden])


def real_speakers(args: argparse.Namespace) -> Iterator[str]:
    """Judges' means over the speakers and sentences, for the median voice and each map."""
    from benchmarks.kokoro_voice import UNSEEN, chosen
    from benchmarks.kokoro_voice_sides import Speaker
    from tools.kokoro.backends.opening import open_backend

    args.speaker, rows = args.speaker or [], {}
    backend, hearing = open_backend(), open_speakers(BOTH)
    maps = load_maps()
    space = maps[BOTH].space(find_voices(args.voices))
    for paths in chosen(args):
        speaker = Speaker(paths)
        heard = hearing.embed(read_reference(speaker.target))
        for name, voice in one_pass_voices(maps, space, heard).items():
            for text in UNSEEN[: args.sentences]:
                figures = speaker.judged(backend, voice, text)
                logger.info("%s, %s: %s", speaker.name, name, figures)
                rows.setdefault(name, []).append(figures)
    yield "| | " + " | ".join(FIGURES) + " | clips |"
    yield "|---" * (len(FIGURES) + 2) + "|"
    for name, found in rows.items():
        means = [np.mean([one[figure] for one in found]) for figure in FIGURES]
        shown = " | ".join(f"{value:.3f}" for value in means)
        yield f"| {name} | {shown} | {len(found)} |"


def one_pass_voices(maps: Mapping, space, heard: np.ndarray) -> dict[str, np.ndarray]:
    """The median voice, and what each map makes of an embedding by both encoders."""
    parts = dict(zip(BOTH.split("+"), split(heard, BOTH), strict=True)) | {BOTH: heard}
    points = {name: maps[name].coordinates(part) for name, part in parts.items()}
    points = {"median voice": np.zeros(space.components, "float32"), **points}
    return {name: space.pack(point) for name, point in points.items()}


def parser() -> argparse.ArgumentParser:
    parser = make_parser("styletts2_kokoro.py", __doc__)
    parser.add_argument("what", choices=("leave-one-out", "gains", "speakers"))
    parser.add_argument("--clips", default="", metavar="DIR", help="VOICE/*.ogg of each voice")
    parser.add_argument("--recordings", default="", metavar="DIR", help="a folder for each speaker")
    parser.add_argument("--speaker", action="append", help="only this one; may be repeated")
    parser.add_argument("--speakers", type=int, default=15, help="if none is named (default: 15)")
    parser.add_argument("--sentences", type=int, default=3, help="1 to 3 (default: 3)")
    parser.add_argument("--clips-each", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--voices", default="", metavar="DIR", help="(default: found)")
    parser.add_argument("--kept", default="", metavar="DIR", help="where to keep what was heard")
    parser.add_argument("--output", default="", metavar="FILE", help="write the table here too")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
