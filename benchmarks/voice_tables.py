"""What ``benchmarks/voice.py`` found: figures, gates, tables, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from benchmarks.voice_material import KINDS

Rows = Sequence[Mapping[str, Any]]
SIDES = ("ours", "hibari", "kokoro", "recordings")


class Gate(NamedTuple):
    """A bound of one of our figures."""

    figure: str
    title: str
    sign: str  # of how the figure has to lie to the bound
    bound: float
    percent: bool = False


GATES = (
    Gate("wer", "WER, %", "≤", 0.08, percent=True),
    Gate("nearest_kokoro", "nearest of the references, Kokoro's voices, %", "≥", 0.8, percent=True),
    Gate("nearest_real", "nearest of the references, real speakers, %", "≥", 0.6, percent=True),
    Gate("dnsmos", "DNSMOS, overall", "≥", 3.0),
    Gate("rtf", "real time factor", "≤", 0.5),
    Gate("first_chunk", "first chunk, s", "≤", 0.3),
    Gate("guarded", "guards fired, % of the pieces", "≤", 0.05, percent=True),
    Gate("never_ended", "never ended, clips", "≤", 0),
)
# Figures without a gate that stand in the same table.
FURTHER = (
    Gate("secs_kokoro", "ECAPA cosine to the reference, Kokoro's voices", "", 0),
    Gate("secs_real", "ECAPA cosine to the reference, real speakers", "", 0),
    Gate("stock_kokoro", "best other stock voice of Kokoro, Kokoro's voices", "", 0),
    Gate("stock_real", "best stock voice of Kokoro, real speakers", "", 0),
    Gate("retries", "retries, clips", "", 0),
    Gate("clips", "clips", "", 0),
)
PUBLISHED = (
    "pocket-tts, as its authors publish it for a MacBook Air M4 (PyPI, 3.2.0): real time factor "
    "about 0.17, first chunk after about 0.2 s."
)


def summary(
    rows: Mapping[str, Rows], kinds: Mapping[str, str], speed: Mapping, stock: Mapping
) -> dict[str, dict[str, Any]]:
    """Figures of each side.

    Args:
        rows: of each side's clips.
        kinds: ``real`` or ``kokoro``, by the voices' names.
        speed: of ``voice_sides.speeds``, empty where it was not measured.
        stock: best stock voice and its cosine, by the voices' names; empty likewise.
    """
    found = {side: figures(rows[side], kinds) for side in SIDES if rows.get(side)}
    for name in ("rtf", "first_chunk"):
        for side, value in speed.get(name, {}).items():
            found.setdefault(side, {})[name] = value
    if stock:
        nearest = found.setdefault("kokoro", {})
        for kind in sorted({kinds[name] for name in stock}):
            nearest[f"stock_{kind}"] = _mean([stock[n][1] for n in stock if kinds[n] == kind])
    return found


def figures(rows: Rows, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Figures of clips; those that nothing was measured for are left out."""
    result = {"clips": len(rows), "wer": error_rate(rows), "dnsmos": _mean_of(rows, "dnsmos")}
    result |= {
        f"wer_{kind}": error_rate([r for r in rows if r.get("kind") == kind]) for kind in KINDS
    }
    for kind in ("kokoro", "real"):
        own = [row for row in rows if row.get("cosines") and kinds.get(row["voice"]) == kind]
        result[f"nearest_{kind}"] = _mean([float(is_nearest(row)) for row in own])
        result[f"secs_{kind}"] = _mean([row["cosines"][row["voice"]] for row in own])
    return {name: value for name, value in (result | guards(rows)).items() if value is not None}


def guards(rows: Rows) -> dict[str, Any]:
    """Pieces at which a guard fired, clips that were tried again, clips that never ended."""
    made = [row for row in rows if "attempts" in row]
    if not made:
        return {}
    pieces = [
        count > 1 or bool(flags)
        for row in made
        for count, flags in zip(row["attempts"], row["flags"], strict=True)
    ]
    return {
        "guarded": _mean([float(fired) for fired in pieces]),
        "retries": sum(max(row["attempts"]) > 1 for row in made),
        "never_ended": sum(not row["finished"] for row in made),
        "rtf_all": round(sum(r["compute"] for r in made) / max(sum(map(_seconds, made)), 1e-9), 4),
    }


