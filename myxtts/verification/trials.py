"""Trials of speaker verification, the errors of scores on them and their picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_curve

from myxtts.errors import DataError
from myxtts.plots import new_figure, save_figure

# A target is as rare as NIST's evaluations take it, and both errors cost the same.
P_TARGET = 0.01
# What scores are where nothing else is said.
COSINE = "cosine of the two embeddings"

_LABELS = {"0": False, "1": True, "nontarget": False, "target": True}
# A text in double quotes, or a word.
_WORDS = re.compile(r'"([^"]*)"(?=\s|$)|(\S+)')
_TICKS = (0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 80, 95)


@dataclass(frozen=True)
class Trial:
    """Two clips and whether one speaker speaks in both.

    Attributes:
        target: True for the same speaker.
        enrol: first clip, as the trial file writes it.
        test: second clip.
    """

    target: bool
    enrol: str
    test: str


def read_trials(path: str | Path) -> list[Trial]:
    """Read lines ``label enrol test``; blank lines and lines that start with ``#`` are skipped.

    The label is ``1`` or ``target`` for the same speaker, else ``0`` or ``nontarget``.
    Clips are paths relative to the folder of the file; those with blanks stand between tabs or
    in double quotes.

    Raises:
        DataError: the file cannot be read, a line is malformed, a clip is missing, or
            there are no trials of a kind.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the trials {path}: {error}.") from error
    trials = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            trials.append(_parse(line, path, number))
    for kind, wanted in (("target", True), ("non-target", False)):
        if not any(trial.target is wanted for trial in trials):
            raise DataError(f"{path} has no {kind} trials; errors of both kinds are needed.")
    return trials


def _parse(line: str, path: Path, number: int) -> Trial:
    words = _columns(line)
    if len(words) != 3 or words[0] not in _LABELS:
        raise DataError(
            f"{path}, line {number}: {line.strip()[:80]!r} is not 'label enrol test' with a label "
            f"of {', '.join(_LABELS)}; paths with blanks stand in double quotes or between tabs."
        )
    for clip in words[1:]:
        if not (path.parent / clip).is_file():
            raise DataError(f"{path}, line {number}: there is no clip {path.parent / clip}.")
    return Trial(_LABELS[words[0]], words[1], words[2])


def _columns(line: str) -> list[str]:
    """Parts of a line: between tabs where there are two or more, else words and quoted texts."""
    if line.strip().count("\t") >= 2:
        parts = (part.strip() for part in line.strip().split("\t"))
        return [part.removeprefix('"').removesuffix('"') for part in parts if part]
    return [quoted or word for quoted, word in _WORDS.findall(line)]


@dataclass(frozen=True)
class DetectionErrors:
    """How well scores tell targets from non-targets.

    Attributes:
        eer: equal error rate in percent.
        threshold: score at the equal error rate; a score that reaches it is accepted.
        min_dcf: least detection cost at ``P_TARGET``, 1 for a system that hears nothing.
        false_accepts: share of non-targets accepted, rising, ``(points,)``.
        false_rejects: share of targets rejected at the same points.
    """

    eer: float
    threshold: float
    min_dcf: float
    false_accepts: np.ndarray = field(repr=False, compare=False)
    false_rejects: np.ndarray = field(repr=False, compare=False)


def detection_errors(scores: Sequence[float], targets: Sequence[bool]) -> DetectionErrors:
    """Equal error rate and least detection cost of ``scores (trials,)``.

    The equal error rate is the mean of both rates at the measured point where they
    are closest, without interpolation: every point is a threshold that can be used.

    Args:
        scores: higher for the same speaker.
        targets: True (or 1) where it is the same speaker.

    Raises:
        DataError: lengths differ, a score is not finite, or one kind has no trials.
    """
    scores, targets = np.asarray(scores, "float64"), np.asarray(targets, bool)
    _check(scores, targets)
    accepts, hits, thresholds = roc_curve(targets, scores, drop_intermediate=False)
    rejects = 1 - hits
    # The first point accepts nothing; its threshold is infinite and of no use.
    nearest = 1 + int(np.argmin(np.abs(accepts - rejects)[1:]))
    return DetectionErrors(
        eer=float(50 * (accepts[nearest] + rejects[nearest])),
        threshold=float(thresholds[nearest]),
        min_dcf=least_cost(accepts, rejects),
        false_accepts=accepts,
        false_rejects=rejects,
    )


