"""Prepare recordings for the synthesizer: audio, mels and train.txt.

    python tools/sv2tts/synthesizer_preprocess_audio.py DATASETS_ROOT
    python tools/sv2tts/synthesizer_preprocess_audio.py DATASETS_ROOT --datasets_name LibriTTS \\
        --no_alignments
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.flags import make_parser, run


def parser() -> argparse.ArgumentParser:
    parser = make_parser("synthesizer_preprocess_audio.py", __doc__)
    add = parser.add_argument
    add("datasets_root", type=Path, help="folder of data sets")
    add(
        "-o",
        "--out_dir",
        type=Path,
        help="folder of the result (default: <datasets_root>/SV2TTS/synthesizer)",
    )
    add("-n", "--n_processes", type=int, default=4, help="at work (default: %(default)s)")
    add("-s", "--skip_existing", action="store_true", help="go on where another run stopped")
    add(
        "--hparams",
        default="",
        help="name=value,name=value; lists and tuples may have commas of their own",
    )
    add(
        "--no_alignments",
        action="store_true",
        help="each recording has its text beside it, as in LibriTTS",
    )
    add("--datasets_name", default="LibriSpeech", help="(default: %(default)s)")
    add(
        "--subfolders",
        default="train-clean-100,train-clean-360",
        help="with commas between them (default: %(default)s)",
    )
    return parser


def main(args: argparse.Namespace) -> None:
    """Prepare, and print how many utterances there are."""
    from myxtts.data.rtvc_hparams import read_hparams
    from myxtts.data.rtvc_synthesizer import preprocess_synthesizer

    hparams = read_hparams(args.hparams)
    out = args.out_dir or args.datasets_root / "SV2TTS" / "synthesizer"
    count = preprocess_synthesizer(
        args.datasets_root,
        out,
        args.datasets_name,
        tuple(name.strip() for name in args.subfolders.split(",") if name.strip()),
        hparams,
        not args.no_alignments,
        args.skip_existing,
        args.n_processes,
    )
    print(f"{count} utterances in {out}")


if __name__ == "__main__":
    sys.exit(run(main, parser()))
