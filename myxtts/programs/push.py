"""Make a folder of a preset for the Hugging Face hub, with a model card, or an archive of it.

    myxtts push --preset runs/xtts --output hub/my_xtts --repository me/my_xtts
    myxtts push --preset runs/xtts --output my_xtts.tar.gz

``--upload`` sends the folder to ``--repository`` as well. Who has it then speaks with
``--preset hf://me/my_xtts``, or with the archive's address and the hash that is printed.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from myxtts.errors import CheckpointError, ConfigError
from myxtts.files import replacing, replacing_folder
from myxtts.flags import make_parser
from myxtts.presets.finding import add_preset_flag, find_preset
from myxtts.presets.hub import CARD, FILES, HUB, REPOSITORY, archive_preset
from myxtts.presets.record import XTTS_KIND, Record, check_record, kind_of, read_record
from myxtts.presets.voices import preset_voices

ARCHIVE = ".tar.gz"
# How the hub's own names of licences begin here.
LICENCES = {"MIT": "mit", "Apache-2.0": "apache-2.0", "CC BY 4.0": "cc-by-4.0"}
ATTRIBUTES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


def parser(prog: str = "myxtts push") -> argparse.ArgumentParser:
    """Flags of the program."""
    parser = make_parser(prog, __doc__, json=True)
    add_preset_flag(parser)
    parser.add_argument(
        "--output", required=True, metavar="PATH", help=f"folder to write, or NAME{ARCHIVE}"
    )
    parser.add_argument(
        "--repository", metavar="OWNER/NAME", help="on the hub, for the card and for --upload"
    )
    parser.add_argument("--licence", help="of the weights (default: what the preset says)")
    parser.add_argument(
        "--upload", action="store_true", help="send the folder to --repository (wants `hf login`)"
    )
    return parser


def main(args: argparse.Namespace) -> None:
    """Write the folder or the archive, and say how it is used."""
    check_flags(args)
    source = find_preset(args.preset)
    check_record(source)
    if args.output.endswith(ARCHIVE):
        result = write_archive(source, Path(args.output), args)
    else:
        write_folder(source, Path(args.output), args.repository, args.licence)
        result = {"output": args.output, "sha256": None, "address": None}
        if args.repository:
            result["address"] = HUB + args.repository
    if args.upload:
        upload(Path(args.output), args.repository)
    print(json.dumps(result) if args.json else report(result, args))


def check_flags(args: argparse.Namespace) -> None:
    """Raise ``ConfigError`` for flags that do not go together."""
    if args.repository and not REPOSITORY.fullmatch(args.repository):
        raise ConfigError(f"--repository {args.repository} is none: owner/name is expected.")
    if args.upload and not args.repository:
        raise ConfigError("--upload wants --repository owner/name.")
    if args.upload and args.output.endswith(ARCHIVE):
        raise ConfigError(f"--upload sends a folder: give --output without {ARCHIVE}.")


def write_folder(
    source: Path, output: Path, repository: str | None = None, licence: str | None = None
) -> None:
    """Write the preset ``source`` with a model card of the hub's form to ``output``.

    Args:
        source: folder of the preset.
        output: new, or one of an earlier call, which is replaced at the very end.
        repository: ``owner/name`` that it is for.
        licence: of the weights; None for that of the record.

    Raises:
        ConfigError: ``output`` is the preset itself.
        CheckpointError: it holds something else, or cannot be written.
    """
    if output.resolve() == source.resolve():
        raise ConfigError(f"--output {output} is the preset itself; name another folder.")
    if output.is_dir() and any(output.iterdir()) and not (output / ".gitattributes").is_file():
        raise CheckpointError(f"{output} holds files and was not made by myxtts push.")
    with replacing_folder(output) as fresh:
        for pattern in FILES:
            for path in source.glob(pattern):
                target = fresh / path.relative_to(source)
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, target)
        (fresh / CARD).write_text(card(source, repository, licence), encoding="utf-8")
        (fresh / ".gitattributes").write_text(ATTRIBUTES, encoding="utf-8")


def write_archive(source: Path, output: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Write what :func:`write_folder` does as one file; the keys of ``--json``."""
    with replacing(output) as fresh:
        folder = fresh.with_name(fresh.name + ".folder")
        try:
            write_folder(source, folder, args.repository, args.licence)
            digest = archive_preset(folder, fresh)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    address = f"https://HOST/{output.name}#sha256={digest}"
    return {"output": str(output), "sha256": digest, "address": address}


