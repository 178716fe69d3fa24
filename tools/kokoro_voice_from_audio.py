"""Make a Kokoro voice of a recording in one pass: no training and no synthesis.

    python tools/kokoro_voice_from_audio.py ref.wav [ref2.wav ...] --output my.pt
    python tools/kokoro_voice_from_audio.py --mix my.pt:0.7 af_heart:0.3 --output between.pt

The voice is for Kokoro: float32 (510, 1, 256), as ``.pt`` (kokoro), ``.npz`` (kokoro-onnx) or
``.bin`` (kokoro-js). ``--speak`` has it say a sentence, written beside it. Only make voices of
people who agreed, and tell listeners that the speech is synthetic.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.errors import ConfigError, WeightsError
from myxtts.files import check_writable, write_whole
from myxtts.flags import (
    add_config_flags,
    config_from_flags,
    make_parser,
    refuse_idle,
    refuse_unread,
    run,
)

if TYPE_CHECKING:
    import numpy as np

    from tools.styletts2_kokoro.config import OnePassConfig
    from tools.styletts2_kokoro.one_pass import VoiceMaker

SUFFIXES = (".pt", ".npz", ".bin")
TO_SPEAK = ("--weights", "--device", "--language")


def parser() -> argparse.ArgumentParser:
    from tools.styletts2_kokoro.config import OnePassConfig

    parser = make_parser("kokoro_voice_from_audio.py", __doc__, json=True)
    parser.add_argument(
        "references", nargs="*", metavar="REF", help="recordings of one speaker, best ten seconds"
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="the voice: .pt, .npz or .bin"
    )
    parser.add_argument(
        "--mix",
        nargs="+",
        metavar="PART:SHARE",
        help="blend voice files, names of Kokoro's voices and recordings, in place of REF",
    )
    parser.add_argument("--speak", metavar="TEXT", help="write this too, spoken, as FILE's .wav")
    parser.add_argument("--language", default="en-us", help="of the text (default: en-us)")
    parser.add_argument("--weights", metavar="PATH", help="Kokoro's, to speak (default: found)")
    parser.add_argument("--device", default="cpu", help="that speaks: cpu, cuda or mps")
    add_config_flags(parser, OnePassConfig, title="settings of the voice", defaults=True)
    return parser


def main(args: argparse.Namespace) -> None:
    """Make, write, maybe speak, and print the result."""
    from tools.kokoro.voices import save_voice
    from tools.styletts2_kokoro.config import OnePassConfig
    from tools.styletts2_kokoro.one_pass import VoiceMaker, parse_blend

    config = config_from_flags(args, OnePassConfig())
    output = Path(args.output)
    parts = parse_blend(args.mix or [])
    check(args, output, config)
    maker = VoiceMaker.open(config)
    began = time.perf_counter()
    voice = maker.blend(parts) if parts else maker.voice(args.references)
    save_voice(output, voice)
    seconds = round(time.perf_counter() - began, 2)
    result = {"voice": str(output), "seconds": seconds, **record(args, maker)}
    write_whole(output.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
    if args.speak:
        result["speech"] = str(speak(args, voice, output.with_suffix(".wav")))
    print(json.dumps(result) if args.json else report(result))


def check(args: argparse.Namespace, output: Path, config: OnePassConfig) -> None:
    """Refuse what cannot come to a voice, before anything is loaded or fetched.

    Raises:
        ConfigError, CheckpointError, WeightsError, AudioError, TextError: there is such.
    """
    if bool(args.references) == bool(args.mix):
        raise ConfigError("give recordings, or --mix, and not both.")
    if args.speak is None:
        refuse_unread(args, parser(), dict.fromkeys(TO_SPEAK, "is for --speak; give that too."))
    if config.encoder == "speaker":
        refuse_idle(args, {"style_weights": "is for StyleTTS2's encoders, not --encoder speaker."})
    if output.suffix not in SUFFIXES:
        raise ConfigError(f"--output {output}: a voice is written as {', '.join(SUFFIXES)}.")
    check_writable(output)
    from tools.styletts2_kokoro.hearing import read_reference

    if args.speak is not None:
        check_speech(args)
    for reference in args.references:
        read_reference(reference)


def check_speech(args: argparse.Namespace) -> None:
    """As :func:`check`, of what the voice is to say, and by what."""
    from tools.kokoro.device import usable_device
    from tools.kokoro.phonemes import phonemize

    if args.weights is not None and not Path(args.weights).exists():
        raise WeightsError(f"the Kokoro weights {args.weights} do not exist.")
    usable_device(args.device)
    phonemize(args.speak, args.language)


def record(args: argparse.Namespace, maker: VoiceMaker) -> dict:
    """What the voice was made of."""
    return {
        "of": args.mix or args.references,
        "encoder": maker.hearing.name,
        "weights": maker.hearing.provenance,
        "map": maker.map.record.get("sha256"),
        "gain": maker.gain,
    }


def speak(args: argparse.Namespace, voice: np.ndarray, path: Path) -> Path:
    """Have the voice say the text."""
    from myxtts.audio.io import write_audio
    from tools.kokoro.backends import interface
    from tools.kokoro.backends.opening import open_backend
    from tools.kokoro.phonemes import phonemize

    phonemes = phonemize(args.speak, args.language)
    audio = interface.speak(open_backend("auto", args.weights, args.device), voice, phonemes)
    write_audio(path, audio, interface.SAMPLE_RATE)
    return path


def report(result: dict) -> str:
    """What a person wants to know."""
    lines = [
        f"voice    {result['voice']}",
        f"heard by {result['encoder']}",
        f"seconds  {result['seconds']}",
    ]
    return "\n".join(lines + ([f"speech   {result['speech']}"] if "speech" in result else []))


if __name__ == "__main__":
    sys.exit(run(main, parser()))
