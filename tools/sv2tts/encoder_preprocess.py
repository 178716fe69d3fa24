"""Prepare recordings for the speaker encoder: LibriSpeech and VoxCeleb trees to mels.

python tools/sv2tts/encoder_preprocess.py DATASETS_ROOT
python tools/sv2tts/encoder_preprocess.py DATASETS_ROOT -d librispeech_other -s
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.errors import ConfigError
from myxtts.flags import make_parser, run

logger = logging.getLogger(__name__)


def parser() -> argparse.ArgumentParser:
    parser = make_parser("encoder_preprocess.py", __doc__)
    add = parser.add_argument
    add("datasets_root", type=Path, help="folder with LibriSpeech, VoxCeleb1 or VoxCeleb2")
    add(
        "-o",
        "--out_dir",
        type=Path,
        help="folder of the mels (default: <datasets_root>/SV2TTS/encoder)",
    )
    add(
        "-d",
        "--datasets",
        default="librispeech_other,voxceleb1,voxceleb2",
        help="which, with commas between them (default: %(default)s)",
    )
    add("-s", "--skip_existing", action="store_true", help="go on where another run stopped")
    add(
        "--no_trim",
        action="store_true",
        help="do not insist on webrtcvad; silences are trimmed wherever it is installed",
    )
    add("-n", "--n_processes", type=int, default=4, help="at work (default: %(default)s)")
    return parser


def main(args: argparse.Namespace) -> None:
    """Prepare, and print how many utterances there are."""
    from myxtts.audio.silences import has_detector
    from myxtts.data.rtvc_encoder import preprocess_encoder

    if not args.no_trim and not has_detector():
        raise ConfigError(
            "trimming silences needs webrtcvad; get it with: pip install webrtcvad-wheels, or add "
            "--no_trim."
        )
    out = args.out_dir or args.datasets_root / "SV2TTS" / "encoder"
    names = tuple(name.strip() for name in args.datasets.split(",") if name.strip())
    count = preprocess_encoder(args.datasets_root, out, names, args.skip_existing, args.n_processes)
    print(f"{count} utterances in {out}")


if __name__ == "__main__":
    sys.exit(run(main, parser()))
