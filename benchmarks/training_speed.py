"""Speech that the GPT learns from in a second, in this checkout and in another one.

    git worktree add /tmp/before v0.1.0
    python benchmarks/training_speed.py /tmp/before [--corpus DIR] [--rounds 3]

A GPT of 6 x 256 is trained on a corpus, by batches of about 1,600 audio codes: here in a few
fixed sizes, compiled (``--batch-tokens``); there, where it has no such setting, by 32 utterances.
Each side is a process of its own, and they take turns; features and codes lie in the cache. One
JSON line: medians, over steps and then processes, of seconds of speech a second of wall time, the
corpus' own speech without padding, and here divided by there: higher is faster here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import DEMO_CORPUS, ROOT, report
from benchmarks.versions import compared, ran
from myxtts.flags import make_parser, run

# Run in either checkout, so of what both have.
PROGRAM = """
import json, statistics, sys, time
from myxtts.config import XTTSConfig
from myxtts.training import trainer
from myxtts.training.run import train

corpus, cache, folder, steps, encoder = *sys.argv[1:4], int(sys.argv[4]), sys.argv[5]
heard = []
whole = trainer.Trainer._step

def step(self, stream):
    if self.stage != "gpt":
        return whole(self, stream)

    def counted():
        for batch in stream:
            heard.append(float(batch["mel_lengths"].numpy().sum()) * 256 / 22050)
            yield batch
    started = time.perf_counter()
    numbers = whole(self, counted())
    numbers["loss"].numpy()
    times.append(time.perf_counter() - started)
    return numbers

times = []
trainer.Trainer._step = step
gpt = {"layers": 6, "model_dim": 256, "heads": 4, "dropout": 0.0}
model = {"gpt": gpt, "conditioning": {"num_latents": 4}}
if encoder != "original":
    model |= {"use_pretrained_speaker_encoder": True, "speaker_encoder_type": encoder}
stages = {"dvae": {"steps": 1}, "gpt": {"steps": steps, "batch_size": 32}, "decoder": {"steps": 0}}
training = {"output_dir": folder, "validate_every": 10**6, "checkpoint_every": 10**6} | stages
values = {"model": model, "data": {"train_data": corpus, "val_data": corpus, "cache_dir": cache}}
config = XTTSConfig.preset("tiny").merged(values)
try:
    config = config.merged({"training": training | {"batch_codes": 1600}})
except Exception:
    config = config.merged({"training": training})
train(config)
# Steps of a new size compile, the first ones above all: the median leaves them out.
late = [had / took for had, took in zip(heard, times)][len(times) // 2 :]
print(json.dumps({"speech a second": statistics.median(late)}))
"""


def main(args: argparse.Namespace) -> None:
    sides = {"here": ROOT, "there": Path(args.other).resolve()}
    rows: dict[str, list[dict]] = {name: [] for name in sides}
    corpus = Path(args.corpus).resolve()
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(-1, args.rounds):
            for name, checkout in sides.items():
                places = Path(folder) / f"cache-{name}", Path(folder) / f"run-{name}-{turn}"
                steps = args.steps if turn >= 0 else 2
                found = ran(checkout, PROGRAM, corpus, *places, steps, args.encoder)
                # The first round only fills the cache.
                rows[name] += [found] if turn >= 0 else []
    report(compared(rows))


def parser() -> argparse.ArgumentParser:
    parser = make_parser("training_speed.py", __doc__)
    parser.add_argument("other", metavar="CHECKOUT", help="folder of the other checkout")
    parser.add_argument("--corpus", default=DEMO_CORPUS / "train", help="what is trained on")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument(
        "--encoder", default="original", help="that hears the reference, or a pretrained one"
    )
    parser.add_argument("--steps", type=int, default=40, help="of each process")
    return parser


if __name__ == "__main__":
    sys.exit(run(main, parser()))
