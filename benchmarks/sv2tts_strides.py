"""Does it matter how far apart an encoder's partial utterances lie? EER with both strides.

RTVC takes them every 80 frames, Resemblyzer every 77, with the same weights.

    python benchmarks/sv2tts_strides.py --trials path/to/trials.txt
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.measuring import report
from myxtts.flags import make_parser, run


def parser() -> argparse.ArgumentParser:
    parser = make_parser("sv2tts_strides.py", __doc__)
    parser.add_argument("--trials", required=True, help="lines 'label enrol test'")
    parser.add_argument("--encoder-weights", help="Resemblyzer's or RTVC's file (default: found)")
    return parser


def main(args: argparse.Namespace) -> None:
    """Score the trials with each stride, and print a JSON line."""
    from myxtts.models.resemblyzer import PARTIAL_STEP, RTVC_STEP
    from myxtts.programs.verify import score
    from myxtts.verification.trials import detection_errors, read_trials
    from myxtts.verification.verifier import SpeakerVerifier

    trials, folder = read_trials(args.trials), Path(args.trials).parent
    found, by_stride = {}, []
    for stride in (PARTIAL_STEP, RTVC_STEP):
        verifier = SpeakerVerifier.from_pretrained("resemblyzer", args.encoder_weights)
        # Of the network inside; nothing has been traced yet.
        verifier.encoder.encoder.partial_step = stride
        scores = score(verifier, trials, folder)
        by_stride.append(scores)
        errors = detection_errors(scores, [trial.target for trial in trials])
        found[stride] = {"eer": round(errors.eer, 6), "min_dcf": round(errors.min_dcf, 6)}
    # 0 would say that the stride had no influence: then it was not set.
    moved = round(float(np.abs(np.subtract(*by_stride)).max()), 6)
    report({"trials": len(trials), "strides": found, "largest_change_of_a_score": moved})


if __name__ == "__main__":
    sys.exit(run(main, parser()))
