"""The manual's own parts: pages' links to files beside ``docs/``, and its sounds.

    python tools/manual.py           # makes docs/audio again, by the model that comes with MyXTTS
    python tools/manual.py cloned    # one of them

MkDocs calls :func:`on_files` and :func:`on_page_markdown`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AUDIO = ROOT / "docs" / "audio"
_CLIP = ROOT / "examples" / "demo_corpus" / "val" / "am_fenrir_10.ogg"
# What each sound says.
SAID = {
    "hana": "Good morning! The first train to the coast leaves at ten past seven.",
    "oskar": "On 14 March 2026, 350 people paid $7.50 each.",
    "cloned": "I have never said this sentence, but it is my voice.",
}
# In whose voice, and how: the first take whatever it became, or what anybody gets without flags.
FLAGS = {
    "hana": ("--voice", "hana", "--seed", "1", "--candidates", "1"),
    "oskar": ("--voice", "oskar"),
    "cloned": ("--reference-audio", str(_CLIP)),
}
# A link of a page to what lies beside docs/: a file of the examples, say.
_BESIDE = re.compile(r"\]\(\.\./([\w./-]+)\)")


def on_files(files, config):
    """Take the files beside ``docs/`` that pages link to into the site."""
    from mkdocs.structure.files import File

    pages = (ROOT / "docs").glob("*.md")
    names = {name for page in pages for name in _BESIDE.findall(page.read_text(encoding="utf-8"))}
    for name in sorted(names):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Let links to such files lead to their copies in the site."""
    return _BESIDE.sub(r"](\1)", markdown)


def make_sounds(folder: Path = AUDIO, names: Iterable[str] = tuple(SAID)) -> None:
    """Let ``inference_main.py`` speak, and keep the speech as MP3 of about 5 kB a second."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name, text in ((name, SAID[name]) for name in names):
            spoken = Path(temporary, f"{name}.wav")
            words = ["--text", text, *FLAGS[name], "--output", str(spoken)]
            subprocess.run([sys.executable, str(ROOT / "inference_main.py"), *words], check=True)
            samples, rate = soundfile.read(spoken)
            soundfile.write(
                folder / f"{name}.mp3", samples, rate, format="MP3", compression_level=0.9
            )


if __name__ == "__main__":
    make_sounds(names=sys.argv[1:] or tuple(SAID))