def card(source: Path, repository: str | None, licence: str | None) -> str:
    """``README.md`` for the hub: its header, the preset's own card or a short one, how to speak."""
    record = read_record(source, kind_of(source))
    licence = licence or record.licence
    header = yaml.safe_dump(_header(source, record, licence), sort_keys=False, allow_unicode=True)
    own = source / CARD
    body = own.read_text(encoding="utf-8") if own.is_file() else _short_card(source, record)
    # A card that went through here before brings its header along.
    if body.startswith("---\n"):
        body = body.partition("\n---\n")[2].lstrip()
    use = "" if "## Use" in body else _use(record, repository)
    return f"---\n{header}---\n\n{body.rstrip()}\n{use}"


def _header(source: Path, record: Record, licence: str | None) -> dict[str, Any]:
    """What the hub sorts models by."""
    known = [key for name, key in LICENCES.items() if licence and licence.startswith(name)]
    header: dict[str, Any] = {"license": known[0] if known else "other"}
    if not known:
        header["license_name"] = licence or "not-named"
    header["library_name"] = "myxtts"
    if record.kind == XTTS_KIND:
        header |= {"pipeline_tag": "text-to-speech", "language": _languages(source)}
    header["tags"] = ["keras", "myxtts", record.kind]
    return header


def _languages(source: Path) -> list[str]:
    """Languages of the text, by the hub's codes, which know no regions."""
    from myxtts.text.tokenizer import VoiceBpeTokenizer

    codes = VoiceBpeTokenizer(source / "tokenizer.json").languages
    return list(dict.fromkeys(code.split("-")[0] for code in codes))


def _short_card(source: Path, record: Record) -> str:
    """A card of what the record knows."""
    steps = ", ".join(f"{stage} {count:,}" for stage, count in record.trained_steps.items())
    origin = record.provenance or ("converted" if record.source else "trained")
    voices = ", ".join(voice.name for voice in preset_voices(source))
    return "\n".join(
        [
            f"# {source.resolve().name}",
            "",
            f"A preset of kind `{record.kind}` of MyXTTS {record.myxtts}.",
            "",
            f"- {sum(record.parameters.values()):,} parameters.",
            f"- Weights: {origin}; optimiser steps: {steps or 'none'}.",
            f"- Speaker encoder inside: {record.encoder_provenance or 'of its own'}.",
            f"- Licence of the weights: {record.licence or 'not named'}.",
            f"- Voices of its own: {voices or 'none'}.",
            "",
            "Its errors have not been measured here. Clone the voice of a person only with that "
            "person's consent.",
        ]
    )


def _use(record: Record, repository: str | None) -> str:
    """How to speak with it."""
    if record.kind != XTTS_KIND:
        return ""
    name = f"{HUB}{repository}" if repository else "FOLDER"
    lines = ["pip install myxtts", f'myxtts speak --preset {name} "Hello world" > hello.wav']
    return "\n".join(["", "## Use", "", "```sh", *lines, "```", ""])


def upload(folder: Path, repository: str) -> None:
    """Send ``folder`` to the hub, with the token that `hf login` keeps.

    Raises:
        CheckpointError: the hub does not take it; the folder is there all the same.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().create_repo(repository, exist_ok=True)
        HfApi().upload_folder(repo_id=repository, folder_path=folder)
    # Of no one kind, see myxtts.presets.hub.
    except Exception as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise CheckpointError(
            f"the Hugging Face hub did not take {repository} ({told}); {folder} is whole: send it "
            f"with: hf upload {repository} {folder}"
        ) from error


def report(result: dict[str, Any], args: argparse.Namespace) -> str:
    """What a person wants to know."""
    lines = [str(result["output"])]
    if result["sha256"] or args.upload:
        lines.append(f"--preset {result['address']}")
    else:
        lines.append(f"hf upload {args.repository or 'OWNER/NAME'} {result['output']}")
    return "\n".join(lines)
