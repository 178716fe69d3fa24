"""This checkout beside another one: import, a training step, a sentence.

    git worktree add /tmp/before v0.1.0
    python benchmarks/versions.py /tmp/before [--rounds 5]

Each side is a process of its own, and they take turns. The recipe ``tiny`` is trained on the
demo corpus (seconds a step of the GPT, what a run costs at all left out) and speaks a sentence
greedily. One JSON line: medians of seconds of the processor, which other work on the machine
hardly changes, and here divided by there: lower is faster here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import DEMO_CORPUS, ROOT, report
from myxtts.errors import MyXTTSError
from myxtts.flags import make_parser, run

# Run in either checkout, so of what both have: a module's old place would end it.
PROGRAM = """
import json, sys, tempfile, time
started = time.process_time()
import myxtts
found = {"import myxtts": time.process_time() - started}
import myxtts.inference.synthesizer, myxtts.training.run
found["import all"] = time.process_time() - started
from myxtts.config import XTTSConfig
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.training.run import train

def timed(call):
    start = time.process_time()
    result = call()
    return time.process_time() - start, result

with tempfile.TemporaryDirectory() as folder:
    def trained(steps, name):
        stages = {stage: {"steps": count} for stage, count in steps.items()}
        never = {"validate_every": 10**6, "checkpoint_every": 10**6}
        training = stages | never | {"output_dir": f"{folder}/{name}"}
        corpora = {"train_data": sys.argv[1], "val_data": sys.argv[1]}
        data = corpora | {"cache_dir": f"{folder}/cache"}
        return train(XTTSConfig.preset("tiny").merged({"training": training, "data": data}))

    few = {"dvae": 1, "gpt": 2, "decoder": 0}
    base, result = timed(lambda: trained(few, "base"))
    longer, _ = timed(lambda: trained(few | {"gpt": 32}, "longer"))
    found["training step"] = (longer - base) / 30
    model = XTTS.from_preset(result.preset)
    # As good as any other for its speed.
    model.trained_steps["decoder"] = 1
    settings = {"temperature": 0.0, "repetition_penalty": 2.0, "retries": 0, "vocoder": "hifi"}
    config = XTTSConfig.preset("tiny").merged({"synthesis": settings})
    synthesizer = Synthesizer(model, config.synthesis)
    text = "The birch canoe slid on the smooth planks, and nobody saw it."
    conditioned = lambda: synthesizer.condition([sys.argv[2]])
    voice = conditioned()
    synthesizer.speak(text, voice), list(synthesizer.stream(text, voice))
    found["voice"] = min(timed(conditioned)[0] for _ in range(3))
    found["sentence"] = min(timed(lambda: synthesizer.speak(text, voice))[0] for _ in range(5))
    streamed = lambda: list(synthesizer.stream(text, voice))
    found["stream"] = min(timed(streamed)[0] for _ in range(5))
print(json.dumps(found))
"""


def main(args: argparse.Namespace) -> None:
    sides = {"here": ROOT, "there": Path(args.other).resolve()}
    rows: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, folder in sides.items():
            rows[name].append(measured(folder))
    report(compared(rows))


def measured(checkout: Path) -> dict[str, float]:
    """Processor seconds of one process in ``checkout``."""
    corpus = DEMO_CORPUS / "val"
    return ran(checkout, PROGRAM, corpus, min(corpus.glob("*.ogg")))


def ran(checkout: Path, program: str, *arguments: Any) -> dict[str, float]:
    """What a program prints in ``checkout``, as one JSON line.

    Raises:
        MyXTTSError: it fails; the sentence has its last words.
    """
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    if done.returncode:
        raise MyXTTSError(f"{checkout} cannot be measured: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def compared(rows: Mapping[str, list[dict]]) -> dict[str, dict[str, float]]:
    """Median seconds of each side, and the median of the ratios of each round."""
    return {
        name: {
            **{
                side: round(statistics.median(r[name] for r in own), 4)
                for side, own in rows.items()
            },
            "ratio": round(
                statistics.median(
                    here[name] / there[name] for here, there in zip(*rows.values(), strict=True)
                ),
                3,
            ),
        }
        for name in rows["here"][0]
    }


def parser() -> argparse.ArgumentParser:
    parser = make_parser("versions.py", __doc__)
    parser.add_argument("other", metavar="CHECKOUT", help="folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each side")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
