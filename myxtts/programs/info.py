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
from myxtts.presets.hub import HUB
from myxtts.presets.record import MANIFEST
from myxtts.programs.playing import find_player

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
    "int8": ("numba",),
    "av": ("av",),
    "torch": ("torch",),
    "ray": ("ray",),
    "completion": ("argcomplete",),
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
        "engines": engines(),
        "player": find_player(),
        "shipped_preset": str(DATA_FILES / SHIPPED) if has_shipped_preset() else None,
        "presets": presets(),
        "cache": str(cache_folder()),
        "caches": {str(folder): megabytes(folder) for folder in caches() if folder.is_dir()},
        "missing": {extra: names for extra, names in missing.items() if names},
    }


def engines() -> dict[str, str | None]:
    """What can make the codes of speech, and the version of what it runs on; None: missing."""
    served = version("requests") and "by `myxtts serve --backend tf-serving`"
    return {"tensorflow": version("tensorflow"), "int8": version("numba"), "tf-serving": served}


def caches() -> list[Path]:
    """Folders of what was fetched once: by MyXTTS, and by the client of the hub."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return [cache_folder(), Path(HF_HUB_CACHE)]


def hub_presets() -> list[str]:
    """Presets in the cache of the hub, as ``--preset`` takes them."""
    from huggingface_hub.constants import HF_HUB_CACHE

    found = Path(HF_HUB_CACHE).glob(f"models--*/snapshots/*/{MANIFEST}")
    names = {path.parents[2].name.removeprefix("models--").replace("--", "/", 1) for path in found}
    return sorted(HUB + name for name in names)


def megabytes(folder: Path) -> float:
    """Size of all files of a folder; links count nothing."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return round(sum(path.stat().st_size for path in files) / 1e6, 1)


def version(package: str) -> str | None:
    """Of an installed package, else None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def presets() -> list[str]:
    """What ``--preset`` knows: folders in ``presets/`` and ``runs/``, and the hub's cache."""
    found = [path.parent for room in ("presets", "runs") for path in _manifests(Path(room))]
    folders = {str(path.parent if path.name == "preset" else path) for path in found}
    return [*sorted(folders), *hub_presets()]


def _manifests(room: Path) -> list[Path]:
    return [*room.glob(f"*/{MANIFEST}"), *room.glob(f"*/preset/{MANIFEST}")]


def report(found: dict) -> str:
    """The facts for a person."""
    told = found["version"] or "a source tree, not installed"
    lines = [f"MyXTTS       {told}", f"Python       {found['python']}"]
    for name, number in found["packages"].items():
        lines.append(f"{name:<12} {number or 'MISSING: pip install ' + name}")
    for name, told in found["engines"].items():
        lines.append(f"engine       {name}: {told or 'not installed'}")
    told = found["player"] or "none; myxtts speak --play wants one (ffplay, aplay, play ...)"
    lines.append(f"player       {told}")
    shipped = found["shipped_preset"] or "none comes with this copy; name one with --preset"
    lines.append(f"model        {shipped}")
    lines += [f"preset       {name}" for name in found["presets"]]
    for folder in caches():
        lines.append(f"cache        {folder}, {found['caches'].get(str(folder), 0):.1f} MB")
    for extra, names in found["missing"].items():
        told = f"{', '.join(names)} missing: pip install 'myxtts[{extra}]'"
        lines.append(f"extra        {extra}: {told}")
    return "\n".join(lines)
