"""The sides of benchmarks/serving.py, each a process that speaks what it is told.

Run as ``python serving_sides.py ROLE FOLDER``: every line of its input is a text, and every
line of its output what speaking it took, as JSON. The served sides import no TensorFlow.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

RATE = 22_050
REFERENCE_SECONDS = 4
PENALTY = 2.0
MEGABYTE = 2**20


def reference() -> np.ndarray:
    """A hum ``(samples,)`` whose loudness comes and goes like speech's."""
    times = np.arange(REFERENCE_SECONDS * RATE) / RATE
    swell = 0.3 + 0.2 * np.sin(2 * np.pi * 3 * times)
    return (swell * np.sin(2 * np.pi * 140 * times)).astype("float32")


def served(folder: Path, warms: bool = False) -> Callable[[str], int]:
    """An export in TensorFlow's C library, as in TensorFlow Serving."""
    from myxtts.serving.check.session import CSession, read_extra
    from myxtts.serving.warmup import warmup_requests

    session = CSession(folder)
    if warms:
        for signature, inputs in warmup_requests(session.signatures, read_extra(folder, "serving")):
            session.run(signature, inputs)
    audio = reference()[None]
    lengths = np.array([audio.shape[1]], "int32")
    voice = session.run("condition", {"audio": audio, "lengths": lengths})
    request = voice | greedy() | {"language": np.array(["en"], object)}

    def speak(text: str) -> int:
        found = session.run("serving_default", request | {"text": np.array([text], object)})
        return int(found["samples"][0])

    return speak


def greedy() -> dict[str, np.ndarray]:
    """Options of a request of one row, whose speech is the same on every side."""
    kinds = {"temperature": "float32", "top_k": "int32", "top_p": "float32", "seed": "int64"}
    values = {name: np.array([name == "top_p"], kind) for name, kind in kinds.items()}
    return values | {"repetition_penalty": np.array([PENALTY], "float32")}


def python(folder: Path, xla: bool = False) -> Callable[[str], int]:
    """A preset in Python, its graphs traced; compiled with ``jit_compile`` if wanted."""
    from myxtts.config import SynthesisConfig
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.models.xtts import XTTS

    settings = SynthesisConfig(
        temperature=0.0, repetition_penalty=PENALTY, retries=0, vocoder="hifi", xla=xla
    )
    synthesizer = Synthesizer(XTTS.from_preset(folder), settings)
    voice = synthesizer.condition([reference()])
    return lambda text: len(synthesizer.speak(text, voice).waveform)


def eager(folder: Path) -> Callable[[str], int]:
    """The functions of an export run operation by operation in Python."""
    import tensorflow as tf

    from myxtts.models.xtts import XTTS
    from myxtts.serving.signatures import ServingModule

    module = ServingModule(XTTS.from_preset(folder), "hifi")
    audio = tf.constant(reference()[None])
    voice = module.condition(audio, tf.shape(audio)[1:])
    options = {name: tf.constant(value) for name, value in greedy().items()}
    tf.config.run_functions_eagerly(True)

    def speak(text: str) -> int:
        told = module.synthesize(tf.constant([text]), tf.constant(["en"]), **voice, **options)
        return int(told["samples"][0])

    return speak


SIDES: dict[str, Callable[[Path], Callable[[str], int]]] = {
    "served": served,
    "served, warmed up": lambda folder: served(folder, warms=True),
    "python": python,
    "jit_compile": lambda folder: python(folder, xla=True),
    "eager": eager,
}
# What reads an export rather than a preset.
EXPORTED = ("served", "served, warmed up")


def resident() -> float:
    """Megabytes of this process in memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return round(int(pages) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE, 1)


def main(role: str, folder: str) -> None:
    start = time.perf_counter()
    speak = SIDES[role](Path(folder))
    print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        samples = speak(line.strip())
        taken = time.perf_counter() - start
        answer = {"seconds": taken, "samples": samples, "memory": resident()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
