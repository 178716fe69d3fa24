"""What a training leaves: voices, sentences in them, artifacts, and a report with its picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from myxtts.audio.io import write_audio
from myxtts.digests import SUMS, write_sums
from myxtts.errors import ConfigError, DataError
from myxtts.files import writable_folder, write_whole
from myxtts.plots import new_figure, save_figure
from myxtts.settings import to_dict
from tools.kokoro.backends.interface import SAMPLE_RATE, Backend, speak
from tools.kokoro.phonemes import phonemize
from tools.kokoro.resuming import write_state
from tools.kokoro.voices import save_voice
from tools.styletts2_kokoro.config import TrainingConfig
from tools.styletts2_kokoro.dataset import Speaker
from tools.styletts2_kokoro.projection import Projection

# Spoken by every voice; of the authors' own making, short, middling and long.
SENTENCES = (
    "Hello, this is how I sound.",
    "The last bus had gone, so they walked home along the canal and talked about the summer.",
    "Could you read the third page again, a little more slowly this time, and tell me what the "
    "writer meant when she said that every garden needs one door that nobody ever opens?",
)
_ODD = re.compile(r"[^\w.-]+")
NOTE = (
    "Make voices only of people who agreed to it, and tell listeners that the speech is synthetic."
)


def check_name(name: str) -> None:
    """Refuse what no file can be called.

    Raises:
        ConfigError: it is empty, or holds more than letters, digits, ``.``, ``-`` and ``_``.
    """
    if not name or _ODD.search(name) or name.startswith("."):
        raise ConfigError(f"--name {name!r}: letters, digits, '.', '-' and '_' are wanted.")


def voice_names(name: str, speakers: Sequence[str]) -> list[str]:
    """What the voice of each speaker is called: ``NAME``, or ``NAME-SPEAKER`` of several.

    Raises:
        DataError: two speakers would have the same.
    """
    if len(speakers) == 1:
        return [name]
    names = [f"{name}-{_ODD.sub('_', speaker) or 'unnamed'}" for speaker in speakers]
    if len(set(names)) < len(names):
        raise DataError(f"of the speakers {', '.join(speakers)} two have the same name in files.")
    return names


def write_voice(
    out: Path, name: str, voice: np.ndarray, backend: Backend, texts: Sequence[str]
) -> Path:
    """``OUT/NAME/NAME.pt`` and its test sentences; the voice's path.

    Args:
        out: folder of all voices.
        name: of this one.
        voice: ``(510, 1, 256)``.
        backend: who speaks.
        texts: phonemes of the test sentences.
    """
    folder = writable_folder(out / name)
    path = folder / f"{name}.pt"
    # First, so that a killed process leaves no voice with another's hash.
    (folder / SUMS).unlink(missing_ok=True)
    save_voice(path, voice)
    write_sums(folder, [path.name])
    for number, phonemes in enumerate(texts, 1):
        write_audio(
            folder / f"{name}_test_{number}.wav", speak(backend, voice, phonemes), SAMPLE_RATE
        )
    return path


def sentence_phonemes(speakers: Sequence[Speaker], language: str) -> list[str]:
    """Of the test sentences; in languages other than English, of the speakers' own texts."""
    if language.startswith("en"):
        return [phonemize(text, language) for text in SENTENCES]
    own = [clip.phonemes for one in speakers for clip in (*one.validation, *one.train)]
    return list(dict.fromkeys(filter(None, own)))[: len(SENTENCES)]


def write_artifacts(
    path: Path,
    config: TrainingConfig,
    projection: Projection,
    styles: Mapping[str, np.ndarray],
    scores: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Plain tensors, numbers and words: settings, map, styles, scores, and where all is from."""
    trained = projection.as_map()
    arrays = {name: getattr(trained, name) for name in ("weights", "background", "gain")}
    points = {name: projection.coordinates(style) for name, style in styles.items()}
    write_state(
        path,
        {
            "settings": to_dict(config),
            "map": {"hearing": trained.hearing, **_tensors(arrays)},
            "styles": _tensors(styles),
            "coordinates": _tensors(points),
            "scores": dict(scores),
            "provenance": dict(provenance),
        },
    )


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array, "float32")) for name, array in arrays.items()}


def draw_scores(path: Path, history: Sequence[Mapping[str, float]], best: int) -> None:
    """Draw the losses and what the judges say over the epochs."""
    figure, (left, right) = new_figure(1, 2)
    for axes, names in ((left, ("mel", "cosine")), (right, judged(history))):
        for name in names:
            rows = [row for row in history if name in row]
            axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], label=name)
        axes.set(xlabel="epoch")
        axes.grid(color="0.9")
        axes.legend()
    left.set(ylabel="training loss")
    right.set(ylabel="cosine to the validation clips")
    right.axvline(best, color="0.5", linestyle=":")
    save_figure(figure, path)


def judged(history: Sequence[Mapping[str, float]]) -> list[str]:
    """Names of the judges' scores, their mean last."""
    return [name for name in history[0] if name != "epoch"]


def write_report(path: Path, picture: Path, result: Mapping[str, Any], scores: Mapping) -> None:
    """The report, in Markdown.

    Args:
        path: of the file.
        picture: of the scores.
        result: of the run.
        scores: its history, and the judges' of each speaker before and after.
    """
    history = scores["history"]
    names = ["mel", "cosine", *judged(history)]
    lines = [f"# {path.stem}", "", verdict(result), "", f"![scores]({picture.name})", ""]
    lines += _table(("speaker", "clips", "judging", "epoch", *judged(history)[:-1]), _rows(scores))
    lines += ["", "Of each epoch, the training's losses and the judges' cosines:", ""]
    rows = [[row["epoch"], *(row.get(name) for name in names)] for row in history]
    lines += _table(("epoch", *names), rows)
    lines += ["", f"{result['heard_by']} heard, {result['trained_by']} was trained by.", "", NOTE]
    write_whole(path, "\n".join(lines) + "\n")


def verdict(result: Mapping[str, Any]) -> str:
    """What was written, in a sentence."""
    if result["best_epoch"]:
        return (
            f"Epoch {result['best_epoch']} of {result['epochs']} is written: likeness "
            f"{result['likeness_best']:.4f}, before training {result['likeness_start']:.4f}."
        )
    if result["epochs"]:
        return (
            f"None of {result['epochs']} epochs was better on the validation clips than epoch 0: "
            f"the map as it comes is written, likeness {result['likeness_start']:.4f}."
        )
    return f"Nothing was trained: the map as it comes, likeness {result['likeness_start']:.4f}."


def _rows(scores: Mapping) -> list[list]:
    return [
        [row["speaker"] or "-", row["clips"], row["judging"], epoch, *row[epoch].values()]
        for row in scores["speakers"]
        for epoch in ("start", "best")
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(_shown, line)) + " |" for line in lines]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
