"""The sides of benchmarks/serving.py, each to be run in a process of its own.

The served sides import no TensorFlow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measuring import resident_mb, timed
from benchmarks.upstream.drawn import sound

REFERENCE = sound(4.0)
PENALTY = 2.0

Speak = Callable[[str], int]


def served(folder: Path, warms: bool = False) -> Speak:
    """An export in TensorFlow's C library, as in TensorFlow Serving."""
    from myxtts.serving.check.session import CSession, read_extra
    from myxtts.serving.warmup import warmup_requests

    session = CSession(folder)
    if warms:
        for signature, inputs in warmup_requests(session.signatures, read_extra(folder, "serving")):
            session.run(signature, inputs)
    lengths = np.array([len(REFERENCE)], "int32")
    voice = session.run("condition", {"audio": REFERENCE[None], "lengths": lengths})
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


def python(folder: Path, xla: bool = False) -> Speak:
    """A preset in Python, its graphs traced; compiled with ``jit_compile`` if wanted."""
    from myxtts.config import SynthesisConfig
    from myxtts.inference.synthesizer import Synthesizer
    from myxtts.models.xtts import XTTS

    settings = SynthesisConfig(
        temperature=0.0, repetition_penalty=PENALTY, retries=0, vocoder="hifi", xla=xla
    )
    synthesizer = Synthesizer(XTTS.from_preset(folder), settings)
    voice = synthesizer.condition([REFERENCE])
    return lambda text: len(synthesizer.speak(text, voice).waveform)


def eager(folder: Path) -> Speak:
    """The functions of an export run operation by operation in Python."""
    import tensorflow as tf

    from myxtts.models.xtts import XTTS
    from myxtts.serving.signatures import ServingModule

    module = ServingModule(XTTS.from_preset(folder), "hifi")
    audio = tf.constant(REFERENCE[None])
    voice = module.condition(audio, tf.shape(audio)[1:])
    options = {name: tf.constant(value) for name, value in greedy().items()}
    tf.config.run_functions_eagerly(True)

    def speak(text: str) -> int:
        told = module.synthesize(tf.constant([text]), tf.constant(["en"]), **voice, **options)
        return int(told["samples"][0])

    return speak


SIDES: dict[str, Callable[[Path], Speak]] = {
    "served": served,
    "served, warmed up": functools.partial(served, warms=True),
    "python": python,
    "jit_compile": functools.partial(python, xla=True),
    "eager": eager,
}
# What reads an export rather than a preset.
EXPORTED = ("served", "served, warmed up")


@functools.cache
def opened(role: str, folder: Path) -> Speak:
    """The one side of this process."""
    return SIDES[role](folder)


def answer(role: str, folder: Path, text: str) -> dict[str, float]:
    """Seconds, samples and megabytes of one request."""
    taken, samples = timed(opened(role, folder), text)
    return {"seconds": taken, "samples": samples, "memory": resident_mb()}
