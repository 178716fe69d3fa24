"""The GPT's steps by int8 matrices, in compiled code beside TensorFlow's graphs."""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import tensorflow as tf

from myxtts.errors import ConfigError
from myxtts.models.gpt import GPT
from myxtts.models.layer import NORM_EPSILON
from myxtts.presets.quantised import quantise

logger = logging.getLogger(__name__)

# Blocks of fewer weights lose more by waking a second thread than they win: of two cores, those of
# width 512 took 4.6 ms instead of 2.5, those of 1024 took 23 instead of 27.
LEAST_SHARED = 10_000_000
# A wait that is worth a word.
NOTED_S = 2.0
# numba's fallback for threads allows one caller at a time.
_LOCK = threading.Lock()
# OpenMP keeps threads for every caller there was, so steps that are shared have this one only.
_WORKER = concurrent.futures.ThreadPoolExecutor(1, "int8-engine")
_HANDLES = itertools.count(1)


@dataclass
class Speech:
    """What was read of one batch so far.

    Attributes:
        keys, values: float32 ``(layers, batch, heads, slots, head_dim)``.
        lengths: int64 ``(batch,)``, slots that are filled, padding left out.
    """

    keys: np.ndarray
    values: np.ndarray
    lengths: np.ndarray


class Int8Engine:
    """Reads codes for :func:`myxtts.generation.state.advance` in the place of the GPT.

    The matrices of the GPT's blocks are rounded to int8 with a scale a channel; embeddings, norms,
    biases, activations and caches are float32. TensorFlow reads the prompt, and its keys and
    values are copied once. Making an engine waits for the compiler where nothing is kept of an
    earlier compilation.

    Args:
        gpt: of the model; later changes of its weights are not seen.
        threads: that share a step; 0 for one where blocks are small, else all.

    Raises:
        ConfigError: numba is missing, or has fewer threads.
        CheckpointError: a weight is NaN or infinite.
    """

    def __init__(self, gpt: GPT, threads: int = 0):
        self.gpt = gpt
        self._kernels = load_kernels()
        self.threads = choose_threads(threads, gpt.model_dim)
        self._speeches: dict[int, Speech] = {}
        self._blocks = _blocks(self._kernels, gpt)
        self._codes = _copy(gpt.audio_embedding.embeddings)
        self._positions = _copy(gpt.audio_positions.embeddings)
        _warm_up(self._kernels)

    def take_over(self, state: dict, room: int) -> dict:
        """A state of :func:`myxtts.generation.state.begin` that :meth:`read` goes on with.

        Its caches are a handle, which :meth:`close` gives back.

        Args:
            state: with caches of the prompt; eager.
            room: codes there is to be room for.
        """
        valid = np.asarray(state["valid"])
        # Behind these lies room, which the engine has of its own.
        filled = valid.shape[1] - int(state["capacity"]) + int(state["step"])
        valid = valid[:, :filled]
        lengths = valid.sum(axis=1)
        (batch, heads, _, size), slots = state["caches"][0][0].shape, lengths.max() + room
        # Pages of the system that nothing is written to take no memory.
        shape = (len(state["caches"]), batch, heads, slots, size)
        keys, values = np.empty(shape, "float32"), np.empty(shape, "float32")
        for layer, pair in enumerate(state["caches"]):
            for own, theirs in zip((keys, values), map(np.asarray, pair), strict=True):
                for item, length in enumerate(lengths):
                    own[layer, item, :, :length] = theirs[item, :, :filled][:, valid[item]]
        handle = next(_HANDLES)
        self._speeches[handle] = Speech(keys, values, lengths.astype("int64"))
        kept = {name: state[name] for name in ("step", "latent", "latents", "finished", "seen")}
        return kept | {"caches": tf.constant(handle, "int64")}

    def close(self, state: dict) -> None:
        """Let go of what was read for a state of :meth:`take_over`."""
        self._speeches.pop(int(state["caches"]), None)

    def read(self, codes, step, caches) -> tuple:
        """As :func:`myxtts.generation.state.read_code`, inside a graph that XLA doesn't compile."""
        latents = tf.numpy_function(self._read, [caches, codes, step], tf.float32)
        latents = tf.ensure_shape(latents, (codes.shape[0], 1, self.gpt.model_dim))
        return tf.cast(latents, self.gpt.compute_dtype), caches

    def _read(self, handle, codes, step) -> np.ndarray:
        hidden = self._codes[codes] + self._positions[step + 1]
        speech = self._speeches[int(handle)]
        # The compiled code would write behind the end.
        if speech.lengths.max() >= speech.keys.shape[3]:
            raise IndexError(f"there is no room behind {speech.lengths.max()} slots")
        step = hidden, speech.lengths, self._blocks, speech.keys, speech.values
        locked(self.threads, self._kernels.step, *step)
        return hidden[:, None]


