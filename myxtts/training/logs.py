"""What a training run leaves to look at: TensorBoard and a JSON history."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

HISTORY = "history.json"


class RunLog:
    """TensorBoard events and history of one stage.

    Args:
        run_dir: folder of the run.
        stage: name of the stage; prefix of everything written.
        step: step a resumed stage goes on from; later records of the history are dropped.
    """

    def __init__(self, run_dir: Path, stage: str, step: int = 0):
        self.stage = stage
        self.path = run_dir / HISTORY
        self.writer = tf.summary.create_file_writer(str(run_dir / "tensorboard" / stage))
        self.records = [
            record
            for record in read_history(run_dir)
            if record["stage"] != stage or record["step"] <= step
        ]

    def numbers(self, step: int, values: dict[str, float], kind: str) -> None:
        """Record scalars under ``kind`` (``train`` or ``validation``)."""
        self.records.append({"stage": self.stage, "kind": kind, "step": step, **values})
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(f"{self.stage}/{kind}/{name}", value)

    def pictures(self, step: int, pictures: dict[str, np.ndarray]) -> None:
        """Record matrices ``(time, channels)`` as coloured pictures, low channels below."""
        with self.writer.as_default(step=step):
            for name, matrix in pictures.items():
                tf.summary.image(f"{self.stage}/{name}", draw_matrix(matrix)[None])

    def sounds(self, step: int, sounds: dict[str, tuple[int, np.ndarray]]) -> None:
        """Record waveforms given as ``(sample rate, samples)``."""
        with self.writer.as_default(step=step):
            for name, (rate, samples) in sounds.items():
                clipped = np.clip(samples, -1, 1).astype("float32")[None, :, None]
                tf.summary.audio(f"{self.stage}/{name}", clipped, rate)

    def flush(self) -> None:
        """Bring everything to disk; the history is replaced as a whole."""
        self.writer.flush()
        fresh = self.path.with_name(f".{HISTORY}.new")
        fresh.write_text(
            "[\n" + ",\n".join(json.dumps(record) for record in self.records) + "\n]\n",
            encoding="utf-8",
        )
        fresh.replace(self.path)


def read_history(run_dir: Path) -> list[dict]:
    """Records of a run's history; none when there is no readable one."""
    try:
        return json.loads((run_dir / HISTORY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def draw_matrix(matrix: np.ndarray) -> np.ndarray:
    """RGB picture ``(height, width, 3)`` uint8 of a matrix ``(time, channels)``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(np.asarray(matrix).T, origin="lower", aspect="auto", interpolation="none")
    figure.colorbar(image, ax=axes)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
