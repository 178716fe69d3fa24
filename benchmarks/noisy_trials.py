"""Copies of a trial list's recordings, made noisy as training recordings are.

    python benchmarks/noisy_trials.py --list sv_test/trials.txt --output noisy \
        --augmentation-noise-paths noise_held_out --augmentation-probability 1

Without folders of noises the copies are clean. Every recording has a draw of its own, the same in
every call. The list beside them is for tools/verify_speakers.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.measuring import report
from myxtts.audio.io import read_span, write_audio
from myxtts.data.augmentation import Augmenter
from myxtts.files import write_whole
from myxtts.flags import add_config_flags, config_from_flags, make_parser, run
from myxtts.speaker_config import SpeakerConfig
from myxtts.timing import SPEAKER_RATE
from myxtts.verification.trials import read_trials


def main(args: argparse.Namespace) -> None:
    config = config_from_flags(args, SpeakerConfig())
    augment = Augmenter(config.data.augmentation)
    trials = read_trials(args.list)
    names = sorted({name for trial in trials for name in (trial.enrol, trial.test)})
    for number, name in enumerate(names):
        audio = read_span(args.list.parent / name, 0.0, args.seconds, SPEAKER_RATE)
        noisy = augment(audio, np.random.default_rng([args.seed, number]))
        path = (args.output / name).with_suffix(".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, 0.9 * noisy / max(np.abs(noisy).max(), 0.9), SPEAKER_RATE)
    lines = [f"{int(trial.target)} {wav(trial.enrol)} {wav(trial.test)}\n" for trial in trials]
    write_whole(args.output / "trials.txt", "".join(lines))
    report({"recordings": len(names), "trials": len(trials), "output": str(args.output)})


def wav(name: str) -> str:
    return str(Path(name).with_suffix(".wav"))


def parser() -> argparse.ArgumentParser:
    parser = make_parser("noisy_trials.py", __doc__)
    parser.add_argument("--list", type=Path, required=True, help="list 'label enrol test'")
    parser.add_argument("--output", type=Path, required=True, help="folder of the copies")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a recording at most")
    parser.add_argument("--seed", type=int, default=0, help="of the noises")
    add_config_flags(parser, SpeakerConfig, ("data",))
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