def locked(threads: int, function: Callable, *arguments):
    """What a function makes that calls compiled code with so many threads; one call at a time."""
    if threads == 1:
        return _locked(threads, function, *arguments)
    return _WORKER.submit(_locked, threads, function, *arguments).result()


def load_kernels() -> ModuleType:
    """The compiled functions.

    Raises:
        ConfigError: numba is missing or does not work.
    """
    # Threads that wait for one another shall not keep a core from others. It is read once.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        from myxtts.inference import int8_kernels
    except ImportError as error:
        raise ConfigError(
            f"the int8 engine needs numba ({error}): pip install '.[int8]', or speak with "
            "--engine tensorflow."
        ) from error
    return int8_kernels


def choose_threads(wanted: int, model_dim: int) -> int:
    """Threads that share a step of a GPT of this width, asked for ``wanted`` (0: what pays).

    Raises:
        ConfigError: numba has fewer.
    """
    import numba

    most = numba.config.NUMBA_NUM_THREADS
    if wanted > most:
        raise ConfigError(
            f"--threads {wanted} is more than numba's {most} here (NUMBA_NUM_THREADS sets them)."
        )
    return wanted or (most if 12 * model_dim**2 >= LEAST_SHARED else 1)


def _warm_up(kernels: ModuleType) -> None:
    warm_up("the int8 engine", kernels.step, kernels.step, *_smallest(kernels))


def warm_up(name: str, kept_by: Callable, function: Callable, *arguments) -> None:
    """Have a function compiled, or read from where it is kept, and say so if that takes long.

    Args:
        name: of what is compiled.
        kept_by: a compiled function whose file lies where all do.
    """
    started = time.perf_counter()
    future = _WORKER.submit(_locked, None, function, *arguments)
    if concurrent.futures.wait([future], NOTED_S).not_done:
        logger.info("compiling %s for this processor, once after an installation ...", name)
    future.result()
    # What comes from the disk is read in less than that.
    if (seconds := time.perf_counter() - started) > NOTED_S:
        logger.info("compiled in %.0f s; kept in %s", seconds, kept_by.stats.cache_path)


def _locked(threads: int | None, function: Callable, *arguments):
    import numba

    with _LOCK:
        if threads:
            numba.set_num_threads(threads)
        return function(*arguments)


def _smallest(kernels: ModuleType) -> tuple:
    """Arguments of a step, of the types that all have."""
    dim, ones = 8, lambda *shape: np.ones(shape, "float32")

    def matrix(outputs: int, inputs: int):
        weights = np.ones((1, outputs, inputs), "int8")
        return kernels.Matrix(weights, ones(1, outputs), ones(1, outputs))

    matrices = matrix(3 * dim, dim), matrix(dim, dim), matrix(4 * dim, dim), matrix(dim, 4 * dim)
    norms = [kernels.Norm(ones(rows, dim), ones(rows, dim)) for rows in (1, 1, 2)]
    blocks = kernels.Blocks(*matrices, *norms, ones(1))
    return ones(1, dim), np.zeros(1, "int64"), blocks, ones(1, 1, 2, 1, 4), ones(1, 1, 2, 1, 4)


def _blocks(kernels: ModuleType, gpt: GPT):
    """Weights of a GPT as a step wants them."""
    matrices = [
        _matrix(kernels, layers)
        for layers in zip(*(block.projections for block in gpt.blocks), strict=True)
    ]
    norms = [
        _norm(kernels, layers)
        for layers in (
            [block.ln_1 for block in gpt.blocks],
            [block.ln_2 for block in gpt.blocks],
            [gpt.ln_f, gpt.final_norm],
        )
    ]
    return kernels.Blocks(*matrices, *norms, np.array([NORM_EPSILON], "float32"))


def _matrix(kernels: ModuleType, layers):
    """The quantised kernels of one projection of all blocks; those of a quantised preset exactly.

    They lie (outputs, inputs): their rows are read one after the other.
    """
    inputs, outputs = layers[0].kernel.shape
    weights = np.empty((len(layers), outputs, inputs), "int8")
    scales = np.empty((len(layers), outputs), "float32")
    for number, layer in enumerate(layers):
        integers, scales[number] = quantise(layer.kernel)
        weights[number] = integers.T
    return kernels.Matrix(weights, scales, np.stack([_copy(layer.bias) for layer in layers]))


def _norm(kernels: ModuleType, layers):
    return kernels.Norm(*(np.stack([_copy(getattr(x, n)) for x in layers]) for n in _NORM))


_NORM = ("gamma", "beta")


def _copy(variable) -> np.ndarray:
    """A float32 array of its own: numba compiles anew for those that must not be written."""
    return np.array(variable, "float32", order="C")
