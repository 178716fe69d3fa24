"""What a map is learned from: clips of Kokoro's voices, and of real speakers for the background.

Clips of the voices are recordings that lie on a disk (``VOICE/*.ogg``), or are spoken by Kokoro
itself. What is heard of each is kept in a file, so that a broken run goes on where it was.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from myxtts.audio.io import SUFFIXES, resample
from myxtts.errors import DataError
from myxtts.files import replacing
from myxtts.timing import SPEAKER_RATE
from tools.kokoro.backends.interface import SAMPLE_RATE, Backend, speak
from tools.styletts2_kokoro.hearing import Hearing, prepared, read_reference

logger = logging.getLogger(__name__)

# Clips heard between two savings of what was heard.
SAVED_EVERY = 20
# Spoken by every voice where no recordings are given; of the authors' own making.
TEXTS = (
    "The ferry was late this morning, so we sat on the harbour wall and counted the gulls.",
    "Nobody had told the gardener that the old pear tree would have to go before winter.",
    "When does the library close today, and is there a later bus that goes back to town?",
    "She put two cups on the table, opened the window, and asked me to begin once more.",
)

Heard = dict[str, np.ndarray]
Clip = tuple[str, Callable[[], np.ndarray]]


def recorded_clips(folder: str | Path, names: Iterable[str], each: int) -> Iterator[Clip]:
    """The first clips of each voice, named ``VOICE/FILE``.

    Raises:
        DataError: there are too few of a voice.
    """
    for name in names:
        found = _audio(Path(folder) / name)[:each]
        if len(found) < each:
            raise DataError(f"{folder}/{name} holds {len(found)} recordings; {each} are wanted.")
        for path in found:
            yield f"{name}/{path.name}", lambda path=path: read_reference(path)


def spoken_clips(
    backend: Backend, voices: dict[str, np.ndarray], phonemes: Sequence[str]
) -> Iterator[Clip]:
    """Every text in every voice, spoken when it is asked for."""
    for name, voice in voices.items():
        for number, text in enumerate(phonemes):

            def make(voice=voice, text=text, name=name) -> np.ndarray:
                audio = resample(speak(backend, voice, text), SAMPLE_RATE, SPEAKER_RATE)
                return prepared(audio, name)

            yield f"{name}/{number}", make


def background_clips(
    folder: str | Path, most: int, listed: str | Path | None = None
) -> Iterator[Clip]:
    """One recording of each real speaker, named ``SPEAKER/FILE``.

    Args:
        folder: with a folder for each speaker.
        most: speakers, evenly spread.
        listed: file with the recordings' paths in ``folder``, one a line; None takes the first of
            each speaker.

    Raises:
        DataError: there are none, or one that is listed is not there.
    """
    folder = Path(folder)
    found = _listed(folder, Path(listed)) if listed else _firsts(folder)
    if not found:
        raise DataError(f"{folder} holds no folder with a recording.")
    for path in found[:: max(1, len(found) // most)][:most]:
        yield f"{path.parent.name}/{path.name}", lambda path=path: read_reference(path)


def _listed(folder: Path, file: Path) -> list[Path]:
    try:
        found = [folder / line for line in file.read_text(encoding="utf-8").split()]
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}.") from error
    if missing := [path for path in found if not path.is_file()]:
        raise DataError(f"{missing[0]} is not there, which {file.name} lists.")
    return found


def _firsts(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder.")
    speakers = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    return [files[0] for files in map(_audio, speakers) if files]


def hear(clips: Iterable[Clip], hearing: Hearing, kept: Path | None = None) -> Heard:
    """What is heard of each clip, ``(size,)`` by its name.

    Args:
        clips: their names, and what makes them.
        hearing: who hears.
        kept: file of what was heard; what it holds is not heard again.

    Raises:
        AudioError: a clip cannot be used.
    """
    heard = _kept(kept)
    clips = list(clips)
    missing = [clip for clip in clips if clip[0] not in heard]
    for number, (name, make) in enumerate(tqdm(missing, unit="clip", delay=2, disable=None), 1):
        heard[name] = hearing.embed(make())
        if kept and (number % SAVED_EVERY == 0 or number == len(missing)):
            with replacing(kept) as fresh:
                np.savez(fresh, **heard)
    return {name: heard[name] for name, _ in clips}


def by_voice(heard: Heard) -> dict[str, np.ndarray]:
    """Embeddings ``(clips, size)`` of each voice or speaker."""
    groups: dict[str, list] = {}
    for name, embedding in heard.items():
        groups.setdefault(name.rpartition("/")[0], []).append(embedding)
    return {name: np.stack(rows) for name, rows in groups.items()}


def _kept(path: Path | None) -> Heard:
    if path is None or not path.is_file():
        return {}
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            found = dict(archive)
        return {name: row for name, row in found.items() if np.isfinite(row).all()}
    # Damage meets the archive, the packing or a header, each with errors of its own.
    except Exception as error:
        logger.warning("%s is damaged (%s); what it held is heard again.", path, error)
        return {}


def _audio(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
