"""Export a model as a SavedModel that TensorFlow Serving loads as it is.

    myxtts export --preset presets/my_xtts --output serving/my_xtts/1

Without --preset it is the model that comes with MyXTTS.
Text, voices, sampling and vocoder are all in the graph; docs/serving.md says how to serve it.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from myxtts.config import ENCODER_NAMES, XTTSConfig
from myxtts.errors import CheckpointError, ConfigError
from myxtts.files import replacing_folder
from myxtts.flags import make_parser
from myxtts.presets.finding import add_preset_flag

logger = logging.getLogger(__name__)

ONLY_PRESETS = ("vocoder", "half")


def parser(prog: str = "myxtts export") -> argparse.ArgumentParser:
    """Flags of the program."""
    parser = make_parser(prog, __doc__, json=True)
    what = parser.add_mutually_exclusive_group()
    add_preset_flag(what)
    what.add_argument(
        "--speaker-encoder",
        choices=ENCODER_NAMES,
        help="export a pretrained speaker encoder alone",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="the upstream's weights of --speaker-encoder (default: its package or the hub)",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="folder of the version to write, the model's name and a number: serving/my_xtts/1",
    )
    add_choices(parser)
    return parser


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how to export."""
    parser.add_argument(
        "--vocoder",
        choices=("auto", "hifi", "istft", "griffin_lim"),
        help="auto takes the decoder once its stage has been trained (default: auto)",
    )
    parser.add_argument(
        "--half", action="store_true", help="store weights in float16: half the size on disk"
    )
    parser.add_argument(
        "--warmup",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write the requests that a server runs before it calls the model available",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="run all checks on the export, and put it in its place only if they pass",
    )


def main(args: argparse.Namespace) -> None:
    """Export, check, put it where a server finds it, and say what it holds."""
    from myxtts.serving.configuration import configuration, version_folder, write_configuration

    folder = version_folder(args.output)
    if folder.exists():
        raise CheckpointError(f"{folder} is there already; a server wants each version once.")
    require_fitting_flags(args)
    # What is wrong with the files beside it should be known before the long work.
    configuration(folder)
    with replacing_folder(folder) as fresh:
        model = export(args, fresh)
        requests = warm_up(fresh, folder) if args.warmup else 0
        result = described(args, fresh, requests)
        if args.check:
            result["checks"] = check(fresh, model)
            require_passed(args, result)
    result["configuration"] = [str(path) for path in write_configuration(folder)]
    tell(args, result)


def require_passed(args: argparse.Namespace, result: dict) -> None:
    """Raise CheckpointError, once the result has been told, where a check failed."""
    failed = sum(not item["passed"] for item in result["checks"])
    if failed:
        tell(args, result)
        count = len(result["checks"])
        raise CheckpointError(f"{failed} of {count} checks failed; {args.output} was not written.")


def tell(args: argparse.Namespace, result: dict) -> None:
    """Print the result as it was asked for."""
    print(json.dumps(result) if args.json else report(result))


def require_fitting_flags(args: argparse.Namespace) -> None:
    """Raise ConfigError where a flag has no meaning beside the others."""
    if args.checkpoint and not args.speaker_encoder:
        raise ConfigError("--checkpoint is for --speaker-encoder; a preset has its weights.")
    if args.speaker_encoder:
        require_encoder_flags(args)


def require_encoder_flags(args: argparse.Namespace) -> None:
    """Raise ConfigError where a flag has no meaning for a speaker encoder alone."""
    for name in ONLY_PRESETS:
        if getattr(args, name):
            raise ConfigError(f"--{name} is for a preset, not for a speaker encoder alone.")


def export(args: argparse.Namespace, fresh: Path):
    """Write what the flags ask for to ``fresh``; the model, or None for an encoder alone."""
    # Warnings of a page each about the names of inputs that nobody sees.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    return export_encoder(args, fresh) if args.speaker_encoder else export_preset(args, fresh)


