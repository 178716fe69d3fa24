"""What the voices themselves say: how they vary, in which dimensions, and along their length."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from myxtts.plots import new_figure, save_figure
from tools.kokoro.backends.interface import HALF
from tools.kokoro.voices import load_voices

EXPLAINED = 0.9999


@dataclass(frozen=True)
class Finding:
    """One documented claim, or a figure that nobody documented, beside the measured one.

    Attributes:
        documented: the claimed figure; None where there is no claim.
        implied: the claim is not stated but taken for granted.
        holds: whether the measured one agrees within ``tolerance``; None without a claim.
    """

    name: str
    measured: float
    documented: float | None = None
    tolerance: float = 0.0
    implied: bool = False

    @property
    def holds(self) -> bool | None:
        if self.documented is None:
            return None
        return abs(self.measured - self.documented) <= self.tolerance


class VariableWeightAnalyzer:
    """Measures a set of voices.

    Args:
        voices: voices ``(510, 1, 256)`` by name, or the folder or archive to load them from.
        row: where variance and components are measured, 0 to 509.

    Raises:
        DataError: the voices cannot be read.
    """

    def __init__(self, voices: dict[str, np.ndarray] | str | Path, row: int = 50) -> None:
        self.voices = voices if isinstance(voices, dict) else load_voices(voices)
        self.row = row

    @functools.cached_property
    def packs(self) -> np.ndarray:
        """All voices, ``(voices, 510, 256)``."""
        return np.stack(list(self.voices.values()))[:, :, 0]

    @property
    def styles(self) -> np.ndarray:
        """The voices' styles in the row that is measured, ``(voices, 256)``."""
        return self.packs[:, self.row]

    def variance(self) -> np.ndarray:
        """Variance over the voices of each dimension, ``(256,)``."""
        return self.styles.var(axis=0)

    def top_dimensions(self, count: int) -> np.ndarray:
        """The ``count`` dimensions that vary most, the most variable first."""
        return np.argsort(-self.variance(), kind="stable")[:count]

    def median_centroid(self) -> np.ndarray:
        """The median of the voices, ``(510, 1, 256)``."""
        return np.median(self.packs, axis=0)[:, None].astype("float32")

    @functools.cached_property
    def pca(self) -> PCA:
        """Principal components of :attr:`styles`."""
        return PCA().fit(self.styles)

    def components_for(self, explained: float = EXPLAINED) -> int:
        """Components that explain such a share of the variance."""
        shares = np.cumsum(self.pca.explained_variance_ratio_)
        return min(int(np.searchsorted(shares, explained)) + 1, len(shares))

    def prosody_ratio(self, row: int | None = None) -> float:
        """Mean variance of the prosody half ``[128:]`` over that of the decoder half."""
        variance = self.packs[:, self.row if row is None else row].var(axis=0)
        return float(variance[HALF:].mean() / variance[:HALF].mean())

    def neighbour_cosine(self) -> float:
        """Mean cosine of rows n and n + 1, over rows and voices."""
        unit = self._unit
        return float(np.einsum("vrd,vrd->vr", unit[:, :-1], unit[:, 1:]).mean())

    def row_cosine(self, one: int, other: int) -> float:
        """Mean cosine of two rows, over the voices."""
        return float((self._unit[:, one] * self._unit[:, other]).sum(axis=1).mean())

    @functools.cached_property
    def _unit(self) -> np.ndarray:
        return self.packs / np.linalg.norm(self.packs, axis=2, keepdims=True)

    def findings(self) -> list[Finding]:
        """The documented claims and the measured figures that bear on them."""
        row = self.row
        return [
            Finding(f"components for {EXPLAINED:.2%}, row {row}", self.components_for(), 47),
            Finding(f"prosody / decoder variance, row {row}", self.prosody_ratio(), 8.67, 0.1),
            Finding("prosody / decoder variance, row 0", self.prosody_ratio(0)),
            Finding(f"largest variance, row {row}", float(self.variance().max())),
            Finding("cosine of neighbouring rows", self.neighbour_cosine(), 0.99998, 1e-5),
            # The documented method copies one row to all lengths, which takes this for granted.
            Finding("cosine of rows 0 and 509", self.row_cosine(0, 509), 1.0, 0.01, True),
            Finding("cosine of rows 50 and 300", self.row_cosine(50, 300), 1.0, 0.01, True),
        ]


def describe(analyzer: VariableWeightAnalyzer) -> str:
    """The findings as a table, and what follows from them."""
    findings = analyzer.findings()
    dims = ", ".join(map(str, analyzer.top_dimensions(8)))
    lines = [
        f"{len(analyzer.voices)} voices",
        "",
        f"{'finding':38}{'documented':>12}{'measured':>10}",
        *map(_row, findings),
        "",
        f"most variable dimensions: {dims}",
        *_conclusions(findings),
    ]
    return "\n".join(lines)


def summary(analyzer: VariableWeightAnalyzer) -> dict:
    """The findings for ``--json``."""
    return {
        "voices": len(analyzer.voices),
        "top_dimensions": analyzer.top_dimensions(8).tolist(),
        "findings": [
            {"name": one.name, "documented": one.documented}
            | {"measured": round(one.measured, 6), "holds": one.holds}
            for one in analyzer.findings()
        ],
    }


def draw(path: Path, analyzer: VariableWeightAnalyzer) -> None:
    """Draw the voices on two components, the variance explained, and rows against the length."""
    figure, (left, middle, right) = new_figure(1, 3)
    _draw_voices(left, analyzer)
    shares = np.cumsum(analyzer.pca.explained_variance_ratio_)
    middle.plot(np.arange(1, len(shares) + 1), shares)
    middle.axvline(analyzer.components_for(), color="0.6", linestyle=":")
    middle.set(xlabel="components", ylabel="variance explained", title=f"row {analyzer.row}")
    cosines = [analyzer.row_cosine(analyzer.row, row) for row in range(0, 510, 10)]
    right.plot(np.arange(0, 510, 10), cosines)
    right.set(xlabel="row", ylabel=f"cosine to row {analyzer.row}", title="along the length")
    save_figure(figure, path)


def _draw_voices(axes, analyzer: VariableWeightAnalyzer) -> None:
    points = analyzer.pca.transform(analyzer.styles)[:, :2]
    families = sorted({name.partition("_")[0] for name in analyzer.voices})
    for (name, _), (x, y) in zip(analyzer.voices.items(), points, strict=True):
        family = families.index(name.partition("_")[0])
        axes.plot(x, y, "o", markersize=3, color=f"C{family % 10}")
        axes.annotate(name, (x, y), fontsize=5)
    axes.margins(0.12)  # for the names
    axes.set(xlabel="component 1", ylabel="component 2", title=f"{len(points)} voices")


def _row(finding: Finding) -> str:
    verdict = {True: "holds", False: "does not hold", None: ""}[finding.holds]
    claim = "" if finding.documented is None else f"{finding.documented:g}"
    claim = f"implied {claim}" if finding.implied else claim
    return f"{finding.name:38}{claim:>12}{finding.measured:>10.5g}  {verdict}"


def _conclusions(findings: list[Finding]) -> list[str]:
    far = [finding for finding in findings if finding.name.startswith("cosine of rows")]
    if all(finding.holds for finding in far):
        return ["One row stands for all lengths: replicate loses nothing."]
    return [
        "Neighbouring rows are alike, distant ones are not: one row copied to all lengths",
        "(--length-model replicate) loses what a voice does in short and in long texts.",
    ]
