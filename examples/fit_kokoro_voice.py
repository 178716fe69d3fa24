"""Fit a Kokoro voice to a recording of a voice that is known, and compare.

    python examples/fit_kokoro_voice.py --iterations 30

The reference is spoken by ``af_bella``, which is then taken out of the voices that
span the search; how near the fit comes is told by the speaker similarity, and by
the distance of the fitted voice from the true one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from myxtts.audio.io import write_audio
from myxtts.flags import make_parser, run

SPEAKER = "af_bella"
REFERENCE = (
    "The old clock has stopped again, and nobody in the village knows how to mend it. "
    "We walked along the river until dark."
)


def parser() -> argparse.ArgumentParser:
    parser = make_parser("fit_kokoro_voice.py", __doc__)
    parser.add_argument("--output-dir", type=Path, default=Path("outputs/fit_kokoro_voice"))
    parser.add_argument("--iterations", type=int, default=30, metavar="N")
    parser.add_argument("--voices", default="", metavar="DIR", help="folder of Kokoro's voices")
    return parser


def main(args: argparse.Namespace) -> None:
    """Speak the reference, fit, and print how near the fit came."""
    from tools.kokoro.backends.interface import SAMPLE_RATE, speak
    from tools.kokoro.backends.opening import open_backend
    from tools.kokoro.phonemes import phonemize
    from tools.kokoro.voice_sources import find_voices
    from tools.kokoro.voices import load_voice, load_voices
    from tools.kokoro_voice.config import OptimizerConfig
    from tools.kokoro_voice.embedders import open_embedder
    from tools.kokoro_voice.optimizer import VoiceGradientOptimizer

    config = OptimizerConfig(num_iterations=args.iterations, learning_rate=0.05)
    voices = load_voices(find_voices(args.voices))
    true = voices.pop(SPEAKER)
    backend = open_backend()
    reference = args.output_dir / "reference.wav"
    write_audio(reference, speak(backend, true, phonemize(REFERENCE)), SAMPLE_RATE)
    optimizer = VoiceGradientOptimizer(backend, open_embedder(config), voices, config)
    result = optimizer.optimize(reference, args.output_dir)
    fitted = load_voice(result["voice"])
    print(f"similarity to {SPEAKER}: {result['similarity_start']:.3f} at the centroid, ", end="")
    print(f"{result['similarity_best']:.3f} after {result['iterations']} iterations")
    centroid = np.median(list(voices.values()), axis=0)
    print(f"distance from its voice: {distance(centroid, true):.2f} at the centroid, ", end="")
    print(f"{distance(fitted, true):.2f} after the fit")
    print(f"listen: {reference}, {args.output_dir / 'sample_after.wav'}")


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean Euclidean distance of two voices' rows."""
    return float(np.linalg.norm(one - other, axis=-1).mean())


if __name__ == "__main__":
    sys.exit(run(main, parser()))