def error_rate(rows: Rows) -> float | None:
    """Word errors by words, over all clips."""
    words = sum(row.get("words", 0) for row in rows)
    return round(sum(row["errors"] for row in rows if "words" in row) / words, 4) if words else None


def is_nearest(row: Mapping[str, Any]) -> bool:
    """Whether the clip is more like its own reference than like any other."""
    return max(row["cosines"], key=row["cosines"].get) == row["voice"]


def judged(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Our figures against their gates."""
    checks: dict[str, Callable[[float, float], bool]] = {
        "≤": lambda value, bound: value <= bound,
        "≥": lambda value, bound: value >= bound,
    }
    return {
        gate.figure: {
            "title": gate.title.removesuffix(", %").replace(", % of", ", of"),
            "value": found[gate.figure],
            "gate": f"{gate.sign} {gate.bound:g}",
            "passed": checks[gate.sign](found[gate.figure], gate.bound),
        }
        for gate in GATES
        if gate.figure in found
    }


def gate_table(found: Mapping[str, Mapping[str, Any]], voices: int) -> str:
    """Every figure of every side, with its gate; ``voices`` references there were to choose of."""
    sides = [side for side in SIDES if side in found]
    passed = judged(found.get("ours", {}))
    lines = [["", "gate", *sides], ["---"] * (len(sides) + 2)]
    for gate in (*GATES, *FURTHER):
        if not any(gate.figure in found[side] for side in sides):
            continue
        cells = [_cell(found[side].get(gate.figure), gate.percent) for side in sides]
        if gate.figure in passed and not passed[gate.figure]["passed"]:
            cells[sides.index("ours")] += " (missed)"
        bound = f"{gate.sign} {_cell(gate.bound, gate.percent)}" if gate.sign else ""
        lines.append([gate.title.replace("the references", f"the {voices}"), bound, *cells])
    return _markdown(lines)


def kind_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Word error rates by kinds of sentences."""
    sides = [s for s in SIDES if any(f"wer_{kind}" in found.get(s, {}) for kind in KINDS)]
    lines = [["WER, %", *sides], ["---"] * (len(sides) + 1)]
    for kind in KINDS:
        lines.append([kind, *(_cell(found[side].get(f"wer_{kind}"), True) for side in sides)])
    return _markdown(lines)


def voice_table(rows: Rows, kinds: Mapping[str, str]) -> str:
    """How each voice fares: whose it is taken for when not for its own, most often."""
    lines = [
        ["voice", "", "clips", "WER, %", "nearest, %", "cosine", "else taken for"],
        ["---"] * 7,
    ]
    for name in sorted({row["voice"] for row in rows}, key=lambda name: (kinds[name], name)):
        own = [row for row in rows if row["voice"] == name and row.get("cosines")]
        if not own:
            continue
        wrong = [max(r["cosines"], key=r["cosines"].get) for r in own if not is_nearest(r)]
        share = _cell(1 - len(wrong) / len(own), True)
        cosine = _cell(_mean([row["cosines"][name] for row in own]), False)
        other = max(wrong, key=wrong.count) if wrong else ""
        rate = _cell(error_rate(own), True)
        lines.append([name, kinds[name], str(len(own)), rate, share, cosine, other])
    return _markdown(lines)


def worst(rows: Rows, count: int) -> str:
    """The clips with most errors: what was to be said, and what Whisper heard."""
    wrong = sorted((row for row in rows if row["errors"]), key=lambda row: -row["errors"])
    lines = []
    for row in wrong[:count]:
        fired = ", ".join(sorted({flag for flags in row.get("flags", []) for flag in flags}))
        told = f" [{fired}]" if fired else ""
        lines.append(f"{row['errors']} of {row['words']}  {row['voice']}{told}")
        lines += [f"    said   {row['text']}", f"    heard  {row['heard']}"]
    return "\n".join(lines)


def _mean_of(rows: Rows, name: str) -> float | None:
    return _mean([row[name] for row in rows if row.get(name) is not None])


def _mean(values: Sequence[float]) -> float | None:
    return round(mean(values), 4) if values else None


def _seconds(row: Mapping[str, Any]) -> float:
    return row.get("seconds") or 0.0


def _cell(value: float | None, percent: bool) -> str:
    if value is None:
        return ""
    if percent:
        return f"{100 * value:.1f}"
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
