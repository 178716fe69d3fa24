"""Train the speaker encoder on what encoder_preprocess.py made.

    python tools/sv2tts/encoder_train.py RUN_ID CLEAN_DATA_ROOT

A run that is there already is gone on with: from its checkpoints, exactly as if it had not been
broken off, or else from its encoder.pt, RTVC's own for instance, with that file's optimizer.
Without --steps it goes on until Ctrl-C, which saves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.flags import make_parser, run
from myxtts.limits import require_address_space
from myxtts.speaker_config import SpeakerConfig
from myxtts.training.folders import has_checkpoints
from tools.sv2tts.runs import has_export, moved_aside, require_least

# What "never" and "until it is stopped" are to the trainer.
ENDLESS = 10**9
EXPORT = "encoder.pt"


def parser() -> argparse.ArgumentParser:
    parser = make_parser("encoder_train.py", __doc__)
    add = parser.add_argument
    add("run_id", help="name of the run, a folder in --models_dir")
    add("clean_data_root", type=Path, help="the folder that encoder_preprocess.py made")
    add("-m", "--models_dir", type=Path, default=Path("saved_models"), help="(%(default)s)")
    every = "steps between %s; 0: never (default: %%(default)s)"
    add("-v", "--vis_every", type=int, default=10, help=every % "lines of loss and EER")
    add("-u", "--umap_every", type=int, default=100, help=every % "UMAP pictures")
    add("-s", "--save_every", type=int, default=500, help=every % "saved encoders")
    add("-b", "--backup_every", type=int, default=7500, help=every % "backups")
    add("-f", "--force_restart", action="store_true", help="begin anew; the run is moved aside")
    served = "visdom server that draws the curves too, http://localhost say (default: none)"
    add("--visdom_server", help=served)
    add("--no_visdom", action="store_true", help="draw to none, whatever --visdom_server says")
    add("--steps", type=int, default=ENDLESS, help="where to stop (default: at Ctrl-C)")
    add("--speakers_per_batch", type=int, default=64, help="(default: %(default)s)")
    add("--utterances_per_speaker", type=int, default=10, help="(default: %(default)s)")
    add("--learning_rate", type=float, default=1e-4, help="(default: %(default)s)")
    add("--seed", type=int, default=0, help="of weights and batches (default: %(default)s)")
    return parser


def resolve(args: argparse.Namespace) -> SpeakerConfig:
    """The configuration of the speaker stage.

    Raises:
        ConfigError: a value is out of its range.
    """
    run_dir = args.models_dir / args.run_id
    for name in ("vis_every", "umap_every", "save_every", "backup_every"):
        require_least(args, name, 0)
    for name in ("steps", "speakers_per_batch", "utterances_per_speaker"):
        require_least(args, name, 1)
    started = has_checkpoints(run_dir, "speaker")
    stage = {
        "steps": args.steps,
        "batch_size": args.speakers_per_batch * args.utterances_per_speaker,
        "learning_rate": args.learning_rate,
    }
    training = {
        "output_dir": str(run_dir),
        "speaker": stage,
        "seed": args.seed,
        "validate_every": args.save_every or ENDLESS,
        "checkpoint_every": args.save_every or args.backup_every or ENDLESS,
        "resume": True,
    }
    if not started and not args.force_restart and has_export(run_dir / EXPORT):
        training["init_from"] = str(run_dir / EXPORT)
    values = {
        "model": {"speaker_encoder_type": "resemblyzer"},
        "data": {
            "train_data": str(args.clean_data_root),
            "speakers_per_batch": args.speakers_per_batch,
        },
        "training": training,
    }
    return SpeakerConfig().merged(values, "command line")


def visdom_server(args: argparse.Namespace) -> str | None:
    """Address of the visdom server that is drawn to; None for none."""
    return None if args.no_visdom else args.visdom_server


def main(args: argparse.Namespace) -> None:
    """Train, and print where the encoder lies."""
    config = resolve(args)
    run_dir = args.models_dir / args.run_id
    require_address_space()
    # Imported late: --help needs no TensorFlow.
    from myxtts.training.start import refuse_other_runs

    refuse_other_runs(run_dir, "speaker")
    from myxtts.training.run import train
    from myxtts.training.stages.rtvc_encoder import Rhythm, rtvc_encoder_system

    rhythm = Rhythm(args.vis_every, args.umap_every, args.backup_every, visdom_server(args))
    with moved_aside(run_dir, "speaker", args.force_restart):
        train(config, rtvc_encoder_system(rhythm))
    print(run_dir / EXPORT)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
