"""Quantise a preset for `--engine int8`: the GPT's matrices as int8 with a scale a channel.

    myxtts quantize --preset presets/xtts_v2 --output presets/xtts_v2_int8

All else stays as it is stored: embeddings, norms, heads, biases, the other models, the voices and
the model card. Any engine speaks with the result; nothing trains from it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from myxtts.errors import CheckpointError, ConfigError
from myxtts.files import check_writable
from myxtts.flags import make_parser
from myxtts.presets.finding import add_preset_flag, find_preset
from myxtts.presets.quantised import INT8
from myxtts.presets.record import MANIFEST, XTTS_KIND, read_record
from myxtts.presets.voices import file_of, preset_voices, write_list


def parser(prog: str = "myxtts quantize") -> argparse.ArgumentParser:
    """Flags of the program."""
    parser = make_parser(prog, __doc__, json=True)
    add_preset_flag(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="preset folder to write")
    return parser


def main(args: argparse.Namespace) -> None:
    """Quantise, and say how large the preset was and is."""
    source, output = find_preset(args.preset), Path(args.output)
    if read_record(source, XTTS_KIND).quantised:
        raise CheckpointError(f"{source} is quantised already.")
    if output.resolve() == source.resolve():
        raise ConfigError(f"--output {output} is the preset itself, which training needs.")
    check_writable(output / MANIFEST)
    quantise_preset(source, output)
    result = {"output": str(output), "megabytes": megabytes(output), "before": megabytes(source)}
    told = f"{output}, {result['megabytes']:.1f} MB of {result['before']:.1f} MB"
    print(json.dumps(result) if args.json else told)


def quantise_preset(source: Path, output: Path) -> None:
    """Write the preset ``source`` to ``output`` with the GPT's matrices as int8.

    Raises:
        CheckpointError: ``source`` cannot be read, or ``output`` cannot be written.
    """
    from myxtts.inference.voice import Voice
    from myxtts.models.xtts import WEIGHTS, XTTS
    from myxtts.weights.model_card import CARD

    model, known = XTTS.from_preset(source), preset_voices(source)
    voices = [Voice.load(file_of(source, voice.name), model) for voice in known]
    halves = [keep_half(source / file, model.weight_files()[file]) for file in WEIGHTS]
    model.quantised_from = model.fingerprint
    model.save_to_preset(output, half=any(halves), quantise=INT8)
    if (source / CARD).is_file():
        shutil.copy2(source / CARD, output / CARD)
    # The audio encoder, which voices come from, has the same weights as before.
    for voice, kept in zip(known, voices, strict=True):
        own = dataclasses.replace(kept, model=model.fingerprint)
        own.save(file_of(output, voice.name))
    if known:
        write_list(output, known)


def keep_half(path: Path, variables: Mapping) -> bool:
    """Let the variables be stored in float16 that are so in the file at ``path``; whether any is.

    Those that are frozen would be stored in float32 otherwise.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        half = [name for name in variables if file.get_slice(name).get_dtype() == "F16"]
    for name, variable in variables.items():
        variable.trainable = name in half
    return bool(half)


def megabytes(folder: Path) -> float:
    """Size of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
