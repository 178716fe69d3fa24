"""What a training run leaves to look at: TensorBoard and a JSON history."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from myxtts.digests import check_beside, hashed_beside
from myxtts.errors import CheckpointError
from myxtts.files import sweep, write_whole
from myxtts.plots import draw_matrix
from myxtts.trackers import Trackers
from myxtts.training.checkpoints import kept_history

logger = logging.getLogger(__name__)

HISTORY = "history.json"


class RunLog:
    """TensorBoard events and history of one stage.

    Args:
        run_dir: folder of the run.
        stage: name of the stage; prefix of everything written.
        step: step a resumed stage goes on from; later records of the history are dropped,
            and at 0 all of this stage.
        records: of this stage up to ``step``, as its checkpoint has them; None takes those of
            the history file, or where that is damaged or gone those of all checkpoints.
        trackers: that are told all numbers too.

    Raises:
        CheckpointError: the folder cannot be written to; so does :meth:`flush`.
    """

    def __init__(
        self,
        run_dir: Path,
        stage: str,
        step: int = 0,
        records: Sequence[dict] | None = None,
        trackers: Trackers | None = None,
    ):
        self.stage = stage
        self.trackers = trackers or Trackers()
        self.path = run_dir / HISTORY
        with self._writing():
            sweep(run_dir)
            self.writer = tf.summary.create_file_writer(str(run_dir / "tensorboard" / stage))
        self.records = [
            record
            for record in read_history(run_dir)
            if record["stage"] != stage or 0 < step >= record["step"]
        ]
        if step and records is not None:
            self._replace_own(list(records))

    def own(self) -> list[dict]:
        """Records of this stage."""
        return [record for record in self.records if record["stage"] == self.stage]

    def numbers(self, step: int, values: dict[str, float], kind: str) -> None:
        """Record scalars under ``kind`` (``train`` or ``validation``)."""
        self.records.append({"stage": self.stage, "kind": kind, "step": step, **values})
        self.times(step, values, kind)

    def times(self, step: int, values: dict[str, float], kind: str) -> None:
        """The same without a record: what no run repeats has no place in the history."""
        self.trackers.tell(step, {f"{self.stage}/{kind}/{name}": values[name] for name in values})
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(f"{self.stage}/{kind}/{name}", value)

    def pictures(self, step: int, pictures: dict[str, np.ndarray]) -> None:
        """Record matrices ``(time, channels)`` as coloured pictures, low channels below.

        What is ``(height, width, 3)`` uint8 is a picture already.
        """
        with self.writer.as_default(step=step):
            for name, matrix in pictures.items():
                picture = draw_matrix(matrix) if np.ndim(matrix) == 2 else matrix
                tf.summary.image(f"{self.stage}/{name}", picture[None])

    def points(self, name: str, vectors: np.ndarray, labels: Sequence[str]) -> None:
        """Keep vectors ``(points, dim)``, in the place of the last, for TensorBoard's projector."""
        folder = self.path.parent / "tensorboard" / self.stage
        for file, text in projector_files(name, vectors, labels).items():
            write_whole(folder / file, text, durable=False)

    def sounds(self, step: int, sounds: dict[str, tuple[int, np.ndarray]]) -> None:
        """Record waveforms given as ``(sample rate, samples)``."""
        with self.writer.as_default(step=step):
            for name, (rate, samples) in sounds.items():
                clipped = np.clip(samples, -1, 1).astype("float32")[None, :, None]
                tf.summary.audio(f"{self.stage}/{name}", clipped, rate)

    def flush(self) -> None:
        """Write everything; the history is replaced as a whole, and can be from checkpoints."""
        text = "[\n" + ",\n".join(json.dumps(record) for record in self.records) + "\n]\n"
        with self._writing():
            self.writer.flush()
        with hashed_beside(self.path, durable=False):
            write_whole(self.path, text, durable=False)

    def _replace_own(self, records: list[dict]) -> None:
        """Take these in the place of this stage's: the file may be damaged, or a step behind."""
        places = [place for place, item in enumerate(self.records) if item["stage"] == self.stage]
        first = places[0] if places else len(self.records)
        others = [item for item in self.records[first:] if item["stage"] != self.stage]
        self.records = self.records[:first] + records + others

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            reason = getattr(error, "message", error)
            raise CheckpointError(f"cannot write logs to {self.path.parent}: {reason}.") from error


def projector_files(name: str, vectors: np.ndarray, labels: Sequence[str]) -> dict[str, str]:
    """Texts, by file, that TensorBoard's projector reads in a log folder.

    Args:
        name: of the points.
        vectors: ``(points, dim)``.
        labels: one a point; blanks stand for tabs and line ends.
    """
    rows = ("\t".join(f"{value:.7g}" for value in row) for row in vectors)
    named = {"tensor_name": name, "tensor_path": "tensors.tsv", "metadata_path": "metadata.tsv"}
    fields = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in named.items())
    return {
        "tensors.tsv": "".join(f"{row}\n" for row in rows),
        "metadata.tsv": "".join(f"{' '.join(label.split())}\n" for label in labels),
        "projector_config.pbtxt": f"embeddings {{\n{fields}}}\n",
    }


def read_history(run_dir: Path) -> list[dict]:
    """Records of a run's history; where its file is damaged or gone, those of the checkpoints.

    The log then says so.

    Raises:
        CheckpointError: it cannot be read for a reason outside of it.
    """
    path = run_dir / HISTORY
    if not path.exists():
        return kept_history(run_dir)
    try:
        check_beside(path)
        return _known(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}.") from error
    except (CheckpointError, ValueError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error.__cause__, OSError):
            raise
        hashed = isinstance(error, CheckpointError)
        reason = str(error) if hashed else f"{path} is damaged ({error})."
        logger.warning("%s Its records are taken from the checkpoints instead.", reason)
        return kept_history(run_dir)


def _known(records: list) -> list[dict]:
    """Those that have a stage, a kind and a step."""
    return [
        record
        for record in records
        if {"stage", "kind"} <= record.keys() and isinstance(record.get("step"), int)
    ]
