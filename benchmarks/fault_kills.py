"""A small training that is killed at random moments, and ends in the bytes of an unbroken one."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import soundfile
import yaml
from tqdm import tqdm

from myxtts.audio.io import hum
from myxtts.errors import DataError

RATE = 22_050
SAME, OTHER = "resumed to the same bytes", "ended otherwise"
# Of one training; the next begins afresh.
KILLS_A_RUN = 8
# A process dies so many checkpoints after it began, at most, or while it starts.
MOST_CHECKPOINTS = 6
START_S, LATER_S = 10.0, 0.3
_STAGE = {"steps": 8, "batch_size": 4, "warmup_steps": 1}
SETTINGS = {
    "model": {
        "dvae": {"hidden_dim": 16, "codebook_dim": 16, "num_codes": 32, "num_resnet_blocks": 1},
        "gpt": {"layers": 2, "model_dim": 32, "heads": 2, "num_text_tokens": 300}
        | {"max_text_tokens": 60, "max_audio_tokens": 80},
        "conditioning": {"num_blocks": 1, "num_latents": 4, "perceiver_depth": 1}
        | {"perceiver_heads": 2, "perceiver_head_dim": 16},
        "speaker": {"embedding_dim": 16, "blocks": [1, 1], "channels": [8, 8]},
        "decoder": {"initial_channels": 32, "resblock_kernels": [3], "resblock_dilations": [1]},
    },
    "training": {
        "dvae": _STAGE,
        "gpt": _STAGE,
        "decoder": _STAGE,
        "segment_codes": 4,
        "adversarial_start": 4,
        "validate_every": 2,
        "checkpoint_every": 1,
    },
}


def kill(folder: Path, seed: int, kills: int) -> Counter:
    """Outcomes of so many kills, those of an earlier call of this seed first.

    A kill counts when its run has been resumed to the end and compared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"kills-{seed}.json"
    counts = Counter(json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {})
    if counts.total() >= kills:
        return counts
    config = _prepare(folder)
    expected = _unbroken(folder, config)
    with tqdm(total=kills, initial=counts.total(), desc="kills", disable=None) as bar:
        while (done := counts.total()) < kills:
            rng = np.random.default_rng([seed, done])
            wanted = min(KILLS_A_RUN, kills - done)
            met, found = _broken(folder / "broken", config, rng, wanted)
            counts[SAME if found == expected else OTHER] += met
            if found != expected:
                shutil.copytree(folder / "broken", folder / f"found-{done}", dirs_exist_ok=True)
            kept.write_text(json.dumps(counts), encoding="utf-8")
            bar.update(met)
    return counts


def _prepare(folder: Path) -> Path:
    """A corpus and the configuration of its training."""
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    lines = []
    for number in range(6):
        soundfile.write(corpus / f"{number}.wav", hum(0.9 + 0.1 * number, 120, RATE), RATE)
        line = {"file_name": f"{number}.wav", "text": f"This is clip number {number}."}
        lines.append(json.dumps(line | {"speaker": f"speaker_{number % 2}"}) + "\n")
    (corpus / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    data = {"train_data": str(corpus), "val_data": str(corpus)}
    data["cache_dir"] = str(folder / "cache")
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(SETTINGS | {"data": data}), encoding="utf-8")
    return config


def _start(config: Path, output: Path) -> BaseProcess:
    """A training in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["myxtts.training.run"])
    arguments = ["--config", str(config), "--output-dir", str(output), "--resume"]
    process = context.Process(target=_train, args=(arguments, output.parent / "log.txt"))
    process.start()
    return process


def _train(arguments: list[str], log: Path) -> None:
    from myxtts.flags import run
    from myxtts.training.command import main, parser

    with log.open("a", encoding="utf-8") as told:
        os.dup2(told.fileno(), sys.stderr.fileno())
    sys.argv = ["train_main.py", *arguments]
    sys.exit(run(main, parser()))


def _unbroken(folder: Path, config: Path) -> dict[str, str]:
    """Files of a training that nobody disturbs."""
    shutil.rmtree(folder / "whole", ignore_errors=True)
    if _ended(_start(config, folder / "whole")):
        raise DataError(f"the training that is to be killed fails; see {folder / 'log.txt'}.")
    return _files(folder / "whole")


def _broken(
    output: Path, config: Path, rng: np.random.Generator, wanted: int
) -> tuple[int, dict[str, str]]:
    """How many kills a training met, and its files at the end."""
    shutil.rmtree(output, ignore_errors=True)
    met = 0
    while True:
        process = _start(config, output)
        if met == wanted or not _comes(process, output, rng):
            break
        process.kill()
        process.join()
        met += 1
    ended = _ended(process)
    if not met:
        # It ended before its moment came: that is a run, but no kill.
        return _broken(output, config, rng, wanted)
    return met, {} if ended else _files(output)


def _comes(process: BaseProcess, output: Path, rng: np.random.Generator) -> bool:
    """Wait for a random moment of a training; whether it came before the end."""
    wanted = int(rng.integers(0, MOST_CHECKPOINTS + 1))
    delay = rng.uniform(0, START_S) if not wanted else rng.exponential(LATER_S)
    seen = before = set(output.glob("checkpoints/*/step-*"))
    while len(seen) - len(before) < wanted:
        if not process.is_alive():
            return False
        time.sleep(0.02)
        seen = seen | set(output.glob("checkpoints/*/step-*"))
    process.join(delay)
    return process.is_alive()


def _ended(process: BaseProcess) -> int:
    """Exit code of a process, once it has ended."""
    process.join()
    return process.exitcode


def _files(output: Path) -> dict[str, str]:
    """SHA-256 of what a training leaves that must not depend on where and when it ran."""
    own = [*output.rglob("*.safetensors"), *output.rglob("history.json")]
    own += output.rglob("tokenizer.json")
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(own)
    }
