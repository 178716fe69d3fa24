"""What the gateway bears: load, odd requests and uploads, kills; figures for docs/results.md.

    python benchmarks/server.py --minutes 2 --requests 1000 --kills 20
    python benchmarks/server.py --minutes 10 --requests 5000 --kills 100 --json

Each part starts ``myxtts serve`` as a process of its own, with the voice that comes with the
package, ``--preset`` or ``--tf-serving``, and a folder of voices that goes afterwards.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import taken
from benchmarks.server_process import KEY, Gateway
from myxtts.errors import ConfigError
from myxtts.flags import make_parser, run


def parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = make_parser("server.py", __doc__, json=True)
    parser.add_argument("--preset", metavar="P", help="of the gateway")
    parser.add_argument("--tf-serving", metavar="URL", help="address of one, to speak with it")
    parser.add_argument("--clients", type=int, default=64, metavar="N", help="at once")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="of load")
    parser.add_argument("--requests", type=int, default=5000, metavar="N", help="mutated ones")
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="SIGKILLs")
    parser.add_argument(
        "--no-uploads", dest="uploads", action="store_false", help="leave the odd uploads out"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--log", metavar="FILE", help="where to keep the log of the last gateway")
    return parser


def main(args: argparse.Namespace) -> None:
    """Measure what is asked for, and print the table."""
    if min(args.clients, args.minutes, args.requests, args.kills, args.seed) < 0:
        raise ConfigError("no number may be less than 0.")
    told = {}
    for name, is_wanted, measure in _parts(args):
        if is_wanted:
            told[name] = _with_gateway(args, measure, needs_key=name == "uploads")
    told["taken"] = taken()
    print(json.dumps(told) if args.json else table(told))


def _parts(args: argparse.Namespace) -> list[tuple[str, bool, Callable[[Gateway], dict]]]:
    from benchmarks.server_kills import kill
    from benchmarks.server_load import load
    from benchmarks.server_mutations import mutate
    from benchmarks.server_uploads import refuse

    return [
        ("load", args.minutes > 0, lambda g: load(g, args.clients, args.minutes, args.seed)),
        ("mutated", args.requests > 0, lambda g: mutate(g, args.requests, args.seed)),
        ("uploads", args.uploads, refuse),
        ("kills", args.kills > 0, lambda g: kill(g, args.kills, args.seed)),
    ]


def _with_gateway(
    args: argparse.Namespace, measure: Callable[[Gateway], dict], needs_key: bool
) -> dict:
    words = ["--preset", args.preset] if args.preset else []
    if args.tf_serving:
        words += ["--backend", "tf-serving", "--tf-serving", args.tf_serving]
    with tempfile.TemporaryDirectory(prefix="myxtts-server-") as folder:
        if needs_key:
            keys = Path(folder, "keys.txt")
            keys.write_text(KEY, encoding="utf-8")
            words += ["--api-key-file", str(keys)]
        gateway = Gateway(Path(folder), *words)
        try:
            with gateway:
                return measure(gateway)
        finally:
            if args.log and gateway.log.is_file():
                shutil.copy(gateway.log, args.log)


def table(told: dict) -> str:
    """Markdown: a row for every figure."""
    rows = ["| part | figure | measured |", "|---|---|---|"]
    for part, figures in told.items():
        for name, value in figures.items():
            rows.append(f"| {part} | {name.replace('_', ' ')} | {_shown(value)} |")
    return "\n".join(rows)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {part}" for name, part in value.items())
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return str(value)


if __name__ == "__main__":
    sys.exit(run(main, parser()))
