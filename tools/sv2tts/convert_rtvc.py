"""Convert a model of Real-Time-Voice-Cloning (.pt) to a preset, or a preset to such a file.

    python tools/sv2tts/convert_rtvc.py encoder.pt --output presets/encoder
    python tools/sv2tts/convert_rtvc.py saved_models/mine --output vocoder.pt

Whether it is a speaker encoder, a synthesizer or a vocoder is read off its content. A preset holds
weights, sizes and steps and needs no torch to be read; of an encoder it keeps what only RTVC's
training reads in a file of its own. The state of Adam is in neither: a training goes on from the
run's checkpoints, or from the .pt that it wrote.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.errors import CheckpointError, ConfigError, WeightsError
from myxtts.files import check_writable
from myxtts.flags import make_parser, run
from myxtts.presets.record import MANIFEST, kind_of

SUFFIX = ".pt"
ENCODER, SYNTHESIZER, VOCODER = "speaker_encoder", "synthesizer", "vocoder"
# A key that only one kind of file has.
MARKS = {
    "lstm.weight_ih_l0": ENCODER,
    "decoder.mel_proj.weight": SYNTHESIZER,
    "upsample.resnet.conv_in.weight": VOCODER,
}


def parser() -> argparse.ArgumentParser:
    parser = make_parser("convert_rtvc.py", __doc__, json=True)
    add = parser.add_argument
    add("source", type=Path, help="a .pt of RTVC, or a preset or run folder")
    add(
        "--output",
        type=Path,
        required=True,
        metavar="PATH",
        help="the preset folder to write, or of a preset the .pt",
    )
    add(
        "--symbols",
        metavar="TEXT",
        help="characters that a synthesizer.pt reads, in the order of their ids; a fork's own",
    )
    return parser


def kind_of_file(path: Path) -> str:
    """Kind of the model in a file of RTVC.

    Raises:
        WeightsError: it cannot be read, or is none of the three.
    """
    from myxtts.weights.torch_file import read_torch_file

    arrays = read_torch_file(path, "model_state", bare=True)
    found = next((kind for key, kind in MARKS.items() if key in arrays), None)
    if found is None:
        raise WeightsError(
            f"{path} is no speaker encoder, synthesizer or vocoder of Real-Time-Voice-Cloning."
        )
    return found


def preset_in(folder: Path) -> tuple[Path, str]:
    """The preset that a folder is or has, and its kind.

    Raises:
        CheckpointError: there is none, or one that RTVC has no file for.
    """
    for place in (folder / "preset", folder):
        if (place / MANIFEST).is_file():
            if (kind := kind_of(place)) in MARKS.values():
                return place, kind
            raise CheckpointError(f"{place} is a preset of kind {kind!r}; RTVC has no such model.")
    from myxtts.inference.sv2tts import FILES

    if own := [folder / name for name in FILES.values() if (folder / name).is_file()]:
        raise CheckpointError(f"{folder} has no preset yet, and {own[0]} is RTVC's file already.")
    raise CheckpointError(f"{folder} is no preset and no run: it has no {MANIFEST}.")


def write_preset(preset: Path, path: Path, kind: str, symbols: str | None) -> None:
    """Write the model in a file of RTVC as a preset.

    Raises:
        CheckpointError: the preset cannot be written.
        WeightsError: the file cannot be read.
    """
    if kind == SYNTHESIZER:
        from myxtts.weights.rtvc_synthesizer import read

        read(path, tuple(symbols) if symbols else None).save_to_preset(preset)
    elif kind == VOCODER:
        from myxtts.weights.rtvc_vocoder import open_vocoder

        open_vocoder(path)[0].save_to_preset(preset)
    else:
        write_encoder_preset(preset, path)


def write_encoder_preset(preset: Path, path: Path) -> None:
    """As :func:`write_preset`, with what a preset of an encoder has no place for beside it."""
    from myxtts.digests import file_sha256
    from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
    from myxtts.weights.rtvc_encoder import keep_beside, load_encoder, read_encoder

    model, stored = PretrainedSpeakerEncoder("resemblyzer"), read_encoder(path)
    model.build()
    load_encoder(model.encoder, stored, path)
    model.provenance = f"local:{path.name}@sha256:{file_sha256(path)}"
    model.save_to_preset(preset)
    keep_beside(preset, stored)


def write_file(path: Path, preset: Path, kind: str) -> None:
    """Write a preset's model as RTVC's file of it.

    Raises:
        CheckpointError: the preset is damaged, or the file cannot be written.
        WeightsError: torch is not installed, or it is no encoder of RTVC's network.
    """
    if kind == SYNTHESIZER:
        from myxtts.models.tacotron import Tacotron
        from myxtts.weights import rtvc_synthesizer

        rtvc_synthesizer.write(path, Tacotron.from_preset(preset))
    elif kind == VOCODER:
        from myxtts.models.wavernn import WaveRNN
        from myxtts.weights import rtvc_vocoder

        model = WaveRNN.from_preset(preset)
        rtvc_vocoder.write(path, model, model.trained_steps)
    else:
        write_encoder_file(path, preset)


def write_encoder_file(path: Path, preset: Path) -> None:
    """As :func:`write_file`; the loss of a preset that was trained here begins anew."""
    from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
    from myxtts.weights.rtvc_encoder import file_of, write_encoder

    model = PretrainedSpeakerEncoder.from_preset(preset)
    if model.encoder_type != "resemblyzer":
        raise WeightsError(
            f"{preset} is a speaker encoder of type {model.encoder_type!r}; RTVC's is "
            "'resemblyzer'."
        )
    write_encoder(path, file_of(model.encoder, preset))


def main(args: argparse.Namespace) -> None:
    """Convert, and print where the result lies."""
    source, output = args.source, args.output
    if not source.exists():
        raise ConfigError(f"there is no {source}: a .pt, or a preset or run folder is wanted.")
    if source.is_dir() != (output.suffix == SUFFIX):
        wanted = f"a file *{SUFFIX}" if source.is_dir() else f"a folder, not a *{SUFFIX}"
        raise ConfigError(f"--output of {source} is {wanted}.")
    check_writable(output if source.is_dir() else output / MANIFEST)
    if source.is_dir():
        if args.symbols:
            raise ConfigError("--symbols is for a synthesizer.pt: a preset says its own.")
        preset, kind = preset_in(source)
        write_file(output, preset, kind)
    else:
        kind = kind_of_file(source)
        if args.symbols and kind != SYNTHESIZER:
            raise ConfigError(f"--symbols is for a synthesizer, and {source} is a {kind}.")
        write_preset(output, source, kind, args.symbols)
    print(json.dumps({"output": str(output), "kind": kind}) if args.json else output)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
