"""A program that trains a tiny system under a strategy, for processes of their own.

``python -m tests.training.replicated SYSTEM STRATEGY DATA RUN [JSON]``: what the JSON says is laid
over the training's settings. Under ``mirrored`` the processor is two logical devices.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
STEPS = 20
ONE_THREAD = {
    name: "1" for name in ("TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")
}


def make_data(system: str, folder: Path) -> Path:
    """Write the corpora of a system; what :func:`configured` is given."""
    folder.mkdir(parents=True, exist_ok=True)
    if system == "vocoder":
        from tests.vocoder_data import make_vocoder_data

        return make_vocoder_data(folder)
    if system == "synthesizer":
        from tests.training.stages.test_synthesizer import write_corpus

        return write_corpus(folder / "corpus")
    if system.startswith("speaker"):
        from tests.training.stages.test_speaker import write_speakers

        write_speakers(folder / "train", (90, 130, 180, 240))
        write_speakers(folder / "val", (110, 200, 280))
        write_speakers(folder / "noise", (50,), 1)
        return folder
    from tests.conftest import write_corpus

    return write_corpus(folder, 7)


def configured(system: str, data: Path, run: Path):
    """Configuration and system of a run of twenty steps a stage."""
    if system == "vocoder":
        from myxtts.training.stages.vocoder_system import VOCODER_SYSTEM
        from tests.vocoder_data import small_config

        stage = {"steps": STEPS, "batch_size": 5, "learning_rate": 1e-3}
        own = {"vocoder": stage, "heard": 0, "validate_every": 10, "checkpoint_every": 10}
        return small_config(data, run, **own), VOCODER_SYSTEM
    if system == "synthesizer":
        from myxtts.training.stages.synthesizer_system import SYNTHESIZER_SYSTEM
        from tests.training.stages.test_synthesizer import settings

        own = {"validate_every": 10, "checkpoint_every": 10}
        schedule = ["3:1e-3:10:3", f"2:1e-3:{STEPS}:4"]
        return settings(data, run, schedule=schedule, **own), SYNTHESIZER_SYSTEM
    if system.startswith("speaker"):
        return _speaker(system, data, run)
    from myxtts.config import XTTSConfig
    from myxtts.training.stages.xtts import XTTS_SYSTEM
    from tests.conftest import MICRO, run_config

    stage = {"steps": STEPS, "batch_size": 5, "warmup_steps": 5, "learning_rate": 1e-3}
    gpt = stage | {"batch_size": 4}
    own = {
        "dvae": stage,
        "gpt": gpt,
        "decoder": stage | {"batch_size": 3, "learning_rate": 1e-4},
        "validate_every": 10,
        "checkpoint_every": 10,
        "contrastive_loss_weight": 0.5,
        "ge2e_loss_weight": 0.5,
        "alignment_loss_weight": 0.2,
        "alignment_blocks": [1],
        "forward_sum": True,
        "adversarial_start": 10,
        "segments_per_utterance": 2,
        "speaker_swap": 0.4,
        "stft_loss_weight": 1.0,
    }
    config = run_config(XTTSConfig().merged(MICRO), data, run, **own)
    changes = {"model": {"gpt": {"dropout": 0.1}}, "data": {"speakers_per_batch": 2}}
    return config.merged(changes), XTTS_SYSTEM


def _speaker(system: str, data: Path, run: Path):
    from myxtts.speaker_config import SpeakerConfig
    from myxtts.training.stages.speaker_system import SPEAKER_SYSTEM
    from tests.training.stages.test_speaker import SMALL

    stage = {"steps": STEPS, "batch_size": 6, "warmup_steps": 5, "learning_rate": 1e-3}
    loss = {"speaker": "ge2e", "speaker-aam": "aam_softmax", "speaker-ap": "angular_prototypical"}
    values = {
        "data": {
            "train_data": str(data / "train"),
            "val_data": str(data / "val"),
            "augmentation": {"noise_paths": [str(data / "noise")], "gain": [-3.0, 3.0]},
        },
        "training": {
            "output_dir": str(run),
            "speaker": stage,
            "loss": loss[system],
            "validate_every": 10,
            "checkpoint_every": 10,
        },
    }
    return SpeakerConfig().merged(SMALL).merged(values), SPEAKER_SYSTEM


def main(system: str, strategy: str, data: str, run: str, more: str = "{}") -> None:
    """Train in this process."""
    import tensorflow as tf

    from myxtts.training.run import train

    if strategy == "mirrored":
        devices = [tf.config.LogicalDeviceConfiguration()] * 2
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, devices)
    config, kind = configured(system, Path(data), Path(run))
    config = config.merged({"training": {"strategy": strategy} | json.loads(more)})
    print(json.dumps(train(config, kind).to_dict()))


def start(
    system: str, strategy: str, data: Path, run: Path, more: dict | None = None, place: str = ""
) -> subprocess.Popen:
    """The program in a process of its own, at a ``place`` of TF_CONFIG."""
    words = [system, strategy, str(data), str(run), json.dumps(more or {})]
    program = "import sys; from tests.training.replicated import entry; sys.exit(entry())"
    environment = {**os.environ, **ONE_THREAD, "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment.pop("TF_CONFIG", None)
    if place:
        environment["TF_CONFIG"] = place
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def entry() -> int:
    """The command line; a mistake is told as the real ones tell it."""
    from argparse import ArgumentParser

    from myxtts.flags import run

    parser = ArgumentParser("replicated")
    parser.add_argument("words", nargs="+")
    return run(lambda args: main(*args.words), parser)


def places(count: int) -> list[str]:
    """TF_CONFIG of so many workers on this machine."""
    sockets = [socket.socket() for _ in range(count)]
    for own in sockets:
        own.bind(("localhost", 0))
    workers = [f"localhost:{own.getsockname()[1]}" for own in sockets]
    for own in sockets:
        own.close()
    tasks = [{"type": "worker", "index": number} for number in range(count)]
    return [json.dumps({"cluster": {"worker": workers}, "task": task}) for task in tasks]


def finished(process: subprocess.Popen, seconds: float = 3600) -> str:
    """What a process said; it must end well."""
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, said[-3000:]
    return said


def difference(run: Path, other: Path, step: int = STEPS) -> dict[str, float]:
    """Largest difference of the checkpoints of two runs at a step, by stage and file."""
    found = {}
    files = sorted(run.glob(f"checkpoints/*/step-{step:08d}/*.safetensors"))
    assert files
    for path in files:
        ours, theirs = load_file(path), load_file(other / path.relative_to(run))
        assert ours.keys() == theirs.keys()
        # Beyond one relative: counts and moments are no weights.
        off = [
            np.max(
                np.abs(ours[name].astype("float64") - theirs[name])
                / np.maximum(np.abs(theirs[name].astype("float64")), 1.0),
                initial=0.0,
            )
            for name in ours
        ]
        found[re.sub(r".*checkpoints/(\w+)/.*/(.*)\.safetensors", r"\1/\2", str(path))] = max(off)
    return found


if __name__ == "__main__":
    sys.exit(entry())
