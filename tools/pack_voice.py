"""Pack a trained model as the one that comes with the package: float16, voices, model card.

    python tools/pack_voice.py --preset runs/base --corpus runs/voice_corpus \\
        --judged outputs/voice/spoken-XXXXXXXX/result.json

The folder takes its place only after the model has spoken from it in a process without torch
and network. Wants requirements-voice.txt, for the recordings of the voices.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tqdm import tqdm

from myxtts.audio.io import write_audio
from myxtts.config import XTTSConfig
from myxtts.errors import ConfigError, DataError
from myxtts.files import read_object, replacing_folder
from myxtts.flags import add_config_flags, config_from_flags, make_parser, run
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.presets.finding import DATA_FILES, SHIPPED, add_preset_flag, find_preset
from myxtts.presets.voices import PresetVoice, file_of, write_list
from myxtts.timing import MODEL_RATE
from myxtts.weights.model_card import CARD
from tools.kokoro.voice_sources import find_voices
from tools.voice_box.card import model_card
from tools.voice_box.proof import megabytes, prove, require_size
from tools.voice_box.voices import BoxVoice, Recorder, Studio, named

logger = logging.getLogger(__name__)

RECORD = "record.json"
LICENCE = "MIT, as MyXTTS"
# What a training knows of the machine it ran on.
OF_THE_RUN = {
    "model": {"pretrained_speaker_encoder_path": None},
    "data": dict.fromkeys(("train_data", "val_data", "cache_dir", "tokenizer")),
    "training": {"output_dir": "runs/xtts", "init_from": None, "resume": False},
}


def main(args: argparse.Namespace) -> None:
    voices = named(args.voices)
    told = "cannot be read"
    corpus = read_object(Path(args.corpus) / RECORD, DataError, told) if args.corpus else None
    judged = read_object(Path(args.judged), DataError, told) if args.judged else None
    if not args.limit > 0:
        raise ConfigError(f"--limit must be above 0, not {args.limit:g}.")
    source = find_preset(args.preset)
    if args.kokoro_voices:
        # Before the model is read and half of the voices are spoken.
        find_voices(args.kokoro_voices)
    model = XTTS.from_preset(source)
    model.config = config_from_flags(args, model.config.merged(OF_THE_RUN))
    model.licence = args.licence
    studio = Studio(args.kokoro_voices)
    result = pack(model, Path(args.output), voices, studio, args.limit, corpus, judged)
    print(json.dumps(result) if args.json else report(result))


def pack(
    model: XTTS,
    output: Path,
    voices: list[BoxVoice],
    record: Recorder,
    limit: float,
    corpus: Mapping | None = None,
    judged: Mapping | None = None,
) -> dict[str, Any]:
    """Write the model with its voices and card, once it has been proven.

    Args:
        model: to pack.
        output: folder; what was there goes when everything is done.
        voices: to pack with it, the one that speaks unasked first.
        record: makes their recordings.
        limit: of the whole folder, in megabytes.
        corpus, judged: see :func:`tools.voice_box.card.model_card`.

    Raises:
        CheckpointError: the model is too large, does not speak, or cannot be written.
    """
    with replacing_folder(output) as fresh, tempfile.TemporaryDirectory() as temporary:
        reference = Path(temporary) / "reference.wav"
        store_in_half(model)
        model.save_to_preset(fresh, half=True)
        add_voices(fresh, voices, record, reference)
        (fresh / CARD).write_text(model_card(model, voices, corpus, judged), encoding="utf-8")
        require_size(fresh, limit)
        logger.info("speaking without torch and network ...")
        spoken = prove(fresh, reference)
        return {"output": str(output), "megabytes": round(megabytes(fresh), 2), "spoken": spoken}


def store_in_half(model: XTTS) -> None:
    """Let what no gradient moves be stored in float16 with the rest, which is what trains.

    That is a frozen speaker encoder (embeddings of Resemblyzer's weights in float16 have a cosine
    of 0.999999 to those in float32) and the moving averages that the audio codes come from.
    """
    for weight in model.dvae.codebook.weights:
        weight.trainable = "seed" not in weight.path
    pretrained = getattr(model.audio_encoder.speaker_encoder, "encoder", None)
    if pretrained is not None:
        pretrained.trainable = True


def add_voices(preset: Path, voices: list[BoxVoice], record: Recorder, reference: Path) -> None:
    """Keep each voice in the preset, as the packed weights hear it.

    One recording of the first is written to ``reference``.
    """
    synthesizer = Synthesizer(XTTS.from_preset(preset))
    for voice in tqdm(voices, desc="voices", delay=2, disable=None):
        clips = record(voice)
        if voice is voices[0]:
            write_audio(reference, clips[0], MODEL_RATE)
        synthesizer.condition(clips).save(file_of(preset, voice.name))
    write_list(preset, [PresetVoice(voice.name, voice.about) for voice in voices])


def report(result: dict[str, Any]) -> str:
    """What a person wants to know."""
    lines = [f"{result['output']}, {result['megabytes']:.1f} MB"]
    for name, facts in result["spoken"].items():
        ended = "" if facts["finished"] else ", did not end by itself"
        lines.append(f"  {name:<10} {facts['seconds']:.1f} s{ended}")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    parser = make_parser("pack_voice.py", __doc__, json=True)
    add_preset_flag(parser)
    parser.add_argument("--corpus", metavar="DIR", help="that it was trained on, for the card")
    parser.add_argument("--judged", metavar="JSON", help="result of benchmarks/voice.py on it")
    parser.add_argument(
        "--output", default=DATA_FILES / SHIPPED, help="folder (default: %(default)s)"
    )
    parser.add_argument("--voices", nargs="+", metavar="NAME", help="to pack (default: all)")
    parser.add_argument("--kokoro-voices", metavar="DIR", help="Kokoro's voices (default: found)")
    parser.add_argument("--licence", default=LICENCE, help="of the weights (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=40.0, help="megabytes (default: 40)")
    add_config_flags(parser, XTTSConfig, ("synthesis",))
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
