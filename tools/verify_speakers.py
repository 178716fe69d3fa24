"""Speaker verification on a list of trials: EER, minDCF, threshold, scores and a picture.

    python tools/verify_speakers.py --trials trials.txt --encoder resemblyzer

A line of the list is ``label enrol test``: 1 (or target) for two clips of one speaker,
0 (or nontarget) for two speakers, and the clips' paths relative to the list.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.config import ENCODER_NAMES
from myxtts.errors import ConfigError, DataError
from myxtts.files import replacing
from myxtts.flags import make_parser, run


def parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "verify_speakers.py", "Measure how well an encoder tells speakers apart.", json=True
    )
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


def main(args: argparse.Namespace) -> None:
    """Embed every clip once, score the trials, write the files and print the errors."""
    from myxtts.verification import trials as sets
    from myxtts.verification.threshold import THRESHOLD_FILE, Threshold

    trials = sets.read_trials(args.trials)
    targets = [trial.target for trial in trials]
    output = Path(args.output)
    listed, picture = output / "scores.txt", output / "det.png"
    with replacing(listed, DataError) as fresh, replacing(picture, DataError) as drawn:
        verifier, preset = make_verifier(args)
        scores = score(verifier, trials, Path(args.trials).parent)
        errors = sets.detection_errors(scores, targets)
        write_scores(fresh, trials, scores)
        measured_on = set_name(args.trials)
        title = f"{name_of(args.encoder)} on {measured_on}"
        sets.draw_errors(drawn, scores, targets, errors, title)
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
        print(json.dumps(summary(args.encoder, threshold)))
        return
    print(report(args.encoder, threshold, trials))
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
    if args.encoder_weights or args.trim_silences:
        flag = "--encoder-weights" if args.encoder_weights else "--trim-silences"
        raise ConfigError(f"{flag} is for named encoders; {args.encoder} is a preset.")
    preset = find_preset(args.encoder)
    return SpeakerVerifier.from_preset(preset), preset


def score(verifier, trials: Sequence, folder: Path) -> np.ndarray:
    """Cosine of each trial; every distinct clip is embedded once."""
    names = sorted({name for trial in trials for name in (trial.enrol, trial.test)})
    embeddings = dict(zip(names, verifier.embed([folder / name for name in names]), strict=True))
    return np.array([float(embeddings[t.enrol] @ embeddings[t.test]) for t in trials])


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


if __name__ == "__main__":
    sys.exit(run(main, parser()))
