"""Speaker verification on a list of trials: EER, minDCF, threshold, scores and a picture.

    myxtts verify --trials trials.txt --encoder resemblyzer

A line of the list is ``label enrol test``: 1 (or target) for two clips of one speaker,
0 (or nontarget) for two speakers, and the clips' paths relative to the list.

    myxtts verify --trials trials.txt --encoder ecapa_tdnn \
        --score-norm as-norm --cohort FOLDER_OF_SPEAKERS
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from myxtts.config import ENCODER_NAMES
from myxtts.errors import AudioError, ConfigError, DataError
from myxtts.files import replacing
from myxtts.flags import make_parser
from myxtts.verification.score_norm import NEAREST, SCORE_NORMS, ScoreNorm, centroids

logger = logging.getLogger(__name__)

# Recordings of a cohort that are embedded at once, and again one by one where one cannot be used.
COHORT_BATCH = 64
# Shorter recordings of a cohort are left out.
LEAST_SECONDS = 0.5


def parser(prog: str = "myxtts verify") -> argparse.ArgumentParser:
    """Flags of the program."""
    parser = make_parser(prog, "Measure how well an encoder tells speakers apart.", json=True)
    parser.add_argument(
        "--trials", required=True, metavar="FILE", help="lines 'label enrol test', label 1 or 0"
    )
    parser.add_argument(
        "--encoder",
        required=True,
        metavar="NAME",
        help=f"{', '.join(ENCODER_NAMES)}, or the folder of a preset of an XTTS or of a "
        "speaker encoder",
    )
    parser.add_argument(
        "--encoder-weights", metavar="PATH", help="the upstream's weights of a named encoder"
    )
    parser.add_argument(
        "--trim-silences",
        action=argparse.BooleanOptionalAction,
        help="cut long silences first with webrtcvad, as Resemblyzer's upstream does "
        "(default: for resemblyzer)",
    )
    add_cohort(parser)
    parser.add_argument(
        "--output",
        default="outputs/verification",
        metavar="DIR",
        help="folder of scores.txt and det.png (default: outputs/verification)",
    )
    parser.add_argument(
        "--save-threshold",
        action="store_true",
        help="keep the threshold: in the preset's folder, or in OUTPUT/verification.json",
    )
    return parser


def add_cohort(parser: argparse.ArgumentParser) -> None:
    """Flags of normalised scores."""
    parser.add_argument(
        "--score-norm",
        choices=SCORE_NORMS,
        help="normalise the scores by those of a cohort of strangers (default: cosines as they "
        "are)",
    )
    parser.add_argument(
        "--cohort",
        metavar="DIR",
        help="folder of the cohort's speakers, SPEAKER/FILE at any depth; none may be of "
        "the trials",
    )
    parser.add_argument(
        "--cohort-nearest",
        type=int,
        metavar="N",
        help=f"speakers of the cohort that as-norm takes for each clip (default: {NEAREST})",
    )


def main(args: argparse.Namespace) -> None:
    """Embed every clip once, score the trials, write the files and print the errors."""
    from myxtts.verification import trials as sets
    from myxtts.verification.threshold import THRESHOLD_FILE, Threshold

    check_cohort(args)
    trials = sets.read_trials(args.trials)
    targets = [trial.target for trial in trials]
    output = Path(args.output)
    listed, picture = output / "scores.txt", output / "det.png"
    with replacing(listed, DataError) as fresh, replacing(picture, DataError) as drawn:
        verifier, preset = make_verifier(args)
        folder = Path(args.trials).parent
        norm = make_norm(args, verifier, clips_of(trials, folder)) if args.score_norm else None
        scores = score(verifier, trials, folder, norm)
        errors = sets.detection_errors(scores, targets)
        write_scores(fresh, trials, scores)
        measured_on = set_name(args.trials)
        title = f"{name_of(args.encoder)} on {measured_on}"
        kind = sets.COSINE + (f", {args.score_norm}" if norm else "")
        sets.draw_errors(drawn, scores, targets, errors, title, kind)
    threshold = Threshold(
        value=errors.threshold,
        eer=errors.eer,
        min_dcf=errors.min_dcf,
        trials=len(trials),
        measured_on=measured_on,
        provenance=verifier.provenance,
        trimmed=verifier.trim_silences,
    )
    kept = (preset or output) / THRESHOLD_FILE
    if args.save_threshold:
        threshold.save(kept)
    if args.json:
        own = {} if norm is None else {"score_norm": args.score_norm, "cohort": len(norm.centroids)}
        print(json.dumps(summary(args.encoder, threshold) | own))
        return
    print(report(args.encoder, threshold, trials))
    if norm is not None:
        print(f"scores by    {args.score_norm}, {len(norm.centroids)} speakers of {args.cohort}")
    print(f"scores       {listed}")
    print(f"picture      {picture}")
    if args.save_threshold:
        print(f"kept in      {kept}")


def make_verifier(args: argparse.Namespace):
    """The verifier that ``--encoder`` names, and its preset's folder (None without one).

    Raises:
        ConfigError: there is no such encoder, or a flag does not go with it.
    """
    from myxtts.presets.finding import find_preset
    from myxtts.verification.verifier import SpeakerVerifier

    if args.encoder in ENCODER_NAMES:
        weights, trim = args.encoder_weights, args.trim_silences
        return SpeakerVerifier.from_pretrained(args.encoder, weights, trim), None
    if not Path(args.encoder).is_dir():
        raise ConfigError(
            f"--encoder {args.encoder}: neither {', '.join(ENCODER_NAMES)} nor the folder "
            "of a preset."
        )
    if args.encoder_weights or args.trim_silences is not None:
        flag = "--encoder-weights" if args.encoder_weights else "--[no-]trim-silences"
        raise ConfigError(f"{flag} is for named encoders; {args.encoder} is a preset.")
    preset = find_preset(args.encoder)
    return SpeakerVerifier.from_preset(preset), preset


def check_cohort(args: argparse.Namespace) -> None:
    """Raise ConfigError for flags of normalised scores that do not go together."""
    if args.score_norm is None:
        for flag, value in (("--cohort", args.cohort), ("--cohort-nearest", args.cohort_nearest)):
            if value is not None:
                raise ConfigError(f"{flag} is for --score-norm {' or '.join(SCORE_NORMS)}.")
        return
    if args.cohort is None:
        raise ConfigError(f"--score-norm {args.score_norm} needs --cohort, a folder of speakers.")
    if args.cohort_nearest is not None:
        if args.score_norm != "as-norm":
            raise ConfigError("--cohort-nearest is for --score-norm as-norm.")
        if args.cohort_nearest < 2:
            raise ConfigError(f"--cohort-nearest must be at least 2, not {args.cohort_nearest}.")
    if args.save_threshold:
        raise ConfigError(
            "--save-threshold keeps a threshold of cosines, and verification has no cohort; leave "
            "--score-norm out."
        )


def make_norm(args: argparse.Namespace, verifier, heard: set[Path]) -> ScoreNorm:
    """The normalisation that the flags ask for.

    Args:
        args: of the program.
        verifier: embeds the cohort.
        heard: resolved paths of the trials' clips, which may not be in the cohort.

    Raises:
        DataError: the cohort holds a clip of the trials, or fewer than two speakers.
    """
    from myxtts.data.speakers import find_recordings, measure

    found, _ = measure(args.cohort, find_recordings(args.cohort), LEAST_SECONDS)
    if both := [item.path for item in found if item.path.resolve() in heard]:
        raise DataError(
            f"--cohort {args.cohort}: {len(both)} of its recordings are clips of the trials "
            f"({both[0]}, say); a cohort is of strangers."
        )
    found, embeddings = embed_cohort(verifier, found)
    nearest = None if args.score_norm == "s-norm" else args.cohort_nearest or NEAREST
    return ScoreNorm(centroids(embeddings, [item.speaker for item in found]), nearest)


def embed_cohort(verifier, recordings: Sequence) -> tuple[list, np.ndarray]:
    """Recordings that can be used with their embeddings; the others are named and left out.

    Raises:
        DataError: there is none.
    """
    kept, rows = [], []
    for start in range(0, len(recordings), COHORT_BATCH):
        group = recordings[start : start + COHORT_BATCH]
        try:
            rows += list(verifier.embed([item.path for item in group]))
            kept += group
            continue
        except AudioError:
            logger.debug("one of %d recordings cannot be used", len(group))
        for item in group:
            try:
                rows += list(verifier.embed([item.path]))
                kept.append(item)
            except AudioError as error:
                logger.warning("left out of the cohort: %s", error)
    if not kept:
        raise DataError("no recording of the cohort can be used.")
    return kept, np.stack(rows)


def clips_of(trials: Sequence, folder: Path) -> set[Path]:
    """Resolved paths of all clips."""
    return {(folder / name).resolve() for trial in trials for name in (trial.enrol, trial.test)}


def score(verifier, trials: Sequence, folder: Path, norm: ScoreNorm | None = None) -> np.ndarray:
    """Cosine of each trial, normalised where asked; every distinct clip is embedded once."""
    names = sorted({name for trial in trials for name in (trial.enrol, trial.test)})
    rows = verifier.embed([folder / name for name in names])
    embeddings = dict(zip(names, rows, strict=True))
    cosines = np.array([float(embeddings[t.enrol] @ embeddings[t.test]) for t in trials])
    if norm is None:
        return cosines
    places = {name: place for place, name in enumerate(names)}
    enrol, test = np.array([(places[t.enrol], places[t.test]) for t in trials]).T
    return norm(cosines, rows, enrol, test)


def write_scores(path: Path, trials: Sequence, scores: np.ndarray) -> None:
    """One line ``label enrol test score`` for each trial; paths with blanks in double quotes."""
    lines = [
        f"{int(trial.target)} {_quoted(trial.enrol)} {_quoted(trial.test)} {value:.7f}\n"
        for trial, value in zip(trials, scores, strict=True)
    ]
    path.write_text("".join(lines), encoding="utf-8")


def _quoted(path: str) -> str:
    return f'"{path}"' if len(path.split()) > 1 else path


def summary(encoder: str, threshold) -> dict:
    """The keys of ``--json``."""
    return {
        "encoder": encoder,
        "trials": threshold.trials,
        "eer": round(threshold.eer, 4),
        "min_dcf": round(threshold.min_dcf, 4),
        "threshold": threshold.value,
    }


def report(encoder: str, threshold, trials: Sequence) -> str:
    """What a person wants to know."""
    targets = sum(trial.target for trial in trials)
    return "\n".join(
        [
            f"encoder      {encoder}",
            f"weights      {threshold.provenance}",
            f"silences     {'long ones trimmed' if threshold.trimmed else 'kept'}",
            f"trials       {len(trials)} ({targets} target, {len(trials) - targets} non-target) "
            f"of {threshold.measured_on}",
            f"EER          {threshold.eer:.3f} %",
            f"minDCF(0.01) {threshold.min_dcf:.4f}",
            f"threshold    {threshold.value:.4f} at the EER",
        ]
    )


def name_of(encoder: str) -> str:
    """Encoder's name for a title; of a preset, the folder's."""
    return encoder if encoder in ENCODER_NAMES else Path(encoder).resolve().name


def set_name(trials: str) -> str:
    """Name of a set of trials: the file and its folder."""
    path = Path(trials).resolve()
    return f"{path.parent.name}/{path.name}"
