"""Export a synthesizer as a SavedModel: text and speaker embedding in, waveform out.

    python tools/sv2tts/export_saved_model.py saved_models/my_synthesizer --output serving/sv2tts/1

The graph is of TensorFlow's core operations, with Griffin-Lim for a vocoder; it gives the mel too.
The embedding is that of demo_cli.py's encoder (``VoiceCloner.embed``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.flags import make_parser, run


def parser() -> argparse.ArgumentParser:
    parser = make_parser("export_saved_model.py", __doc__)
    parser.add_argument("synthesizer", help="synthesizer.pt, a preset or a run folder")
    parser.add_argument("--output", required=True, metavar="DIR", help="of the version")
    return parser


def main(args: argparse.Namespace) -> None:
    """Export, and print where it lies."""
    from myxtts.inference.spectrograms import SpectrogramSynthesizer
    from myxtts.inference.sv2tts import SYNTHESIZER, locate
    from myxtts.serving.sv2tts import export_sv2tts

    model = SpectrogramSynthesizer.open(locate(args.synthesizer, SYNTHESIZER)).model
    export_sv2tts(model, args.output)
    print(args.output)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
