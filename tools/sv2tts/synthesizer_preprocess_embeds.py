"""Write the speaker embedding of each utterance that a synthesizer is to learn from.

    python tools/sv2tts/synthesizer_preprocess_embeds.py SYNTHESIZER_ROOT

Utterances that have one already keep it, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.errors import ConfigError
from myxtts.flags import make_parser, run

EXPORT = "encoder.pt"


def parser() -> argparse.ArgumentParser:
    parser = make_parser("synthesizer_preprocess_embeds.py", __doc__)
    add = parser.add_argument
    add("synthesizer_root", type=Path, help="folder of train.txt, audio and mels")
    add(
        "-e",
        "--encoder_model_fpath",
        type=Path,
        default=Path("saved_models/default/encoder.pt"),
        help=f"the speaker encoder, or a folder with {EXPORT} (default: %(default)s)",
    )
    add(
        "-n",
        "--n_processes",
        type=int,
        default=4,
        help="at work, each with an encoder (default: %(default)s)",
    )
    return parser


def main(args: argparse.Namespace) -> None:
    """Embed, and print how many utterances have an embedding now."""
    if args.n_processes < 1:
        raise ConfigError(f"--n_processes must be 1 or more, not {args.n_processes}.")
    from myxtts.data.rtvc_embeds import embed_utterances

    encoder = args.encoder_model_fpath
    if encoder.is_dir():
        encoder /= EXPORT
    done = embed_utterances(args.synthesizer_root, encoder, args.n_processes)
    print(
        f"{done.written} embeddings written, {done.there} were there, {len(done.refused)} refused"
    )


if __name__ == "__main__":
    sys.exit(run(main, parser()))