def export_preset(args: argparse.Namespace, fresh: Path):
    """Write the signatures of a preset's model; the model."""
    from myxtts.inference.checks import check_vocoder
    from myxtts.models.xtts import XTTS
    from myxtts.presets.finding import find_preset
    from myxtts.presets.record import XTTS_KIND, kind_of
    from myxtts.serving.export import export_saved_model

    folder = find_preset(args.preset)
    if kind_of(folder) != XTTS_KIND:
        return export_trained_encoder(args, folder, fresh)
    # Known in a moment, while reading takes long.
    stored = XTTSConfig.from_yaml(folder / "config.yaml")
    vocoder = check_vocoder(folder, stored, args.vocoder or "auto")
    logger.info("reading %s", folder)
    model = XTTS.from_preset(folder)
    learn_numbers(model.tokenizer.languages)
    logger.info("building and writing the graphs (the larger the model, the more minutes)")
    export_saved_model(model, fresh, vocoder, half=args.half)
    return model


def export_trained_encoder(args: argparse.Namespace, folder: Path, fresh: Path) -> None:
    """Write the signature of the speaker encoder in a preset of its own."""
    from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
    from myxtts.serving.export import export_speaker_encoder

    require_encoder_flags(args)
    encoder = PretrainedSpeakerEncoder.from_preset(folder)
    logger.info("weights: %s", encoder.provenance)
    export_speaker_encoder(encoder, fresh)


def export_encoder(args: argparse.Namespace, fresh: Path) -> None:
    """Write the signature of a pretrained speaker encoder."""
    from myxtts.serving.export import export_speaker_encoder
    from myxtts.weights.speaker_encoders import pretrained_speaker_encoder

    encoder = pretrained_speaker_encoder(args.speaker_encoder, args.checkpoint)
    logger.info("weights: %s", encoder.provenance)
    export_speaker_encoder(encoder, fresh)


def learn_numbers(languages: list[str]) -> None:
    """Learn how ``languages`` read numbers, which is kept for the graph, under a bar."""
    from tqdm import tqdm

    from myxtts.serving.graph.text.cleaning import is_readable

    for language in tqdm(languages, desc="numbers", unit="language", delay=2, disable=None):
        is_readable(language)


def warm_up(fresh: Path, folder: Path) -> int:
    """Write warm-up requests for single rows and the largest batches; how many."""
    from myxtts.serving.check.session import read_extra
    from myxtts.serving.configuration import largest_batch
    from myxtts.serving.warmup import warmup_requests, write_warmup

    tables = read_extra(fresh, "signatures"), read_extra(fresh, "serving")
    requests = warmup_requests(*tables, batch_sizes=(1, largest_batch(folder)))
    write_warmup(fresh, requests, folder.parent.name)
    return len(requests)


def check(fresh: Path, model) -> list[dict]:
    """Results of all checks of the export."""
    from dataclasses import asdict

    from myxtts.serving.check.run import check_export

    def progress(name: str) -> None:
        logger.info("checking: %s", name)

    return [asdict(item) for item in check_export(fresh, model, progress)]


def described(args: argparse.Namespace, fresh: Path, requests: int) -> dict:
    """The keys of ``--json``, as far as they are known before the checks."""
    from myxtts.serving.check.session import read_extra

    serving = read_extra(fresh, "serving")
    return {
        "output": args.output,
        "bytes": sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file()),
        "signatures": sorted(read_extra(fresh, "signatures")),
        "vocoder": serving.get("vocoder"),
        "half": serving.get("half", False),
        "languages": serving.get("languages", []),
        "ids_only": serving.get("ids_only", []),
        "warmup_requests": requests,
        "configuration": [],
        "checks": None,
    }


def report(result: dict) -> str:
    """What a person wants to know."""
    weights = "float16" if result["half"] else "float32"
    lines = [
        f"export       {result['output']}, {result['bytes'] / 1e6:.1f} MB, weights in {weights}",
        f"signatures   {', '.join(result['signatures'])}",
        f"warm-up      {result['warmup_requests']} requests",
    ]
    if result["vocoder"]:
        lines += [
            f"vocoder      {result['vocoder']}",
            f"languages    {', '.join(result['languages']) or 'none'}",
            f"as ids only  {', '.join(result['ids_only']) or 'none'}",
        ]
    lines += [f"wrote        {path}" for path in result["configuration"]]
    for item in result["checks"] or ():
        verdict = "passed" if item["passed"] else "FAILED"
        lines.append(f"check        {verdict}  {item['name']}: {item['detail']}")
    return "\n".join(lines)
