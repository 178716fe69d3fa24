"""The tables of ``benchmarks/kokoro_voice.py``, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from benchmarks.kokoro_voice_sides import Search

Results = dict[tuple[str, str], dict[str, Any]]

ROWS = ("centroid", "stock", "blend", "walk", "spsa", "cma", "finite-diff", "autograd")
FIGURES = ("resemblyzer", "ecapa", "wer", "dnsmos")
LENGTH_MODELS = ("basis", "replicate")


def tables(results: Results) -> str:
    """All tables that the results are enough for."""
    made = [table(results) for table in (by_time, by_syntheses, cost, unseen, lengths)]
    return "\n\n".join(filter(None, made))


def by_time(results: Results) -> str:
    """Similarity in the objective when the time was up."""
    return _similarities("equal time", results, dict.fromkeys(_speakers(results)))


def by_syntheses(results: Results) -> str:
    """The same after as many syntheses as autograd made until its best."""
    fits = {name: fit for (name, method), fit in _searches(results).items() if method == "autograd"}
    budgets = {name: fits[name].trace[-1][0] for name in sorted(fits)}
    return _similarities("equal syntheses", results, budgets)


def _similarities(title: str, results: Results, budgets: dict[str, int | None]) -> str:
    """A row for each method: similarity of each speaker within the budget, if there is one."""
    searches = _searches(results)
    done = {name for _, name in searches}
    rows = []
    for row in filter(done.__contains__, ROWS):
        found = [(searches.get((name, row)), budget) for name, budget in budgets.items()]
        ends = [one.similarity_within(budget) if one else None for one, budget in found]
        rows.append([row, *ends, _mean(ends)])
    heads = [name if budget is None else f"{name} ({budget})" for name, budget in budgets.items()]
    return _markdown(f"similarity in the objective, {title}", [*heads, "mean"], rows)


def cost(results: Results) -> str:
    """Syntheses that autograd takes to where finite differences end."""
    searches = _searches(results)
    rows = []
    for name in _speakers(results):
        pair = [searches.get((name, method)) for method in ("finite-diff", "autograd")]
        if None in pair:
            continue
        slow, fast = pair
        spoken, _, reached = slow.trace[-1]
        needed = fast.syntheses_to(reached)
        times = f"{spoken / needed:.0f} x" if needed else "never"
        rows.append([name, reached, spoken, needed, times])
    heads = ["finite-diff reaches", "in syntheses", "autograd in", "fewer"]
    return _markdown("speaker", heads, rows) if rows else ""


def unseen(results: Results) -> str:
    """Judges' means over the unseen sentences and the speakers."""
    rows = []
    for row in ("own", *ROWS):
        found = [result for (_, name), result in results.items() if name == row]
        clips = [clip for one in found for clip in one.get("unseen", [one])]
        if clips:
            shown = [_mean([clip.get(figure) for clip in clips]) for figure in FIGURES]
            rows.append([row, *shown])
    return _markdown("unseen sentences", FIGURES, rows)


def lengths(results: Results) -> str:
    """The length models on short, middle and long texts."""
    rows = []
    for model in LENGTH_MODELS:
        found = [one["lengths"] for (_, name), one in results.items() if name == f"length_{model}"]
        for place in range(len(found[0]) if found else 0):
            clips = [one[place] for one in found]
            shown = [_mean([clip[figure] for clip in clips]) for figure in (*FIGURES, "seconds")]
            rows.append([f"{model}, text {place + 1}", *shown])
    return _markdown("length model", [*FIGURES, "seconds"], rows) if rows else ""


def _searches(results: Results) -> dict[tuple[str, str], Search]:
    return {
        key: Search(trace=[tuple(row) for row in one["trace"]])
        for key, one in results.items()
        if "trace" in one
    }


def _speakers(results: Results) -> list[str]:
    return sorted({speaker for speaker, _ in results})


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return round(mean(there), 3) if there else None


def _markdown(title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [[title, *heads], ["---"] * (len(heads) + 1), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
