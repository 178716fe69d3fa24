"""Clone a voice: a recording of it and a text become speech.

    python tools/sv2tts/demo_cli.py --reference-audio me.wav --text "Hello, it is me."
    python tools/sv2tts/demo_cli.py -e encoder.pt -s synthesizer.pt -v griffin_lim

What is not given is asked for, again and again, until the input ends or a line is empty. The
models are those of Real-Time-Voice-Cloning (.pt), preset folders or run folders.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import logging
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.errors import ConfigError, MyXTTSError
from myxtts.flags import make_parser, run, sentence

if TYPE_CHECKING:
    from myxtts.inference.sv2tts import Spoken, VoiceCloner

logger = logging.getLogger(__name__)

SAMPLE = "This is a deep learning sample"
DEFAULTS = Path("saved_models/default")
OUTPUT = "demo_output_%02d.wav"
ASK_VOICE = "Reference voice: path of a recording (wav, flac, mp3, m4a, ...): "
ASK_TEXT = "Write a sentence (about 20 words) to be spoken: "


def parser() -> argparse.ArgumentParser:
    parser = make_parser("demo_cli.py", __doc__, json=True)
    add = parser.add_argument
    known = "%s: RTVC's .pt, a preset or a run folder%s (default: %%(default)s)"
    for flags, name, more in (
        (("-e", "--enc_model_fpath"), "encoder", ""),
        (("-s", "--syn_model_fpath"), "synthesizer", ""),
        (("-v", "--voc_model_fpath"), "vocoder", "; or griffin_lim, which needs none"),
    ):
        default = str(DEFAULTS / f"{name}.pt")
        add(*flags, metavar="PATH", default=default, help=known % (f"the {name}", more))
    add("--cpu", action="store_true", help="use no GPU")
    add("--no_sound", action="store_true", help="do not play what was made")
    add("--seed", type=int, help="of all that is drawn; the same gives the same speech")
    add(
        "--text",
        help=f"what to say (default: asked for, or with --reference-audio {SAMPLE!r})",
    )
    add("--reference-audio", metavar="FILE", help="whose voice (default: asked for)")
    add(
        "--output",
        metavar="FILE",
        help="of the speech, with --reference-audio (default: the first demo_output_%%02d.wav that "
        "is free)",
    )
    add(
        "--rtvc-compatible",
        action="store_true",
        help="speak as the original does: a text whole and once, with its vocoder's quiet seams",
    )
    add(
        "--dropout",
        action=argparse.BooleanOptionalAction,
        help="of the synthesizer in speech, as the original has it (default: as the synthesizer "
        "says; those of the original's files do)",
    )
    add(
        "--vocoder-weights",
        choices=("float32", "int16", "int8"),
        default="float32",
        help="that a WaveRNN computes with; integers are faster (default: %(default)s)",
    )
    return parser


class Demo:
    """Rounds of the program.

    Args:
        args: the command line.
        cloner: the models.
    """

    def __init__(self, args: argparse.Namespace, cloner: VoiceCloner):
        self.args, self.cloner, self.sound = args, cloner, not args.no_sound

    def round(self, reference: str, text: str) -> None:
        """Say ``text`` in the voice of ``reference``, write it, tell of it, and play it.

        Raises:
            MyXTTSError: the reference, the text or the output cannot be used.
        """
        from myxtts.audio.io import write_audio

        seed = secrets.randbelow(2**31) if self.args.seed is None else self.args.seed
        spoken = self.cloner.speak(text, self.cloner.embed(reference), seed)
        output = Path(self.args.output or first_free())
        write_audio(output, spoken.waveform, spoken.sample_rate)
        if spoken.flags:
            logger.warning("it may be ill spoken (%s): try another seed", ", ".join(spoken.flags))
        told = {
            "output": str(output),
            "seconds": round(spoken.seconds, 3),
            "sample_rate": spoken.sample_rate,
            "seed": seed,
            "flags": list(spoken.flags),
            "reference": reference,
            "text": text,
        }
        if self.args.seed is None:
            logger.info("--seed %d says it again", seed)
        print(json.dumps(told) if self.args.json else output, flush=True)
        if self.sound:
            self.play(spoken)

    def play(self, spoken: Spoken) -> None:
        """Play speech; where that cannot be, this is said once."""
        # PortAudio's own error is no MyXTTSError, and missing libraries are an OSError.
        try:
            player = importlib.import_module("sounddevice")
            player.stop()
            player.play(spoken.waveform, spoken.sample_rate)
            player.wait()
        except Exception as error:
            logger.warning("the sound is not played: %s (--no_sound)", error)
            self.sound = False


def rounds(text: str | None) -> Iterator[tuple[str, str]]:
    """References and texts as they are typed; ``text`` is not asked for where there is one."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Names of files may have any bytes, which the locale's strict decoding would end with.
        sys.stdin.reconfigure(errors="surrogateescape")
    while reference := ask(ASK_VOICE).strip("\"'"):
        said = text or readable(ask(ASK_TEXT))
        if not said:
            return
        yield reference, said


def ask(question: str) -> str:
    """A line that was typed; empty at the end of the input."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def readable(text: str) -> str:
    """A typed text with a mark where there were bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def first_free() -> Path:
    """Of the names of ``OUTPUT``, in the working folder, the first that no file has."""
    number = 0
    while (path := Path(OUTPUT % number)).exists():
        number += 1
    return path


def check(args: argparse.Namespace) -> None:
    """Refuse what cannot be used before the models are read.

    Raises:
        MyXTTSError: there is such.
    """
    from myxtts.audio.io import check_output, read_audio
    from myxtts.generation.vocoders import is_wavernn

    if args.vocoder_weights != "float32" and not is_wavernn(args.voc_model_fpath):
        raise ConfigError(
            f"--vocoder-weights is for a WaveRNN, and {args.voc_model_fpath} is none."
        )
    if args.seed is not None and not 0 <= args.seed < 2**31:
        raise ConfigError(f"--seed must be in 0..{2**31 - 1}, not {args.seed}.")
    if args.text is not None and not args.text.strip():
        raise ConfigError("--text is empty.")
    if args.reference_audio is None and args.output:
        raise ConfigError("--output names one file: give --reference-audio with it.")
    check_output(args.output or first_free())
    if args.reference_audio is not None:
        read_audio(args.reference_audio, max_seconds=1.0)


def main(args: argparse.Namespace) -> None:
    """Open the models once; speak what was given, or what is asked for."""
    check(args)
    if args.cpu:
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
    from myxtts.inference.sv2tts import VoiceCloner

    cloner = VoiceCloner.open(
        args.enc_model_fpath,
        args.syn_model_fpath,
        args.voc_model_fpath,
        plain=args.rtvc_compatible,
        weights=args.vocoder_weights,
        dropout=args.dropout,
    )
    demo = Demo(args, cloner)
    if args.reference_audio is not None:
        demo.round(args.reference_audio, args.text or SAMPLE)
        return
    for reference, text in rounds(args.text):
        # One round's mistake, foreseen or not, is not the end of the program.
        try:
            demo.round(reference, text)
        except MyXTTSError as error:
            print(f"demo_cli.py: error: {error}", file=sys.stderr)
        except Exception as error:
            print(f"demo_cli.py: error: {sentence(error)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
