"""``myxtts info``: versions, models, caches, what is missing and how to get it."""

from __future__ import annotations

import argparse
import json
import platform
from importlib import metadata
from pathlib import Path

from myxtts.files import cache_folder
from myxtts.flags import make_parser
from myxtts.presets.finding import DATA_FILES, SHIPPED, has_shipped_preset
from myxtts.presets.record import MANIFEST

CORE = ("tensorflow", "keras", "numpy", "librosa", "soundfile", "safetensors", "hibari-tts")
# Packages of each extra of setup.py, by their names at the registry.
EXTRAS = {
    "server": (
        "fastapi",
        "uvicorn",
        "websockets",
        "pydantic",
        "python-multipart",
        "prometheus-client",
        "av",
    ),
    "serving": ("requests", "tensorflow-serving-api"),
    "languages": ("pypinyin", "cutlet", "unidic-lite", "hangul-romanize"),
    "av": ("av",),
    "torch": ("torch",),
}


def parser() -> argparse.ArgumentParser:
    """Flags of the report."""
    return make_parser("myxtts info", "Say what is installed and what is missing.", json=True)


def main(args: argparse.Namespace) -> None:
    """Print the report."""
    found = facts()
    print(json.dumps(found) if args.json else report(found))


def facts() -> dict:
    """What there is; nothing large is imported for it."""
    missing = {
        extra: [name for name in names if version(name) is None] for extra, names in EXTRAS.items()
    }
    return {
        "version": version("myxtts"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in CORE},
        "shipped_preset": str(DATA_FILES / SHIPPED) if has_shipped_preset() else None,
        "presets": presets(),
        "cache": str(cache_folder()),
        "missing": {extra: names for extra, names in missing.items() if names},
    }


def version(package: str) -> str | None:
    """Of an installed package, else None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def presets() -> list[str]:
    """Folders in ``presets/`` and ``runs/`` that ``--preset`` knows by their names."""
    found = [path.parent for room in ("presets", "runs") for path in _manifests(Path(room))]
    return sorted({str(path.parent if path.name == "preset" else path) for path in found})


def _manifests(room: Path) -> list[Path]:
    return [*room.glob(f"*/{MANIFEST}"), *room.glob(f"*/preset/{MANIFEST}")]


def report(found: dict) -> str:
    """The facts for a person."""
    told = found["version"] or "a source tree, not installed"
    lines = [f"MyXTTS       {told}", f"Python       {found['python']}"]
    for name, number in found["packages"].items():
        lines.append(f"{name:<12} {number or 'MISSING: pip install ' + name}")
    shipped = found["shipped_preset"] or "none comes with this copy; name one with --preset"
    lines.append(f"model        {shipped}")
    lines += [f"preset       {name}" for name in found["presets"]]
    lines.append(f"cache        {found['cache']}")
    for extra, names in found["missing"].items():
        told = f"{', '.join(names)} missing: pip install 'myxtts[{extra}]'"
        lines.append(f"extra        {extra}: {told}")
    return "\n".join(lines)