def least_cost(false_accepts, false_rejects, p_target: float = P_TARGET) -> float:
    """NIST's minDCF with both costs 1, divided by that of the better constant decision."""
    cost = p_target * np.asarray(false_rejects) + (1 - p_target) * np.asarray(false_accepts)
    return float(np.min(cost) / min(p_target, 1 - p_target))


def _check(scores: np.ndarray, targets: np.ndarray) -> None:
    if scores.ndim != 1 or scores.shape != targets.shape:
        raise DataError(f"{targets.size} labels do not fit scores of shape {scores.shape}.")
    if not np.isfinite(scores).all():
        raise DataError(f"score {int(np.argmin(np.isfinite(scores)))} is not finite.")
    if targets.all() or not targets.any():
        raise DataError("detection errors need target and non-target trials.")


def draw_errors(
    path: str | Path,
    scores: Sequence[float],
    targets: Sequence[bool],
    errors: DetectionErrors,
    title: str,
    kind: str = COSINE,
) -> None:
    """Write a picture: the DET curve beside the histograms of both kinds of scores.

    Args:
        path: of the PNG file.
        scores, targets, errors: as :func:`detection_errors` takes and gives them.
        title: of the picture.
        kind: what the scores are.
    """
    figure, (left, right) = new_figure(1, 2, (12, 5.5))
    _draw_det(left, errors)
    _draw_histograms(right, np.asarray(scores), np.asarray(targets, bool), errors)
    right.set_xlabel(kind)
    figure.suptitle(title)
    save_figure(figure, path)


def _draw_det(axes, errors: DetectionErrors) -> None:
    """Both error rates on normal-deviate axes, where normal scores give a straight line."""
    rates = np.stack([errors.false_accepts, errors.false_rejects])
    shown = rates.max(axis=1) > 0
    smallest = min([rate[rate > 0].min() for rate in rates[shown]], default=0.01)
    floor = min(max(smallest / 2, 1e-5), 1e-3)
    accepts, rejects = norm.ppf(np.clip(rates, floor, 1 - floor))
    axes.plot(accepts, rejects, color="C0", drawstyle="steps-post")
    point = norm.ppf(np.clip(errors.eer / 100, floor, 1 - floor))
    axes.plot(point, point, "o", color="C3", clip_on=False, label=f"EER {errors.eer:.2f} %")
    axes.axline((0, 0), slope=1, color="0.7", linewidth=0.8, zorder=0)
    ticks = [tick for tick in _TICKS if tick / 100 >= floor]
    places, names = norm.ppf(np.array(ticks) / 100), [f"{tick:g}" for tick in ticks]
    limits = (norm.ppf(floor), max(norm.ppf(0.5), point + 0.5))
    axes.set(xticks=places, yticks=places, xticklabels=names, yticklabels=names)
    axes.set(xlim=limits, ylim=limits, aspect="equal", title="Detection error trade-off")
    axes.set(xlabel="false accepts, % of non-targets", ylabel="false rejects, % of targets")
    axes.grid(color="0.9")
    axes.legend(loc="upper right")


def _draw_histograms(axes, scores: np.ndarray, targets: np.ndarray, errors) -> None:
    low, high = float(scores.min()), float(scores.max())
    margin = max(0.02 * (high - low), 1e-6 * max(abs(low), abs(high), 1.0))
    bins = np.linspace(low - margin, high + margin, 61)
    for kind, chosen, colour in (("non-target", ~targets, "C0"), ("target", targets, "C1")):
        label = f"{kind} ({int(chosen.sum()):,} trials)"
        weights = np.full(int(chosen.sum()), 100 / chosen.sum())
        axes.hist(scores[chosen], bins, weights=weights, color=colour, alpha=0.6, label=label)
    threshold = errors.threshold
    axes.axvline(threshold, color="C3", linestyle="--", label=f"threshold {threshold:.3f}")
    axes.set(title="Scores", ylabel="% of the kind's trials")
    axes.legend(loc="best")
