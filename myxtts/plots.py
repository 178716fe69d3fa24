"""Pictures without a display: figures, PNG files and matrices as images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from myxtts.errors import CheckpointError, MyXTTSError
from myxtts.files import replacing


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None) -> tuple:
    """A figure and its axes, one or an array of them as ``Figure.subplots`` gives.

    Args:
        rows, columns: of axes.
        size: of the figure, in inches; 5.5 by 4.5 for each axes when None.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size or (5.5 * columns, 4.5 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def save_figure(figure: Any, path: str | Path, error: type[MyXTTSError] = CheckpointError) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path, error) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def show_matrix(axes: Any, matrix: np.ndarray, seconds: float | None = None) -> Any:
    """Draw ``(time, channels)`` on axes, low channels below; ``seconds`` is what it lasts."""
    length, channels = np.shape(matrix)
    extent = None if seconds is None else (0, seconds, 0, channels)
    shown = {"origin": "lower", "aspect": "auto", "interpolation": "none", "extent": extent}
    return axes.imshow(np.asarray(matrix).T, **shown)


def draw_matrix(matrix: np.ndarray) -> np.ndarray:
    """RGB picture ``(height, width, 3)`` uint8 of a matrix ``(time, channels)``."""
    figure, axes = new_figure(size=(8, 3))
    figure.colorbar(show_matrix(axes, matrix), ax=axes)
    return _rgb(figure)


def draw_points(places: np.ndarray, kinds: np.ndarray, title: str) -> np.ndarray:
    """RGB picture ``(height, width, 3)`` uint8 of points ``(points, 2)``, a colour a kind."""
    figure, axes = new_figure(size=(6, 6))
    # Ten colours, and then the same with another mark.
    for number, kind in enumerate(np.unique(kinds)):
        look = {"color": f"C{number % 10}", "marker": "os^Dv"[number // 10 % 5]}
        axes.scatter(*places[kinds == kind].T, s=18, **look)
    axes.set(xticks=[], yticks=[], title=title)
    return _rgb(figure)


def _rgb(figure: Any) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]
