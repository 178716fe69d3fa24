"""Processes and devices that train as one: who they are, and what they tell each other.

Every replica is a whole copy of what is trained, on a device of its own, and makes the same steps
by the gradient of the whole batch. The first replica of the first process is the chief's: it alone
validates, and its process alone writes. Behind each validation all take over its state.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from myxtts import replicas
from myxtts.data.batches import Share
from myxtts.errors import ClusterError
from myxtts.training.replica import Collective

logger = logging.getLogger(__name__)

# Of the run folder, what the processes that do not write in it begin with.
NOT_TAKEN = ("tensorboard", "plots")
# Numbers that are told at once, outside of steps.
SPOKEN = 1024
GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
    tf.errors.DeadlineExceededError,
)


class Alone:
    """A process with one device, which asks nobody.

    Attributes:
        chief: whether this process writes, and its first replica validates.
        count: replicas of all processes.
        devices: names of the devices of this process's replicas.
    """

    chief = True
    count = 1
    devices: Sequence[str] = ("",)

    def share(self, by_row: bool) -> Share | None:
        """Which rows of a batch this process builds; None: all."""
        return None

    def compile(self, tasks: list, spec: dict, xla: bool, padding: Mapping, asked: Callable):
        """The training step, a function of a batch.

        Args:
            tasks: of the replicas of this process.
            spec: of its batches.
            xla: whether the step is compiled by XLA, for each size of a batch.
            padding: what the arrays of batches are padded with, 0 where it does not say.
            asked: tells whether this process is asked to end the training.
        """
        signature = None if xla else [spec]
        return tf.function(
            tasks[0].train_step, input_signature=signature, jit_compile=xla, autograph=False
        )

    def stopping(self, asked: bool) -> bool:
        """Whether any process was asked to end the training before the last step."""
        return asked

    def of_chief(self, value: Any) -> Any:
        """What the chief calls with, plain values, in all processes."""
        return value

    def texts(self, text: str) -> list[str]:
        """What each process calls with, in their order."""
        return [text]

    def sharer(self, copies: Callable[[], list[list]]) -> Callable[[], None]:
        """Function that gives the variables of all replicas the values of the chief's.

        Args:
            copies: tells the variables of each replica of this process, in one order.
        """
        return lambda: None

    def barrier(self) -> None:
        """Wait for all processes."""

    @contextmanager
    def chief_first(self) -> Iterator[None]:
        """Let the chief be done with the body before the others begin it."""
        if not self.chief:
            self.barrier()
        yield
        if self.chief:
            self.barrier()

    def agree(self, facts: Mapping[str, Any]) -> None:
        """See that all processes have the same facts.

        Raises:
            ClusterError: they have not; the sentence names one fact and two processes.
        """
        everybody = [json.loads(text) for text in self.texts(json.dumps(dict(facts)))]
        for number, others in enumerate(everybody):
            for name in sorted(everybody[0].keys() | others.keys()):
                first, other = everybody[0].get(name), others.get(name)
                if first != other:
                    raise ClusterError(
                        f"the workers of a training must have the same {name}: worker 0 has "
                        f"{first}, worker {number} has {other}."
                    )

    @contextmanager
    def joined(self) -> Iterator[None]:
        """What a training does; an end of another process is told in one sentence.

        Raises:
            ClusterError: a worker has gone.
        """
        yield


class Cluster(Alone):
    """Several replicas.

    Args:
        devices: names of those of this process's replicas.
        index: number of this process; 0 is the chief.
        processes: how many there are, all with as many devices.
        strategy: of ``tf.distribute``, which keeps the processes connected; None within one.
    """

    def __init__(self, devices: Sequence[str], index: int, processes: int, strategy: Any = None):
        self.devices, self.index, self.processes = list(devices), index, processes
        self.strategy, self.chief = strategy, not index
        self.count = processes * len(self.devices)
        self._next, self._told, self._tokens = 1, None, []
        for device in self.devices:
            with tf.device(device):
                self._tokens.append(tf.Variable(0.0, trainable=False))
        self._sum = self._graph(self._summed, [tf.TensorSpec([SPOKEN], "float64")])

    def share(self, by_row: bool) -> Share:
        return Share(self.index, self.processes, by_row)

    def compile(self, tasks: list, spec: dict, xla: bool, padding: Mapping, asked: Callable):
        signature = [spec, tf.TensorSpec([], "int32")]

        def step(batch: dict, stopping) -> tuple[dict, tf.Tensor]:
            parts = iter(_parts(batch, len(tasks)))

            def one(replica: Collective, task):
                part, told = replica.begin(next(parts), padding, stopping)
                return task.train_step(part), told

            return self._each(one, tasks)[0]

        compiled = self._graph(step, signature)

        def run(batch: dict) -> dict:
            numbers, self._told = compiled(batch, tf.constant(int(asked()), "int32"))
            return numbers

        return run

    def stopping(self, asked: bool) -> bool:
        return bool(self._told)

    def of_chief(self, value: Any) -> Any:
        return json.loads(self.texts(json.dumps(value) if self.chief else "")[0])

    def texts(self, text: str) -> list[str]:
        own = list(text.encode("utf-8"))
        sizes = np.zeros(self.processes)
        sizes[self.index] = len(own)
        sizes = self._total(sizes).astype("int64")
        table = np.zeros((self.processes, sizes.max()))
        table[self.index, : len(own)] = own
        table = self._total(table.reshape(-1)).reshape(table.shape).astype("uint8")
        return [
            row[:size].tobytes().decode("utf-8") for row, size in zip(table, sizes, strict=True)
        ]

    def sharer(self, copies: Callable[[], list[list]]) -> Callable[[], None]:
        def one(replica: Collective, variables: list) -> tf.Tensor:
            for variable in variables:
                variable.assign(replica.of_first(variable.value))
            return tf.constant(0)

        return self._graph(lambda: self._each(one, copies()), [])

    def barrier(self) -> None:
        self._total(np.zeros(1))

    @contextmanager
    def joined(self) -> Iterator[None]:
        # Of a device that is not named, TensorFlow would take another process's for as good.
        here = tf.DeviceSpec.from_string(self.devices[0])
        here = tf.DeviceSpec(job=here.job, replica=here.replica, task=here.task)
        try:
            with tf.device(here.to_string() if self.processes > 1 else None):
                yield
        except GONE as error:
            if self.processes == 1:
                raise
            raise ClusterError(
                "another worker of this training has ended, or cannot be reached any more; start "
                "all of them again with --resume, which goes on from the last checkpoint."
            ) from error

    def _total(self, vector: np.ndarray) -> np.ndarray:
        """Sum of a vector over the processes."""
        told = np.zeros(-(-len(vector) // SPOKEN) * SPOKEN)
        told[: len(vector)] = vector
        parts = [self._sum(part).numpy() for part in told.reshape(-1, SPOKEN)]
        return np.concatenate([np.zeros(0), *parts])[: len(vector)]

    def _graph(self, function: Callable, signature: list) -> Callable:
        return tf.function(function, input_signature=signature, autograph=False)

    def _summed(self, vector):
        def one(replica: Collective, value):
            return replica.total(value)

        others = [tf.zeros_like(vector)] * (len(self.devices) - 1)
        return self._each(one, [vector, *others])[0]

    def _each(self, function: Callable, arguments: list) -> list:
        """Results of ``function(replica, argument)`` of every replica of this process."""
        first, results = self._next, []
        for place, (device, argument) in enumerate(zip(self.devices, arguments, strict=True)):
            rank = self.index * len(self.devices) + place
            replica = Collective(rank, self.count, first, self._tokens[place])
            with tf.device(device), replicas.computing(replica):
                results.append(function(replica, argument))
            self._next = replica.next
        return results


@contextmanager
def passing_folder() -> Iterator[Path]:
    """A folder for what need not stay."""
    with tempfile.TemporaryDirectory(prefix="myxtts-worker-") as name:
        yield Path(name)


def take(run_dir: Path, own: Path) -> None:
    """Let ``own`` have what is in a run's folder, for whoever does not write there."""
    for path in run_dir.iterdir() if run_dir.is_dir() else ():
        if path.name in NOT_TAKEN or path.name.startswith("."):
            continue
        if path.is_dir():
            (own / path.name).symlink_to(path.resolve(), target_is_directory=True)
        else:
            shutil.copy2(path, own / path.name)


def everything(model: Any) -> list:
    """Variables of a model, or of the models that a model is made of."""
    if isinstance(model, keras.layers.Layer):
        return list(model.variables)
    parts = [value for _, value in sorted(vars(model).items(), key=lambda item: item[0])]
    return [var for part in parts if isinstance(part, keras.layers.Layer) for var in part.variables]


def _parts(batch: dict, count: int) -> list[dict]:
    """A batch cut by rows into so many even parts."""
    rows = tf.shape(next(value for value in batch.values() if value.shape.rank))[0]
    cuts = [rows * number // count for number in range(count + 1)]
    return [
        {name: v[begin:end] if v.shape.rank else v for name, v in batch.items()}
        for begin, end in zip(cuts[:-1], cuts[1:], strict=True)
    ]
