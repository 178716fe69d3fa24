"""Convert Coqui's XTTS-v2 checkpoint folder, or a fine-tune of it, to a preset, once.

    myxtts convert --source XTTS-v2/ --output presets/xtts_v2
    myxtts convert --source run/training/GPT_XTTS/ --output presets/anna

Needs torch for reading (``pip install torch``); speaking with the preset does not.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from myxtts.files import check_writable
from myxtts.flags import make_parser
from myxtts.presets.record import MANIFEST

SPEAKERS = "speakers_xtts.pth"


def parser(prog: str = "myxtts convert") -> argparse.ArgumentParser:
    """Flags of the program."""
    parser = make_parser(prog, __doc__, json=True)
    parser.add_argument(
        "--source",
        required=True,
        metavar="PATH",
        help="folder with config.json, vocab.json and weights: model.pth, or those of a trainer, "
        "of which the newest best_model is taken; or a file of weights in such a folder",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="preset folder to write")
    parser.add_argument(
        "--half", action="store_true", help="store weights in float16: half the size on disk"
    )
    parser.add_argument(
        "--quantize",
        choices=("int8",),
        help="store the GPT's matrices as int8 with a scale a channel, for --engine int8: "
        "a quarter of the size; nothing trains from it",
    )
    return parser


def main(args: argparse.Namespace) -> None:
    """Convert, save, and say under which licence the weights are."""
    from myxtts.weights.coqui_folder import open_folder
    from myxtts.weights.coqui_xtts import LICENCE, convert_checkpoint
    from myxtts.weights.model_card import write_card

    # What is wrong with the output should be known before the long work.
    check_writable(Path(args.output) / MANIFEST)
    checkpoint = open_folder(args.source)
    model = convert_checkpoint(checkpoint)
    model.save_to_preset(args.output, half=args.half, quantise=args.quantize)
    write_card(args.output, model)
    speakers = checkpoint.find(SPEAKERS)
    names = keep_voices(speakers, args.output, model) if speakers else []
    count = sum(part.count_params() for part in model.parts().values())
    print(f"licence of the weights: {LICENCE}", file=sys.stderr)
    result = {"output": args.output, "parameters": count, "licence": LICENCE, "voices": names}
    print(json.dumps(result) if args.json else args.output)


def keep_voices(speakers: Path, preset: str, model) -> list[str]:
    """Give a preset the voices of ``speakers_xtts.pth`` as its own; their names."""
    from myxtts.inference.voice import Voice
    from myxtts.presets.voices import PresetVoice, file_of, write_list
    from myxtts.weights.coqui_voices import read_voices

    # A name becomes a file's.
    names = [name for name in read_voices(speakers) if name and Path(name).name == name]
    for name in names:
        Voice.load(speakers, model, name).save(file_of(preset, name))
    write_list(preset, [PresetVoice(name, f"of {speakers.name}") for name in names])
    return names
