"""The command line of ``inference_main.py``."""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from myxtts.audio.io import check_output, write_growing
from myxtts.config import SPEAKER_ENCODER_TYPES, XTTSConfig
from myxtts.errors import ConfigError, TextError
from myxtts.files import check_writable
from myxtts.flags import (
    add_config_flags,
    config_from_flags,
    make_parser,
    refuse_idle,
    refuse_unread,
)
from myxtts.presets.finding import add_preset_flag, find_preset
from myxtts.presets.voices import PresetVoice, preset_voices, voice_path
from myxtts.timing import OUTPUT_RATE

logger = logging.getLogger(__name__)

# Settings that are read where a voice is made, and where a stream is.
OF_REFERENCES = (
    "synthesis.gpt_cond_len",
    "synthesis.gpt_cond_chunk_len",
    "synthesis.max_ref_length",
    "synthesis.sound_norm_refs",
)
# What --list-voices does not read, the output aside, which another program has by default.
OF_SPEECH = (
    "--reference-audio",
    "--speaker",
    "--save-voice",
    "--stream",
    "--language",
    "--use-pretrained-speaker-encoder",
    "--speaker-encoder-type",
)
OF_STREAMS = ("synthesis.first_codes", "synthesis.stream_codes")


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
    parser = make_parser(
        "inference_main.py", "Speak a text in the voice of a reference recording.", json=True
    )
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--text", help="what to say")
    text.add_argument("--text-file", metavar="FILE", help="UTF-8 file with what to say")
    text.add_argument(
        "--list-voices", action="store_true", help="print the names of the model's own voices"
    )
    voice = parser.add_mutually_exclusive_group()
    voice.add_argument(
        "--reference-audio",
        nargs="+",
        metavar="FILE",
        help="recordings of the voice, or folders of them",
    )
    voice.add_argument(
        "--voice",
        metavar="NAME",
        help="one of the model's own voices, a file of --save-voice, or one of Coqui's programs "
        "(.pth, .json; see --speaker) (default, without references: the first of --list-voices)",
    )
    parser.add_argument(
        "--speaker",
        metavar="NAME",
        help="which voice of a --voice file of several, such as XTTS-v2's speakers_xtts.pth",
    )
    parser.add_argument(
        "--save-voice", metavar="FILE", help="keep the voice of the references (.safetensors)"
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="write the output while the speech is being made; it grows in place, and an older "
        "file stays until the first chunk has come",
    )
    parser.add_argument("--language", default="en", help="language of the text (default: en)")
    parser.add_argument("--output", default="output.wav", help="audio file to write")
    add_model_flags(parser)
    add_config_flags(parser, XTTSConfig, ("synthesis",))
    return parser


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that name a model, and what it must condition on."""
    model = parser.add_mutually_exclusive_group()
    add_preset_flag(model)
    model.add_argument("--checkpoint", metavar="DIR", help="the old name of --preset")
    model.add_argument("--checkpoint-dir", metavar="DIR", help="run folder of train_main.py")
    parser.add_argument(
        "--use-pretrained-speaker-encoder",
        action=argparse.BooleanOptionalAction,
        help="insist on a model that conditions on a pretrained speaker encoder",
    )
    parser.add_argument(
        "--speaker-encoder-type",
        choices=SPEAKER_ENCODER_TYPES,
        help="insist on a model with this pretrained speaker encoder",
    )


def main(args: argparse.Namespace) -> None:
    """Load the model, speak, write the audio and say how it went."""
    if args.checkpoint:
        logger.info("--checkpoint is called --preset now; both do the same.")
    name = args.preset or args.checkpoint or args.checkpoint_dir
    if args.list_voices:
        told = "is for speaking; --list-voices does not."
        refuse_unread(args, parser(), dict.fromkeys(OF_SPEECH, told))
        refuse_idle(args, {"synthesis.": told})
        list_voices(find_preset(name), args.json, args.voice)
        return
    text, preset = read_text(args), find_preset(name)
    stored = XTTSConfig.from_yaml(preset / "config.yaml")
    check_encoder(stored, args.use_pretrained_speaker_encoder, args.speaker_encoder_type, preset)
    settings = config_from_flags(args, stored).synthesis
    if not args.reference_audio:
        told = "is for --reference-audio; the voice has been made already."
        refuse_idle(args, dict.fromkeys(OF_REFERENCES, told))
    if settings.engine != "int8":
        refuse_idle(args, {"synthesis.threads": "is for --engine int8; give that too."})
    result = synthesize(preset, settings, text, args)
    print(json.dumps(asdict(result)) if args.json else result.output)


def synthesize(preset: Path, settings, text: str, args: argparse.Namespace) -> Result:
    """Speak ``text`` with the model of ``preset`` into ``args.output``."""
    from myxtts.audio.io import write_audio
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.models.xtts import XTTS

    settings, kept = check_call(preset, settings, text, args)
    synthesizer = Synthesizer(XTTS.from_preset(preset), settings)
    voice = find_voice(synthesizer, args, kept)
    started = time.perf_counter()
    if args.stream:
        stream = synthesizer.stream(text, voice, args.language)
        waveform = write_growing(args.output, stream, OUTPUT_RATE)
        finished = stream.finished
    else:
        spoken = synthesizer.speak(text, voice, args.language)
        waveform, finished = spoken.waveform, all(spoken.finished)
        write_audio(args.output, waveform, OUTPUT_RATE)
    seconds = time.perf_counter() - started
    duration = len(waveform) / OUTPUT_RATE
    rtf = seconds / max(duration, 1e-9)
    told = "duration: %.2f s, RTF: %.2f, engine: %s"
    logger.info(told, duration, rtf, synthesizer.engine)
    if not finished:
        logger.info("note: the model did not end by itself; the speech was cut.")
    return Result(
        output=str(args.output),
        duration=round(duration, 3),
        rtf=round(rtf, 3),
        vocoder=synthesizer.vocoder,
        finished=finished,
        similarity=_similarity(waveform, args.reference_audio),
    )


def check_call(preset: Path, settings, text: str, args: argparse.Namespace) -> tuple:
    """Look at all that can be looked at before the model is read, which takes long.

    Returns:
        The settings with the vocoder that will speak, and the voice of ``--voice`` or None.
    """
    from myxtts.inference import checks
    from myxtts.models.decoder import KINDS

    check_output(args.output)
    if args.save_voice:
        check_writable(args.save_voice)
    stored, kept = XTTSConfig.from_yaml(preset / "config.yaml"), None
    checks.check_text(preset, text, args.language, settings.front_end)
    checks.check_engine(settings, stored)
    vocoder = checks.check_vocoder(preset, stored, settings.vocoder)
    check_stream_flags(args, vocoder, KINDS[stored.model.decoder.kind].vocoder)
    if args.reference_audio:
        if args.speaker:
            raise ConfigError("--speaker is for --voice FILE; references are of one voice.")
        args.reference_audio = checks.check_references(
            args.reference_audio, settings, stored.data.silence_db
        )
    else:
        path = voice_path(preset, args.voice)
        kept = checks.read_kept_voice(path, args.speaker, preset, stored)
    return replace(settings, vocoder=vocoder), kept


def _similarity(waveform: np.ndarray, references: list[str] | None) -> float | None:
    """Likeness to the references, where there are some and it can be measured."""
    from myxtts.inference.similarity import reference_similarity

    if not references:
        return None
    similarity = reference_similarity(waveform, OUTPUT_RATE, references)
    if similarity is None:
        return None
    logger.info("similarity to the reference (Resemblyzer): %.3f", similarity)
    return round(similarity, 4)


def check_stream_flags(args: argparse.Namespace, vocoder: str, own: str) -> None:
    """Raise ``ConfigError`` for a flag of streams that ``vocoder``, or no stream, ignores.

    ``own`` is the vocoder of the model's decoder, which alone makes pieces.
    """
    if not args.stream:
        refuse_idle(args, dict.fromkeys(OF_STREAMS, "is for --stream; give that too."))
    if vocoder != own:
        told = f"is for the {own} vocoder; {vocoder}, which speaks here, makes a piece at once."
        refuse_idle(args, dict.fromkeys(OF_STREAMS, told))


def list_voices(preset: Path, as_json: bool, file: str | None = None) -> None:
    """Print the voices of the model, the one that speaks unasked first, or those of a file."""
    voices = preset_voices(preset)
    if file is not None:
        from myxtts.weights.coqui_voices import read_voices

        voices = [PresetVoice(name) for name in read_voices(file)]
    if as_json:
        print(json.dumps([asdict(voice) for voice in voices]))
        return
    if not voices:
        logger.info("the model %s comes without voices of its own.", preset)
    for voice in voices:
        print(f"{voice.name:<10} {voice.about}".rstrip())


def find_voice(synthesizer, args: argparse.Namespace, kept):
    """The voice ``kept``, else that of the references, kept where ``--save-voice`` says."""
    voice = kept or synthesizer.condition(args.reference_audio)
    if args.save_voice:
        voice.save(args.save_voice)
        logger.info("voice kept in %s", args.save_voice)
    return voice


def read_text(args: argparse.Namespace) -> str:
    """The text of ``--text`` or ``--text-file``.

    Raises:
        ConfigError: neither was given.
        TextError: the text is empty or the file cannot be read as UTF-8.
    """
    text, name = args.text, "--text"
    if text is None and args.text_file is None:
        raise ConfigError("there is nothing to say: give --text or --text-file.")
    if args.text_file is not None:
        name = args.text_file
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TextError(f"cannot read the text file {name}: {error}.") from error
    if not text.strip():
        raise TextError(f"{name} is empty: there is nothing to say.")
    return text


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
