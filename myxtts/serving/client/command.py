"""The command line of ``python -m myxtts.serving.client``."""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass

from myxtts.audio.io import check_output, write_growing
from myxtts.config import SynthesisConfig
from myxtts.errors import ConfigError, TextError
from myxtts.flags import add_config_flags, config_from_flags, make_parser, refuse_idle
from myxtts.serving.client.record import recorded_settings
from myxtts.serving.client.speech_client import OWN_SETTINGS, SpeechClient
from myxtts.serving.contract import OPTIONS
from myxtts.text.cleaners import is_speakable
from myxtts.timing import OUTPUT_RATE

logger = logging.getLogger(__name__)

ADJUSTABLE = (*OPTIONS, *OWN_SETTINGS)
OF_STREAMS = ("first_codes", "stream_codes")


@dataclass(frozen=True)
class Result:
    """What one call did; the keys of ``--json``. ``flags`` is null for a stream."""

    output: str
    duration: float
    rtf: float
    flags: list[tuple[str, ...]] | None


def parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = make_parser(
        "python -m myxtts.serving.client",
        "Speak a text with a model in TensorFlow Serving.",
        json=True,
    )
    parser.add_argument(
        "--server",
        default="http://localhost:8501",
        metavar="URL",
        help="http://HOST:PORT for REST, grpc://HOST:PORT for gRPC (default: %(default)s)",
    )
    parser.add_argument("--model", required=True, metavar="NAME", help="its name on the server")
    parser.add_argument("--text", required=True, help="what to say")
    parser.add_argument(
        "--reference-audio", required=True, metavar="FILE", help="recording of the voice"
    )
    parser.add_argument(
        "--export",
        metavar="DIR",
        help="the folder that is served, or a copy of its assets.extra/serving.json: the model's "
        "own sampling settings are taken where no flag says else",
    )
    parser.add_argument("--language", default="en", help="language of the text (default: en)")
    parser.add_argument("--output", default="output.wav", help="audio file to write")
    parser.add_argument(
        "--stream",
        action="store_true",
        help="write the output while the speech is being made; it "
        "grows in place, and an older file stays until the first chunk has come",
    )
    parser.add_argument(
        "--timeout", type=float, default=120.0, metavar="X", help="seconds to wait for an answer"
    )
    add_config_flags(parser, SynthesisConfig, ADJUSTABLE, defaults=True)
    return parser


def main(args: argparse.Namespace) -> None:
    """Speak, write the audio and say how it went."""
    if args.timeout <= 0:
        raise ConfigError(f"--timeout {args.timeout:g}: must be above 0.")
    if not args.stream:
        refuse_idle(args, dict.fromkeys(OF_STREAMS, "is for --stream; give that too."))
    # Whatever is wrong here should be known before the server's long work.
    check_output(args.output)
    if not is_speakable(args.text):
        raise TextError(f"the text {args.text[:40]!r} has nothing that can be spoken.")
    if args.export is None:
        logger.info("sampling settings not given are the package's; --export takes the model's.")
    base = recorded_settings(args.export) if args.export else SynthesisConfig()
    settings = config_from_flags(args, base)
    client = SpeechClient(args.server, args.model, settings=settings, timeout=args.timeout)
    started, flags = time.perf_counter(), None
    if args.stream:
        chunks = client.stream(args.text, args.reference_audio, args.language)
        duration = len(write_growing(args.output, chunks, OUTPUT_RATE)) / OUTPUT_RATE
    else:
        speech = client.speak(args.text, args.reference_audio, args.language)
        speech.save(args.output)
        duration, flags = speech.duration, speech.flags
    rtf = (time.perf_counter() - started) / max(duration, 1e-9)
    logger.info("duration: %.2f s, RTF: %.2f", duration, rtf)
    result = Result(args.output, round(duration, 3), round(rtf, 3), flags)
    print(json.dumps(asdict(result)) if args.json else result.output)
