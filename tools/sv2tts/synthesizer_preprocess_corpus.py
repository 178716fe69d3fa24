"""Prepare a corpus with phonemes and durations for the synthesizer: beside the original's programs.

    python tools/sv2tts/synthesizer_preprocess_corpus.py CORPUS SYN_DIR --longest 4

CORPUS is one that tools/make_voice_corpus.py made, or any other that train_main.py reads. Its
phonemes become the texts, unless --letters, and its durations guide the attention. Several corpora
may go into one SYN_DIR, one after the other; an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.errors import ConfigError
from myxtts.flags import make_parser, run


def parser() -> argparse.ArgumentParser:
    parser = make_parser("synthesizer_preprocess_corpus.py", __doc__)
    add = parser.add_argument
    add("corpus", type=Path, help="folder of the corpus, with metadata.jsonl say")
    add("syn_dir", type=Path, help="folder of train.txt, audio, mels and durations")
    add("-n", "--n_processes", type=int, default=4, help="at work (default: %(default)s)")
    add("--shortest", type=float, default=1.0, help="seconds (default: %(default)s)")
    add("--longest", type=float, default=11.25, help="seconds (default: %(default)s)")
    add("--most", type=int, default=0, help="utterances at most, drawn by --seed; 0: all")
    add("--seed", type=int, default=0, help="of that draw (default: %(default)s)")
    add("--letters", action="store_true", help="texts as written, without their phonemes")
    return parser


def main(args: argparse.Namespace) -> None:
    """Prepare, and print how many utterances there are."""
    if not 0 < args.shortest < args.longest or min(args.most, args.seed) < 0:
        raise ConfigError("0 < --shortest < --longest is wanted, and no negative number.")
    from myxtts.data.rtvc_corpus import Selection, preprocess_corpus

    chosen = Selection(args.shortest, args.longest, args.most, args.letters, args.seed)
    count = preprocess_corpus(args.corpus, args.syn_dir, chosen, args.n_processes)
    print(f"{count} utterances")


if __name__ == "__main__":
    sys.exit(run(main, parser()))
