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
    split,
)
from tools.styletts2_kokoro.leave_one_out import HALVES, folds, predictions, score
from tools.styletts2_kokoro.speaker_map import SHIPPED

logger = logging.getLogger(__name__)

BACKGROUND = SHIPPED / "background.txt"
DEFAULT_KEPT = "outputs/styletts2_kokoro"
ROWS = ("centroid", BOTH, "stock", RESEMBLYZER, ECAPA, "blend")
FIGURES = ("resemblyzer", "ecapa", "wer", "dnsmos")
GAINS = (0.0, 1.0, 1.5, 2.0, 2.5)
TEXT = "The morning train was late again, so we walked along the river instead."
# Of the voices, every so many is spoken with the gains.
EVERY = 5
# As leaving one out chose for ridge alone, and for ridge and softmax together; what it chooses
# anew is told by tools/build_speaker_map.py.
LOUDNESS, STRENGTH, TOGETHER = 1.4, 0.6, (0.3, 0.05)
EPOCHS = (0, 20, 100)
FEATURE_WEIGHTS = (0.1, 0.2, 0.3)
MIXTURE_WEIGHTS = (0.03, 0.1, 0.3, 1.0)


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
    if args.what == "gains":
        yield from gains(voices, heard)
        return
    yield from leave_one_out(voices, heard)
    yield from with_pitch(voices, heard, args)
    if args.mixtures:
        yield from with_mixtures(voices, heard, args)
    yield from by_length(voices, heard)


def with_pitch(voices: Mapping, heard: Mapping, args: argparse.Namespace) -> Iterator[str]:
    """Rows of the ridge that is told pitch and pace besides."""
    from benchmarks import styletts2_kokoro_trials as trials
    from benchmarks.styletts2_kokoro_readers import remembered

    clips = map_corpus.recorded_clips(args.clips, voices, args.clips_each)
    kept = Path(args.kept or DEFAULT_KEPT) / "pitch.npz"
    found = map_corpus.by_voice(remembered(kept, lambda: trials.features_of(clips)))
    means = np.stack([found[name].mean(axis=0) for name in voices])
    made = all_folds(voices)
    for names in (trials.FEATURES[:1], ("pitch", "spread", "pace"), trials.FEATURES):
        for weight in FEATURE_WEIGHTS:
            whole = trials.with_features(loud(averaged(voices, heard)), means, names, weight)
            tellers = (predictions(of, whole, whole, predictors.ridge(STRENGTH)) for of in made)
            scores = [score(of, told) for of, told in zip(made, tellers, strict=True)]
            yield row(f"ridge, with {', '.join(names)} times {weight:g}", scores)


def with_mixtures(voices: Mapping, heard: Mapping, args: argparse.Namespace) -> Iterator[str]:
    """Rows of the ridge that also learns from mixtures of the voices."""
    from benchmarks import styletts2_kokoro_mixtures as mixing

    shares = mixing.mixture_shares(args.mixtures, list(voices))
    clips = mixing.mixture_clips(args.mixtures, shares)
    kept = Path(args.kept or DEFAULT_KEPT) / f"mixtures-{BOTH}.npz"
    found = map_corpus.by_voice(map_corpus.hear(clips, open_speakers(BOTH), kept))
    mixtures = mixing.Mixtures(
        np.stack([shares[name] for name in found]), loud(averaged(found, found))
    )
    whole, made = loud(averaged(voices, heard)), all_folds(voices)
    for weight in MIXTURE_WEIGHTS:
        for strength in (STRENGTH, 2 * STRENGTH):
            scores = [
                score(of, list(mixing.ridge_with_mixtures(of, whole, mixtures, strength, weight)))
                for of in made
            ]
            name = f"ridge {strength:g}, {len(found)} mixtures at weight {weight:g}"
            yield row(name, scores)


def by_length(voices: Mapping, heard: Mapping) -> Iterator[str]:
    """Rows of the ways to fill the 510 rows."""
    from benchmarks import styletts2_kokoro_trials as trials

    whole = loud(averaged(voices, heard))
    packs = np.stack(list(voices.values()))
    for name, r2 in trials.length_models(packs, whole, STRENGTH):
        yield f"| ridge, {name} | {r2['timbre']:.3f} | | {r2['prosody']:.3f} | | |"


def all_folds(voices: Mapping) -> list:
    return [folds(np.stack(list(voices.values())), half) for half in HALVES]


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
    """The tables of real speakers, line by line."""
    from benchmarks import styletts2_kokoro_fits as fits
    from benchmarks import styletts2_kokoro_table as tables
    from benchmarks.styletts2_kokoro_readers import Spoken, choose_readers, open_reader
    from tools.kokoro.backends.opening import open_backend

    if not args.recordings:
        raise ConfigError("speakers wants --recordings.")
    known = frozenset(line.split("/")[0] for line in BACKGROUND.read_text().split())
    chosen = choose_readers(args.recordings, args.speaker or [], args.speakers, known)
    kept = Path(args.kept or DEFAULT_KEPT)
    readers = [open_reader(paths, kept / "readers") for paths in chosen]
    spoken = Spoken(open_backend(args.backend), kept / "spoken")
    table = tables.Table(spoken, kept, args.voices)
    fitted = [reader for reader in readers if len(reader.others) > 1][: args.fitted]
    costly = fits.Fits(table, args.seconds, args.epochs, args.voices)
    rows = {row: fitted if row in fits.ROWS else readers for row in args.row or ROWS}
    tables.progress(table, rows, args.sentences)
    yield from tables.table(table, rows, args.sentences)
    yield ""
    yield from tables.identity(table, rows, args.sentences, args.seed)
    for figure in FIGURES[:2]:
        yield ""
        yield from tables.by_reader(table, rows, args.sentences, figure)
    if args.steps:
        yield ""
        yield from costly.steps_saved(fitted, BOTH)


def parser() -> argparse.ArgumentParser:
    parser = make_parser("styletts2_kokoro.py", __doc__)
    parser.add_argument("what", choices=("leave-one-out", "gains", "speakers"))
    parser.add_argument("--clips", default="", metavar="DIR", help="VOICE/*.ogg of each voice")
    parser.add_argument("--mixtures", default="", metavar="DIR", help="a corpus of mixed voices")
    parser.add_argument("--recordings", default="", metavar="DIR", help="a folder for each speaker")
    parser.add_argument("--speaker", action="append", help="only this one; may be repeated")
    parser.add_argument("--speakers", type=int, default=15, help="if none is named (default: 15)")
    parser.add_argument("--row", action="append", help="only this one; may be repeated")
    parser.add_argument("--backend", default="onnx", help="that speaks (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--fitted", type=int, default=5, help="speakers of cma, autograd and trained (default: 5)"
    )
    parser.add_argument(
        "--seconds", type=float, default=300, help="of processor time, a search (default: 300)"
    )
    parser.add_argument("--epochs", type=int, default=100, help="of a training (default: 100)")
    parser.add_argument("--steps", action="store_true", help="what --start map saves the fits")
    parser.add_argument("--sentences", type=int, default=3, help="1 to 3 (default: 3)")
    parser.add_argument("--clips-each", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--voices", default="", metavar="DIR", help="(default: found)")
    parser.add_argument("--kept", default="", metavar="DIR", help="where to keep what was heard")
    parser.add_argument("--output", default="", metavar="FILE", help="write the table here too")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
