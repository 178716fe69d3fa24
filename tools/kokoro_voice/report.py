"""What a fit leaves to look at: the picture of its history, and its result in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from myxtts.plots import new_figure, save_figure

# Result keys that a person is told, with the words for them.
_LINES = (
    ("voice", "voice"),
    ("similarity_start", "similarity at the start"),
    ("similarity_best", "similarity of the best voice"),
    ("best_iteration", "found in iteration"),
    ("iterations", "iterations"),
    ("syntheses", "syntheses"),
    ("seconds", "seconds"),
    ("stopped", "stopped by"),
    ("embedder", "judged by"),
    ("backend", "spoken by"),
    ("output_dir", "files in"),
)


def draw_history(path: Path, history: Mapping[str, Sequence]) -> None:
    """Draw loss and similarity over the iterations."""
    figure, (left, right) = new_figure(1, 2)
    for axes, name in ((left, "loss"), (right, "similarity")):
        axes.plot(
            history["iteration"], history[name], marker="." if len(history[name]) < 60 else ""
        )
        axes.set(xlabel="iteration", ylabel=name)
        axes.grid(color="0.9")
    save_figure(figure, path)


def summary(result: Mapping[str, Any]) -> str:
    """A fit's result in aligned lines."""
    rows = [(words, result[key]) for key, words in _LINES]
    width = max(len(words) for words, _ in rows)
    return "\n".join(f"{words:{width}}  {value}" for words, value in rows)
