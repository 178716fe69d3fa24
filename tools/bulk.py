"""Much work of one kind over processes of this machine or, through Ray, over many machines.

    python tools/bulk.py synthesise --texts book.txt --output DIR
    python tools/bulk.py features --train-data DIR --cache-dir DIR
    python tools/bulk.py embed --audio DIR --encoder resemblyzer --output DIR --address auto

What has been done is not done again, so a broken run goes on where it was; what a worker that
died had begun is done by another. Items that cannot be done are listed and end the program with 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.errors import ConfigError, DataError
from myxtts.files import writable_folder, write_whole
from myxtts.flags import make_parser, run
from myxtts.presets.finding import add_preset_flag, find_preset
from tools.bulk_jobs.pool import Job, Processes, Rays, do_all

logger = logging.getLogger(__name__)

JOBS = "tools.bulk_jobs.jobs"
# In the output folder: what could not be done, and why.
REFUSED = "refused.json"


def parser() -> argparse.ArgumentParser:
    parser = make_parser("bulk.py", __doc__)
    kinds = parser.add_subparsers(dest="job", required=True)
    speech = kinds.add_parser("synthesise", help="speak texts into files")
    speech.add_argument(
        "--texts",
        required=True,
        metavar="FILE",
        help="a text a line, or 'name|text' or 'name|text|voice': a voice of the model, a kept one "
        "or a recording",
    )
    add_preset_flag(speech)
    speech.add_argument("--voice", metavar="NAME", help="of lines that name none")
    speech.add_argument("--language", default="en", help="of the texts (default: en)")
    speech.add_argument("--engine", choices=("tensorflow", "int8"), default="tensorflow")
    speech.add_argument("--seed", type=int, default=0, help="of every text (default: 0)")
    speech.add_argument("--suffix", default=".wav", help="kind of files (default: .wav)")
    features = kinds.add_parser("features", help="compute the features of a training corpus")
    features.add_argument("--train-data", required=True, metavar="DIR", help="the corpus")
    features.add_argument(
        "--cache-dir", required=True, metavar="DIR", help="the same as of train_main.py"
    )
    features.add_argument(
        "--config", metavar="YAML", help="configuration of the training, for its data section"
    )
    embeddings = kinds.add_parser("embed", help="embed recordings of speakers")
    embeddings.add_argument("--audio", required=True, metavar="DIR", help="recordings below it")
    embeddings.add_argument(
        "--encoder", required=True, metavar="NAME", help="as of tools/verify_speakers.py"
    )
    embeddings.add_argument("--encoder-weights", metavar="PATH", help="the upstream's weights")
    for kind in (speech, embeddings):
        kind.add_argument("--output", required=True, metavar="DIR", help="folder of the files")
    for kind in (speech, features, embeddings):
        kind.add_argument(
            "--workers", type=int, default=0, metavar="N", help="(default: one a processor)"
        )
        kind.add_argument(
            "--threads",
            type=int,
            default=0,
            metavar="N",
            help="of each (default: an even part)",
        )
        kind.add_argument(
            "--address", metavar="ADDRESS", help="of a Ray cluster, auto for the one at hand"
        )
        kind.add_argument("--json", action="store_true", help="print the result as one JSON line")
    return parser


def main(args: argparse.Namespace) -> None:
    """Do what has not been done, and say what could not be."""
    for name in ("workers", "threads"):
        if getattr(args, name) < 0:
            raise ConfigError(f"--{name} must not be below 0, not {getattr(args, name)}.")
    job, items = {"synthesise": speech, "features": features, "embed": embeddings}[args.job](args)
    left = [item for item in items if not _is_done(item)]
    if len(left) < len(items):
        logger.info("%d of %d have been done before", len(items) - len(left), len(items))
    refused = work(args, job, left)
    folder = Path(args.cache_dir if args.job == "features" else args.output)
    write_whole(folder / REFUSED, json.dumps(refused, indent=1) + "\n", DataError)
    result = {"items": len(items), "done": len(left) - len(refused), "refused": len(refused)}
    print(json.dumps(result) if args.json else folder)
    if refused:
        name, reason = next(iter(refused.items()))
        raise DataError(
            f"{len(refused)} of {len(items)} could not be done, see {folder / REFUSED}; the first "
            f"is {name}: {reason.rstrip('.')}."
        )


def work(args: argparse.Namespace, job: Job, items: list[dict]) -> dict[str, str]:
    """Do the items; names of those that were refused, with the reason."""
    from tqdm import tqdm

    refused: dict[str, str] = {}
    if not items:
        return refused
    pool = (
        Rays(args.address, args.workers, args.threads)
        if args.address
        else Processes(args.workers, args.threads)
    )
    with tqdm(total=len(items), desc=args.job, disable=None) as bar:
        for outcome in do_all(pool, job, items):
            bar.update()
            if outcome.refused is not None:
                refused[outcome.item["name"]] = outcome.refused
    return refused


def speech(args: argparse.Namespace) -> tuple[Job, list[dict]]:
    """Texts to be spoken.

    Raises:
        DataError: the file cannot be read, names something twice, or has no text.
    """
    from myxtts.audio.io import check_output

    check_output(f"speech{args.suffix}")
    folder = writable_folder(args.output, DataError)
    items: dict[str, dict] = {}
    for number, line in enumerate(_lines(args.texts), 1):
        parts = [part.strip() for part in line.split("|")]
        name, text, voice, *rest = [f"{number:05d}", *parts, None] if len(parts) == 1 else [
            *parts,
            *[None] * (3 - len(parts)),
        ]  # fmt: skip
        if rest or not text or not name or Path(name).name != name:
            raise DataError(f"{args.texts}, line {number}: name|text|voice is wanted.")
        if name in items:
            raise DataError(f"{args.texts}, line {number}: there is a {name} before it.")
        output = str(folder / f"{name}{args.suffix}")
        items[name] = {
            "name": name,
            "text": text,
            "voice": voice or args.voice,
            "output": output,
        }
    settings = {
        "preset": str(find_preset(args.preset).resolve()),
        "language": args.language,
        "engine": args.engine,
        "seed": args.seed,
    }
    return Job(f"{JOBS}:synthesise", settings), list(items.values())


def features(args: argparse.Namespace) -> tuple[Job, list[dict]]:
    """Recordings of a training corpus."""
    from myxtts.config import XTTSConfig
    from myxtts.data.formats import find_utterances
    from myxtts.settings import to_dict

    config = XTTSConfig.from_yaml(args.config) if args.config else XTTSConfig()
    writable_folder(args.cache_dir, DataError)
    found = find_utterances(args.train_data, config.data.dataset_format, config.data.language)
    # By their whole paths, which name them in the cache.
    paths = sorted({str(item.path.resolve()) for item in found})
    settings = {"data": to_dict(config.data), "cache_dir": str(Path(args.cache_dir).resolve())}
    return Job(f"{JOBS}:features", settings), [{"name": path, "path": path} for path in paths]


def embeddings(args: argparse.Namespace) -> tuple[Job, list[dict]]:
    """Recordings below a folder.

    Raises:
        ConfigError: weights are given for a preset, which has its own.
        DataError: there are none.
    """
    from myxtts.data.speakers import recordings_below

    if args.encoder_weights and Path(args.encoder).is_dir():
        raise ConfigError(f"--encoder-weights is for named encoders; {args.encoder} is a preset.")
    top, folder = Path(args.audio), writable_folder(args.output, DataError)
    paths = recordings_below(top) if top.is_dir() else []
    if not paths:
        raise DataError(f"{top} is no folder with recordings.")
    items = []
    for path in paths:
        inside = path.relative_to(top)
        output = folder / inside.parent / f"{inside.name}.npy"
        output.parent.mkdir(parents=True, exist_ok=True)
        items.append({"name": str(inside), "path": str(path.resolve()), "output": str(output)})
    settings = {"encoder": args.encoder, "weights": args.encoder_weights}
    return Job(f"{JOBS}:embed", settings), items


def _is_done(item: dict) -> bool:
    return "output" in item and Path(item["output"]).is_file()


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the texts of {path}: {error}.") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path} has no text.")
    return lines


if __name__ == "__main__":
    sys.exit(run(main, parser()))
