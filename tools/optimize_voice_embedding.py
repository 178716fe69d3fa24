"""Fit a Kokoro voice to a recording.

    python tools/optimize_voice_embedding.py --target-audio target.wav \
        --output-dir outputs/exp1 --text "Hello, this is a test." --iterations 100

    python tools/optimize_voice_embedding.py --analyze --output-dir outputs/voices

The voice is searched among mixtures of Kokoro's own voices. Written are
``voice_best.pt`` (kokoro), ``.npz`` (kokoro-onnx) and ``.bin`` (kokoro-js), the
voices on the way, the history with its picture, and a sample before and after.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.errors import ConfigError
from myxtts.flags import (
    add_config_flags,
    config_from_flags,
    given_flags,
    make_parser,
    refuse_idle,
    refuse_unread,
    run,
)
from tools.kokoro_voice.config import OptimizerConfig

if TYPE_CHECKING:
    import numpy as np

PCA_PICTURE = "voices_pca.png"
MAP = "map"
# What alone an analysis reads of the settings.
OF_ANALYSIS = ("voices", "target_frame_idx")
# Settings by the methods that read them.
OF_METHODS = {
    "fd_epsilon": ("finite-diff", "spsa"),
    "cma_sigma": ("cma",),
    "batch_size": ("finite-diff", "spsa", "cma"),
    "learning_rate": ("autograd", "finite-diff", "spsa"),
    "plateau": ("autograd", "finite-diff", "spsa"),
    "optimizer_type": ("autograd", "finite-diff", "spsa"),
}


def parser() -> argparse.ArgumentParser:
    parser = make_parser("optimize_voice_embedding.py", __doc__, json=True)
    parser.add_argument(
        "--target-audio", metavar="FILE", help="a recording of the voice, best ten seconds or more"
    )
    parser.add_argument(
        "--output-dir",
        default="outputs/kokoro_voice",
        metavar="DIR",
        help="where the files go (default: outputs/kokoro_voice)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the folder's earlier run")
    parser.add_argument(
        "--analyze", action="store_true", help="measure the voices, draw them, and fit nothing"
    )
    add_config_flags(parser, OptimizerConfig, title="settings of the fit", defaults=True)
    return parser


def main(args: argparse.Namespace) -> None:
    """Fit or analyse, and print the result."""
    config = config_from_flags(args, OptimizerConfig())
    check_flags(args, config)
    if args.analyze:
        return analyze(args, config)
    if not args.target_audio:
        raise ConfigError("--target-audio is missing; --analyze alone goes without.")
    from tools.kokoro_voice.optimizer import check_inputs, create_optimizer
    from tools.kokoro_voice.report import summary

    check_inputs(args.target_audio, args.output_dir, config)
    start = map_voice(args.target_audio, config) if config.start == MAP else None
    optimizer = create_optimizer(config=config, start=start)
    result = optimizer.optimize(args.target_audio, args.output_dir, resume=args.resume)
    print(json.dumps(result) if args.json else summary(result))
    return None


def check_flags(args: argparse.Namespace, config: OptimizerConfig) -> None:
    """Raise ConfigError for a flag that was given and that nothing would read."""
    if args.analyze:
        told = "is for a fit; --analyze reads nothing of it."
        refuse_unread(args, parser(), dict.fromkeys(("--target-audio", "--resume"), told))
        refuse_idle(args, {name: told for name in given_flags(args) if name not in OF_ANALYSIS})
    method, idle = config.gradient_method, {}
    for name, readers in OF_METHODS.items():
        if method not in readers:
            idle[name] = f"is for --gradient-method {' or '.join(readers)}; it is {method} here."
    if config.phonemes:
        idle |= dict.fromkeys(("texts", "language"), "is for texts; --phonemes are in their place.")
    refuse_idle(args, idle)


def map_voice(target: str, config: OptimizerConfig) -> np.ndarray:
    """The voice ``(510, 1, 256)`` that the map of the one-pass program makes of the target."""
    from tools.styletts2_kokoro.config import OnePassConfig
    from tools.styletts2_kokoro.one_pass import VoiceMaker

    return VoiceMaker.open(OnePassConfig(voices=config.voices)).voice([target])


def analyze(args: argparse.Namespace, config: OptimizerConfig) -> None:
    """Print what the voices say beside what is documented, and draw them."""
    from myxtts.files import writable_folder
    from tools.kokoro.voice_sources import find_voices
    from tools.kokoro_voice.analysis import VariableWeightAnalyzer, describe, draw, summary

    picture = writable_folder(args.output_dir) / PCA_PICTURE
    analyzer = VariableWeightAnalyzer(find_voices(config.voices), config.target_frame_idx)
    draw(picture, analyzer)
    if args.json:
        print(json.dumps({**summary(analyzer), "picture": str(picture)}))
        return
    print(describe(analyzer))
    print(f"picture: {picture}")


if __name__ == "__main__":
    sys.exit(run(main, parser()))
