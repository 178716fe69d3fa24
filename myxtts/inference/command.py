"""The command line of ``inference_main.py``."""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from myxtts.config import SPEAKER_ENCODER_TYPES, XTTSConfig
from myxtts.errors import CheckpointError, ConfigError, TextError
from myxtts.flags import add_config_flags, config_from_flags

logger = logging.getLogger(__name__)

DEFAULT_RUN = "runs/xtts"


@dataclass(frozen=True)
class Result:
    """What one call of ``inference_main.py`` did; the keys of ``--json``."""

    output: str
    duration: float
    rtf: float
    vocoder: str
    finished: bool
    similarity: float | None


def parser() -> argparse.ArgumentParser:
    """Flags of synthesis."""
    parser = argparse.ArgumentParser(
        prog="inference_main.py",
        description="Speak a text in the voice of a reference recording.",
        allow_abbrev=False,
    )
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("--text", help="what to say")
    text.add_argument("--text-file", metavar="FILE", help="UTF-8 file with what to say")
    voice = parser.add_mutually_exclusive_group(required=True)
    voice.add_argument(
        "--reference-audio", nargs="+", metavar="FILE", help="recordings of the voice"
    )
    voice.add_argument("--voice", metavar="FILE", help="voice kept by --save-voice")
    parser.add_argument(
        "--save-voice", metavar="FILE", help="keep the voice of the references (.safetensors)"
    )
    parser.add_argument(
        "--stream", action="store_true", help="write the output while the speech is being made"
    )
    parser.add_argument("--language", default="en", help="language of the text (default: en)")
    parser.add_argument("--output", default="output.wav", help="audio file to write")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--checkpoint", metavar="DIR", help="preset folder of a trained model")
    model.add_argument(
        "--checkpoint-dir",
        metavar="DIR",
        help=f"run folder of train_main.py (default: {DEFAULT_RUN})",
    )
    parser.add_argument(
        "--use-pretrained-speaker-encoder",
        action=argparse.BooleanOptionalAction,
        help="insist on a checkpoint that conditions on a pretrained speaker encoder",
    )
    parser.add_argument(
        "--speaker-encoder-type",
        choices=SPEAKER_ENCODER_TYPES,
        help="insist on a checkpoint with this pretrained speaker encoder",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON line")
    add_config_flags(parser, ("synthesis",))
    return parser


def main(args: argparse.Namespace) -> None:
    """Load the model, speak, write the audio and say how it went."""
    text = read_text(args)
    preset = find_preset(args.checkpoint, args.checkpoint_dir)
    stored = XTTSConfig.from_yaml(preset / "config.yaml")
    check_encoder(stored, args.use_pretrained_speaker_encoder, args.speaker_encoder_type, preset)
    settings = config_from_flags(args, stored).synthesis
    result = synthesize(preset, settings, text, args)
    if args.json:
        print(json.dumps(asdict(result)))
    else:
        print(result.output)


def synthesize(preset: Path, settings, text: str, args: argparse.Namespace) -> Result:
    """Speak ``text`` with the model of ``preset`` into ``args.output``."""
    from myxtts.audio.io import write_audio
    from myxtts.inference.similarity import reference_similarity
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.models.xtts import XTTS

    synthesizer = Synthesizer(XTTS.from_preset(preset), settings)
    voice = find_voice(synthesizer, args)
    started = time.perf_counter()
    if args.stream:
        chunks = synthesizer.stream(text, voice, args.language)
        spoken = write_stream(args.output, chunks, synthesizer.vocoder)
    else:
        spoken = synthesizer.speak(text, voice, args.language)
        write_audio(args.output, spoken.waveform, spoken.sample_rate)
    seconds = time.perf_counter() - started
    similarity = None
    if args.reference_audio:
        similarity = reference_similarity(spoken, args.reference_audio)
    rtf = seconds / max(spoken.duration, 1e-9)
    logger.info("duration: %.2f s, RTF: %.2f", spoken.duration, rtf)
    if similarity is not None:
        logger.info("similarity to the reference (Resemblyzer): %.3f", similarity)
    if not all(spoken.finished):
        logger.info("note: the model did not end by itself; the length bound cut it.")
    return Result(
        output=str(args.output),
        duration=round(spoken.duration, 3),
        rtf=round(rtf, 3),
        vocoder=spoken.vocoder,
        finished=all(spoken.finished),
        similarity=None if similarity is None else round(similarity, 4),
    )


def find_voice(synthesizer, args: argparse.Namespace):
    """The voice of ``--voice`` or of the references, kept where ``--save-voice`` says."""
    from myxtts.inference.voice import Voice

    if args.voice:
        voice = Voice.load(args.voice, synthesizer.model)
    else:
        voice = synthesizer.condition(args.reference_audio)
    if args.save_voice:
        voice.save(args.save_voice)
        logger.info("voice kept in %s", args.save_voice)
    return voice


def write_stream(path: str, chunks: Iterator[np.ndarray], vocoder: str):
    """Write chunks to ``path`` as they come; the speech they made.

    Raises:
        AudioError: the file cannot be written.
    """
    from myxtts.audio.io import AudioSink
    from myxtts.inference.synthesizer import Synthesis
    from myxtts.timing import OUTPUT_RATE

    started, written = time.perf_counter(), []
    with AudioSink(path, OUTPUT_RATE) as sink:
        for chunk in chunks:
            if not written:
                logger.info("first chunk after %.2f s", time.perf_counter() - started)
            sink.write(chunk)
            written.append(chunk)
    waveform = np.concatenate(written) if written else np.zeros(0, "float32")
    return Synthesis(waveform, OUTPUT_RATE, vocoder, [], [], [])


def read_text(args: argparse.Namespace) -> str:
    """The text of ``--text`` or ``--text-file``.

    Raises:
        TextError: the text is empty or the file cannot be read as UTF-8.
    """
    text, name = args.text, "--text"
    if args.text_file is not None:
        name = args.text_file
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TextError(f"cannot read the text file {name}: {error}.") from error
    if not text.strip():
        raise TextError(f"{name} is empty: there is nothing to say.")
    return text


def find_preset(checkpoint: str | None, checkpoint_dir: str | None) -> Path:
    """Folder of the model to speak with.

    Raises:
        CheckpointError: no preset lies where it was looked for.
    """
    folder = Path(checkpoint or checkpoint_dir or DEFAULT_RUN)
    if (folder / "preset").is_dir():
        folder = folder / "preset"
    if not (folder / "manifest.json").is_file():
        raise CheckpointError(
            f"no trained model in {folder} (no manifest.json, no preset/); train one with "
            "train_main.py, or name one with --checkpoint or --checkpoint-dir."
        )
    return folder


def check_encoder(
    config: XTTSConfig, pretrained: bool | None, encoder: str | None, preset: Path
) -> None:
    """Compare the encoder that was asked for with the one the checkpoint was trained with.

    Raises:
        ConfigError: they differ; a model cannot change its conditioning after training.
    """
    model = config.model
    has = model.speaker_encoder_type if model.use_pretrained_speaker_encoder else "original"
    if encoder is not None and pretrained is False:
        raise ConfigError(
            "--no-use-pretrained-speaker-encoder and --speaker-encoder-type contradict each other."
        )
    if encoder is not None:
        pretrained = True
    if pretrained is None:
        return
    wanted = (encoder or model.speaker_encoder_type) if pretrained else "original"
    if wanted != has:
        raise ConfigError(
            f"{preset} was trained with the {has} audio encoder and cannot speak with {wanted}; "
            f"train with --use-pretrained-speaker-encoder --speaker-encoder-type or drop the flags."
        )
