"""The command line of ``python -m myxtts.serving.client.speech_client``."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from myxtts.audio.io import AudioSink
from myxtts.config import SynthesisConfig
from myxtts.errors import ConfigError
from myxtts.serving.client.speech_client import OWN_SETTINGS, SpeechClient
from myxtts.serving.contract import OPTIONS
from myxtts.timing import OUTPUT_RATE

logger = logging.getLogger(__name__)

ADJUSTABLE = [
    item for item in dataclasses.fields(SynthesisConfig) if item.name in (*OPTIONS, *OWN_SETTINGS)
]


@dataclass(frozen=True)
class Result:
    """What one call did; the keys of ``--json``. ``flags`` is null for a stream."""

    output: str
    duration: float
    rtf: float
    flags: list[tuple[str, ...]] | None


def parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m myxtts.serving.client.speech_client",
        description="Speak a text with a model in TensorFlow Serving.",
        allow_abbrev=False,
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
    parser.add_argument("--language", default="en", help="language of the text (default: en)")
    parser.add_argument("--output", default="output.wav", help="audio file to write")
    parser.add_argument(
        "--stream", action="store_true", help="write the output while the speech is being made"
    )
    parser.add_argument(
        "--timeout", type=float, default=120.0, metavar="X", help="seconds to wait for an answer"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON line")
    for item in ADJUSTABLE:
        kind = type(item.default)
        parser.add_argument(
            f"--{item.name.replace('_', '-')}",
            type=kind,
            default=item.default,
            metavar="N" if kind is int else "X",
            help=f"{item.metadata['help']} (default: {item.default:g})",
        )
    return parser


def main(args: argparse.Namespace) -> None:
    """Speak, write the audio and say how it went."""
    if args.timeout <= 0:
        raise ConfigError(f"--timeout {args.timeout:g}: must be above 0.")
    settings = SynthesisConfig(**{item.name: getattr(args, item.name) for item in ADJUSTABLE})
    client = SpeechClient(args.server, args.model, settings=settings, timeout=args.timeout)
    started, flags = time.perf_counter(), None
    if args.stream:
        chunks = client.stream(args.text, args.reference_audio, args.language)
        duration = write_stream(args.output, chunks)
    else:
        speech = client.speak(args.text, args.reference_audio, args.language)
        speech.save(args.output)
        duration, flags = speech.duration, speech.flags
    rtf = (time.perf_counter() - started) / max(duration, 1e-9)
    logger.info("duration: %.2f s, RTF: %.2f", duration, rtf)
    result = Result(args.output, round(duration, 3), round(rtf, 3), flags)
    print(json.dumps(asdict(result)) if args.json else result.output)


def write_stream(path: str, chunks: Iterator[np.ndarray]) -> float:
    """Write chunks to ``path`` as they come; how many seconds they last.

    Raises:
        AudioError: the file cannot be written.
    """
    started, samples = time.perf_counter(), 0
    # Before the file is opened, so that a refusal leaves an older one alone.
    first = list(itertools.islice(chunks, 1))
    logger.info("first chunk after %.2f s", time.perf_counter() - started)
    with AudioSink(path, OUTPUT_RATE) as sink:
        for chunk in itertools.chain(first, chunks):
            sink.write(chunk)
            samples += len(chunk)
    return samples / OUTPUT_RATE
